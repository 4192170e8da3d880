use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderValue, RETRY_AFTER};
use httpdate::parse_http_date;

/// Returns how long the `Retry-After` of a response asks the caller to wait (RFC 9110, section
/// 10.2.3): a number of seconds, or a date in one of the three forms of HTTP.
///
/// A date is a time on the server's clock, so it is compared with the response's own `Date` where
/// there is one: the two come from one clock, and a caller whose clock is minutes off still waits
/// as long as it was asked to. `now` gives the wall clock for a response without a valid `Date`. A
/// date in the past is no wait at all.
///
/// What is not valid is ignored, as if the header were not there, and so is all but the first of
/// several. A number that is too large for a `u64` is `u64::MAX` seconds: add it with care.
pub fn retry_after(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let value = text(headers.get(RETRY_AFTER)?)?;
    if let Some(seconds) = digits(value) {
        return Some(Duration::from_secs(seconds));
    }
    let at = parse_http_date(value).ok()?;
    let sent = headers
        .get(DATE)
        .and_then(text)
        .and_then(|date| parse_http_date(date).ok())
        .unwrap_or_else(now);
    Some(at.duration_since(sent).unwrap_or_default())
}

fn text(value: &HeaderValue) -> Option<&str> {
    Some(value.to_str().ok()?.trim_matches([' ', '\t']))
}

/// Reads `1*DIGIT`, which is less than what `str::parse` takes.
fn digits(value: &str) -> Option<u64> {
    let all = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| value.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use httpdate::fmt_http_date;
    use proptest::prelude::*;

    use super::*;

    /// `Fri, 31 Dec 1999 23:59:59 GMT`.
    fn eve() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(946_684_799)
    }

    fn asked(value: &str) -> Option<Duration> {
        asked_at(value, eve())
    }

    fn asked_at(value: &str, now: SystemTime) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        retry_after(&headers, || now)
    }

    #[test]
    fn reads_seconds() {
        let seconds = [
            ("120", 120),
            ("0", 0),
            ("007", 7),
            (" 120", 120),
            ("120 ", 120),
            ("18446744073709551615", u64::MAX),
        ];

        for (value, seconds) in seconds {
            assert_eq!(asked(value), Some(Duration::from_secs(seconds)), "{value}");
        }
    }

    #[test]
    fn a_huge_number_saturates() {
        assert_eq!(
            asked("99999999999999999999999999"),
            Some(Duration::from_secs(u64::MAX))
        );
    }

    #[test]
    fn ignores_what_is_not_valid() {
        let invalid = [
            "",
            " ",
            "-1",
            "+5",
            "1.5",
            "1e3",
            "inf",
            "nan",
            "120 s",
            "120,120",
            "soon",
            "0x10",
            "Fri, 31 Dec 1999 23:59:59",
            "Fri, 31 Foo 1999 23:59:59 GMT",
        ];

        for value in invalid {
            assert_eq!(asked(value), None, "{value:?}");
        }
    }

    #[test]
    fn reads_the_three_forms_of_dates() {
        let now = eve() - Duration::from_secs(90);

        for value in [
            "Fri, 31 Dec 1999 23:59:59 GMT",
            "Friday, 31-Dec-99 23:59:59 GMT",
            "Fri Dec 31 23:59:59 1999",
        ] {
            assert_eq!(
                asked_at(value, now),
                Some(Duration::from_secs(90)),
                "{value}"
            );
        }
    }

    #[test]
    fn a_date_in_the_past_is_no_wait() {
        let now = eve() + Duration::from_secs(1);

        assert_eq!(
            asked_at("Fri, 31 Dec 1999 23:59:59 GMT", now),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn the_servers_own_clock_counts_where_it_is_known() {
        let mut headers = HeaderMap::new();
        let at = fmt_http_date(eve() + Duration::from_secs(30));
        headers.insert(RETRY_AFTER, at.parse().unwrap());
        headers.insert(DATE, fmt_http_date(eve()).parse().unwrap());
        let an_hour_ahead = || eve() + Duration::from_secs(3600);

        let trusted = retry_after(&headers, || unreachable!("the wall clock is not read"));
        headers.insert(DATE, HeaderValue::from_static("lately"));
        let without = retry_after(&headers, an_hour_ahead);

        assert_eq!(trusted, Some(Duration::from_secs(30)));
        assert_eq!(without, Some(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_ignored(
            after in proptest::collection::vec(any::<u8>(), 0..40),
            date in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut headers = HeaderMap::new();
            if let (Ok(after), Ok(date)) = (HeaderValue::from_bytes(&after), HeaderValue::from_bytes(&date)) {
                headers.insert(RETRY_AFTER, after);
                headers.insert(DATE, date);
            }
            retry_after(&headers, SystemTime::now);
        }

        #[test]
        fn nearly_dates_are_read_or_ignored(
            text in "[A-Z][a-z]{2,8},? [0-9]{1,2}[- ][A-Z][a-z]{2}[- ][0-9]{2,4} [0-9:]{7,9}( GMT)?",
        ) {
            asked(&text);
        }

        #[test]
        fn every_number_of_seconds_is_itself(seconds: u64) {
            prop_assert_eq!(asked(&seconds.to_string()), Some(Duration::from_secs(seconds)));
        }

        #[test]
        fn every_date_is_as_far_off_as_it_is(seconds in 0..200_000_000_000u64) {
            let at = fmt_http_date(eve() + Duration::from_secs(seconds));
            prop_assert_eq!(asked(&at), Some(Duration::from_secs(seconds)));
        }
    }
}
