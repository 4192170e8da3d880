use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use watertight_core::{Mode, nanos};

use crate::{TimeLimit, TimeoutConfig};

/// What a call has to know when it comes, in one word: the mode, whether it is timed, and how long
/// it may take.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Plan(u64);

/// As many nanoseconds as these are no limit.
pub(crate) const UNLIMITED: u64 = u64::MAX >> LIMIT_SHIFT;

/// All calls are timed. The mode is below this.
const TIMED: u64 = 1 << Mode::BITS;
/// The limit is learnt, and not here.
const LEARNT: u64 = TIMED << 1;
/// The nanoseconds of the limit are above this, with room for 36 years.
const LIMIT_SHIFT: u32 = Mode::BITS + 2;

impl Plan {
    pub(crate) fn new(config: &TimeoutConfig) -> Self {
        let timed = if config.durations { TIMED } else { 0 };
        let (how, limit) = match config.limit {
            TimeLimit::None => (0, UNLIMITED),
            TimeLimit::Fixed(limit) => (0, in_nanos(limit)),
            TimeLimit::Adaptive(_) => (LEARNT, UNLIMITED),
        };
        Self(config.mode as u64 | timed | how | limit << LIMIT_SHIFT)
    }

    #[inline]
    pub(crate) const fn mode(self) -> Mode {
        Mode::of_word(self.0)
    }

    #[inline]
    pub(crate) const fn is_timed(self) -> bool {
        self.0 & TIMED != 0
    }

    #[inline]
    pub(crate) const fn is_learnt(self) -> bool {
        self.0 & LEARNT != 0
    }

    /// How many nanoseconds a call may take, where that is fixed.
    #[inline]
    pub(crate) const fn limit(self) -> u64 {
        self.0 >> LIMIT_SHIFT
    }
}

/// Returns the nanoseconds of a limit. So long that there is no room for it is unlimited.
pub(crate) fn in_nanos(limit: Duration) -> u64 {
    nanos(limit).min(UNLIMITED)
}

/// Returns the limit of so many nanoseconds.
pub(crate) fn in_time(limit: u64) -> Option<Duration> {
    (limit < UNLIMITED).then(|| Duration::from_nanos(limit))
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("mode", &self.mode())
            .field("timed", &self.is_timed())
            .field("learnt", &self.is_learnt())
            .field("limit", &in_time(self.limit()))
            .finish()
    }
}

/// The plan in force. All calls read it, and it is seldom written.
#[derive(Debug)]
pub(crate) struct CurrentPlan(AtomicU64);

impl CurrentPlan {
    pub(crate) const fn new(plan: Plan) -> Self {
        Self(AtomicU64::new(plan.0))
    }

    #[inline]
    pub(crate) fn load(&self) -> Plan {
        Plan(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn store(&self, plan: Plan) {
        self.0.store(plan.0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_what_it_was_made_of() {
        for mode in [Mode::Enforce, Mode::Shadow, Mode::Off] {
            for (limit, expected) in [
                (TimeLimit::None, None),
                (
                    TimeLimit::Fixed(Duration::from_millis(7)),
                    Some(Duration::from_millis(7)),
                ),
                (TimeLimit::Fixed(Duration::MAX), None),
            ] {
                for durations in [false, true] {
                    let plan = Plan::new(&TimeoutConfig {
                        limit: limit.clone(),
                        mode,
                        durations,
                        ..TimeoutConfig::default()
                    });

                    assert_eq!(plan.mode(), mode);
                    assert_eq!(plan.is_timed(), durations);
                    assert_eq!(in_time(plan.limit()), expected);
                    assert!(!plan.is_learnt());
                }
            }
        }
    }
}
