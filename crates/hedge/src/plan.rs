use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use watertight_core::{Mode, nanos};

use crate::sync::AtomicU64;
use crate::{HedgeConfig, Trigger};

/// What a call has to know when it comes, in one word: the mode, how many hedges, and after what
/// time.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Plan(u64);

/// Calls are timed. The mode is below this.
const TIMED: u64 = 1 << Mode::BITS;
/// The delay is the percentile's, and changes.
const LEARNT: u64 = TIMED << 1;
/// A closure says the delay.
const ASKED: u64 = TIMED << 2;
const HEDGES_SHIFT: u32 = Mode::BITS + 3;
const HEDGES: u64 = 7;
/// The nanoseconds of the delay are above this, with room for two years.
const DELAY_SHIFT: u32 = HEDGES_SHIFT + 3;
const NEVER: u64 = u64::MAX >> DELAY_SHIFT;

const _: () = assert!(HedgeConfig::MOST_HEDGES as u64 <= HEDGES);

impl Plan {
    /// Makes the plan of `config`, in which a percentile is not known yet.
    pub(crate) fn new(config: &HedgeConfig) -> Self {
        let (how, delay) = match config.trigger {
            Trigger::Percentile(_) => (TIMED | LEARNT, None),
            Trigger::After(delay) => (0, Some(delay)),
            Trigger::Custom(_) => (TIMED | ASKED, None),
        };
        let hedges = u64::from(config.max_hedges) << HEDGES_SHIFT;
        Self(config.mode as u64 | how | hedges).with_delay(delay)
    }

    /// Returns the plan with this delay.
    pub(crate) fn with_delay(self, delay: Option<Duration>) -> Self {
        let delay = delay.map_or(NEVER, |delay| nanos(delay).min(NEVER));
        Self(self.0 & !(NEVER << DELAY_SHIFT) | delay << DELAY_SHIFT)
    }

    #[inline]
    pub(crate) const fn mode(self) -> Mode {
        Mode::of_word(self.0)
    }

    #[inline]
    pub(crate) const fn is_timed(self) -> bool {
        self.0 & TIMED != 0
    }

    pub(crate) const fn is_asked(self) -> bool {
        self.0 & ASKED != 0
    }

    /// After what time a call is hedged, where that is known. So long that there is no room for it
    /// is never.
    pub(crate) const fn delay(self) -> Option<Duration> {
        match self.0 >> DELAY_SHIFT {
            NEVER => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// How many hedges a call may send, if it may be hedged at all.
    #[inline]
    pub(crate) const fn hedges(self) -> u32 {
        let is_unknown = self.0 >> DELAY_SHIFT == NEVER && !self.is_asked();
        if is_unknown || matches!(self.mode(), Mode::Off) {
            return 0;
        }
        (self.0 >> HEDGES_SHIFT & HEDGES) as u32
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("mode", &self.mode())
            .field("hedges", &self.hedges())
            .field("delay", &self.delay())
            .finish()
    }
}

/// The plan in force. All calls read it, and it is seldom written.
#[derive(Debug)]
pub(crate) struct CurrentPlan(AtomicU64);

impl CurrentPlan {
    pub(crate) fn new(plan: Plan) -> Self {
        Self(AtomicU64::new(plan.0))
    }

    #[inline]
    pub(crate) fn load(&self) -> Plan {
        Plan(self.0.load(Ordering::Relaxed))
    }

    /// Puts a plan in force, after all that was learnt before.
    pub(crate) fn store(&self, plan: Plan) {
        self.0.swap(plan.0, Ordering::SeqCst);
    }

    /// Puts a delay in force that has been learnt, unless the delay is said by other means now.
    pub(crate) fn learn(&self, delay: Option<Duration>) {
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |word| {
                (word & LEARNT != 0).then(|| Plan(word).with_delay(delay).0)
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(trigger: Trigger, max_hedges: u32, mode: Mode) -> Plan {
        Plan::new(&HedgeConfig {
            trigger,
            max_hedges,
            mode,
            ..HedgeConfig::default()
        })
    }

    #[test]
    fn a_word_holds_it_all() {
        for mode in [Mode::Enforce, Mode::Shadow, Mode::Off] {
            for hedges in 0..=HedgeConfig::MOST_HEDGES {
                let delay = Duration::from_nanos(12_345_678_901);
                let plan = plan(Trigger::After(delay), hedges, mode);

                assert_eq!(plan.mode(), mode);
                let hedges = if mode == Mode::Off { 0 } else { hedges };
                assert_eq!(plan.hedges(), hedges);
                assert_eq!(plan.delay(), Some(delay));
                assert!(!plan.is_timed());
            }
        }
    }

    #[test]
    fn without_a_delay_nothing_is_hedged() {
        let unknown = plan(Trigger::Percentile(0.9), 2, Mode::Enforce);
        let endless = plan(Trigger::After(Duration::MAX), 2, Mode::Enforce);

        for plan in [unknown, endless] {
            assert_eq!((plan.hedges(), plan.delay()), (0, None));
        }
    }

    #[test]
    fn only_a_percentile_is_learnt() {
        let second = Some(Duration::from_secs(1));
        let learns = CurrentPlan::new(plan(Trigger::Percentile(0.9), 2, Mode::Shadow));
        let fixed = CurrentPlan::new(plan(Trigger::After(Duration::ZERO), 2, Mode::Enforce));

        learns.learn(second);
        fixed.learn(second);

        assert_eq!(learns.load().delay(), second);
        assert_eq!(
            (learns.load().hedges(), learns.load().mode()),
            (2, Mode::Shadow)
        );
        assert_eq!(fixed.load().delay(), Some(Duration::ZERO));
        learns.learn(None);
        assert_eq!((learns.load().hedges(), learns.load().delay()), (0, None));
    }
}
