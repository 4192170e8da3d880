//! The buckets that durations are counted in.
//!
//! Sixteen equal buckets to each octave of nanoseconds, and those below sixteen nanoseconds as they
//! are: no duration is further than 1/33 from the one that stands for its bucket.

use std::time::Duration;

use crate::nanos;

/// How many buckets there are.
pub(super) const BUCKETS: usize = (u64::BITS - BITS + 1) as usize * PER_OCTAVE;

const PER_OCTAVE: usize = 1 << BITS;
const BITS: u32 = 4;

/// Returns the bucket of a duration. The last one takes all that are longer than 2^64 nanoseconds,
/// which is five centuries.
pub(super) fn bucket_of(value: Duration) -> usize {
    let nanos = nanos(value);
    let Some(octave) = (nanos >> BITS).checked_ilog2() else {
        return nanos as usize;
    };
    octave as usize * PER_OCTAVE + (nanos >> octave) as usize
}

/// Returns the duration that stands for a bucket: the harmonic mean of its ends, from which both
/// are equally far in proportion.
pub(super) fn duration_of(bucket: usize) -> Duration {
    let octave = (bucket / PER_OCTAVE).saturating_sub(1);
    let low = u128::from((bucket - octave * PER_OCTAVE) as u64) << octave;
    let high = low + (1 << octave) - 1;
    let mean = low + (low * (high - low)).checked_div(low + high).unwrap_or(0);
    Duration::from_nanos(mean as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_the_scale_have_buckets() {
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(duration_of(0), Duration::ZERO);

        assert_eq!(bucket_of(Duration::from_nanos(u64::MAX)), BUCKETS - 1);
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(duration_of(bucket)), bucket);
        }
        for nanos in 0..100_000 {
            let step =
                bucket_of(Duration::from_nanos(nanos + 1)) - bucket_of(Duration::from_nanos(nanos));
            assert!(step <= 1, "{nanos}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_near_the_one_that_stands_for_it(bits in 0..64_u32, nanos: u64) {
            let nanos = nanos >> bits;
            let found = duration_of(bucket_of(Duration::from_nanos(nanos))).as_nanos();

            // A 33rd, and the nanosecond that rounding takes.
            prop_assert!(found.abs_diff(nanos.into()) * 33 <= u128::from(nanos) + 33);
            prop_assert!(found.abs_diff(nanos.into()) * 20 <= u128::from(nanos));
        }
    }
}
