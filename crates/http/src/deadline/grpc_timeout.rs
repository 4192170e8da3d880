use std::time::Duration;

use http::HeaderValue;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The largest value that eight digits have room for.
const MOST: u128 = 99_999_999;

/// Reads a `grpc-timeout`: a number of at most eight digits, and a unit (gRPC over HTTP/2,
/// Requests). The grammar has no zero; here it is a time that is over. `None` is for all that is
/// no timeout.
pub(super) fn read(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| 10 * number + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * HOUR),
        b'M' => Duration::from_secs(number * MINUTE),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Writes a `grpc-timeout` in the finest unit that it fits in, rounded down.
pub(super) fn write(left: Duration) -> String {
    let seconds = u128::from(left.as_secs());
    let (number, unit) = [
        (left.as_nanos(), 'n'),
        (left.as_micros(), 'u'),
        (left.as_millis(), 'm'),
        (seconds, 'S'),
        (seconds / u128::from(MINUTE), 'M'),
    ]
    .into_iter()
    .find(|&(number, _)| number <= MOST)
    .unwrap_or_else(|| (MOST.min(seconds / u128::from(HOUR)), 'H'));
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_bytes(bytes: &[u8]) -> Option<Duration> {
        read(&HeaderValue::from_bytes(bytes).ok()?)
    }

    #[test]
    fn every_unit_is_read() {
        let table = [
            ("1S", Duration::from_secs(1)),
            ("100m", Duration::from_millis(100)),
            ("1n", Duration::from_nanos(1)),
            ("20u", Duration::from_micros(20)),
            ("3M", Duration::from_secs(180)),
            ("2H", Duration::from_secs(7200)),
            ("0S", Duration::ZERO),
            ("00000001S", Duration::from_secs(1)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ];

        for (value, time) in table {
            assert_eq!(read_bytes(value.as_bytes()), Some(time), "{value}");
        }
    }

    #[test]
    fn what_is_malformed_is_none() {
        for value in [
            "123456789m",
            "S",
            "10",
            "10 S",
            "+5S",
            "-1S",
            "1.5S",
            "1s",
            "1ms",
            "",
            " 1S",
            "1S ",
            "1h",
            "0x1S",
            "1S1S",
        ] {
            assert_eq!(read_bytes(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(read_bytes(b"1\xff"), None);
    }

    #[test]
    fn is_written_in_the_finest_unit_that_fits() {
        let table = [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_000), "100000u"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_secs(99), "99000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::from_secs(6_000_000_000), "1666666H"),
            (Duration::MAX, "99999999H"),
        ];

        for (time, value) in table {
            assert_eq!(write(time), value, "{time:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_no_more_and_hardly_less(seconds: u64, nanos in 0..1_000_000_000u32, shift in 0..64) {
            let time = Duration::new(seconds >> shift, nanos);

            let read = read_bytes(write(time).as_bytes()).unwrap();

            prop_assert!(read <= time);
            // Six digits at least are kept.
            if time <= Duration::from_secs(99_999_999 * HOUR) {
                prop_assert!(time - read <= time / 100_000);
            }
        }

        #[test]
        fn any_value_is_read_or_not(value in proptest::collection::vec(any::<u8>(), 0..12)) {
            read_bytes(&value);
        }
    }
}
