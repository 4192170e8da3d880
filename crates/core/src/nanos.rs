use std::time::Duration;

/// Returns the nanoseconds of `duration`, or the most that there is room for, which is five
/// centuries.
///
/// In one word: the two of [`Duration::as_nanos`] are dear.
#[must_use]
#[inline]
pub const fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(duration.subsec_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_at_most_as_many_as_there_is_room_for() {
        for (duration, expected) in [
            (Duration::ZERO, 0),
            (Duration::new(3, 7), 3_000_000_007),
            (Duration::from_nanos(u64::MAX), u64::MAX),
            (
                Duration::from_nanos(u64::MAX) + Duration::from_nanos(1),
                u64::MAX,
            ),
            (Duration::from_secs(u64::MAX), u64::MAX),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(nanos(duration), expected, "{duration:?}");
        }
    }
}
