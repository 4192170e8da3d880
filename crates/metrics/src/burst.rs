use std::sync::atomic::{AtomicU64, Ordering};

/// Lets one of many things be said a second, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    /// Until when nothing is said, in nanoseconds.
    quiet_until: AtomicU64,
    unsaid: AtomicU64,
}

const SECOND: u64 = 1_000_000_000;

impl Burst {
    /// Returns how many were not said before this one, if this one may be said.
    pub(crate) fn say(&self, at: u64) -> Option<u64> {
        let quiet_until = self.quiet_until.load(Ordering::Relaxed);
        let mine = at >= quiet_until
            && self
                .quiet_until
                .compare_exchange(
                    quiet_until,
                    at.saturating_add(SECOND),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if mine {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_said_and_knows_how_many_were_not() {
        let burst = Burst::default();

        assert_eq!(burst.say(0), Some(0));
        assert_eq!(burst.say(1), None);
        assert_eq!(burst.say(SECOND - 1), None);
        assert_eq!(burst.say(SECOND), Some(2));
        assert_eq!(burst.say(SECOND), None);
        assert_eq!(burst.say(9 * SECOND), Some(1));
    }
}
