use tokio::time::Instant;

use crate::Sample;

/// A short while with a limit so low that no call waits at the service, which shows how long calls
/// take then.
#[derive(Debug)]
pub(super) struct Probe {
    /// How many calls may be in flight meanwhile.
    pub(super) level: usize,
    /// When it began. The first one has been there for ever.
    from: Option<Instant>,
    until: Option<Instant>,
    /// How many calls it is still to see end.
    missing: usize,
    /// How many of those that it has seen were dropped.
    dropped: usize,
}

/// How many calls a probe sees end, for each that may be in flight.
const CALLS: usize = 4;

/// The fewest calls that are a measure.
pub(super) const FEWEST_CALLS: usize = 32;

impl Probe {
    /// The probe that a limit begins with.
    pub(super) fn first(level: usize) -> Self {
        Self {
            level,
            from: None,
            until: None,
            missing: CALLS.saturating_mul(level).max(FEWEST_CALLS),
            dropped: 0,
        }
    }

    pub(super) fn begin(level: usize, now: Instant) -> Self {
        Self {
            from: Some(now),
            ..Self::first(level)
        }
    }

    /// How many calls it is still to see end.
    pub(super) const fn missing(&self) -> usize {
        self.missing
    }

    pub(super) fn is_running(&self) -> bool {
        self.until.is_none()
    }

    /// Whether the call began while the probe ran. It may end later: who took only those that end
    /// in time would take the fast ones.
    pub(super) fn covers(&self, sample: &Sample) -> bool {
        let began = sample.ended.checked_sub(sample.duration);
        let not_before = self.from.is_none_or(|from| began >= Some(from));
        not_before && self.until.is_none_or(|until| began < Some(until))
    }

    /// Takes in a call that the probe covers, and returns whether it ends with that.
    pub(super) fn see(&mut self, sample: &Sample) -> bool {
        self.missing = self.missing.saturating_sub(1);
        self.dropped += usize::from(sample.dropped);
        let ends = self.missing == 0 && self.is_running();
        if ends {
            self.until = Some(sample.ended);
        }
        ends
    }

    /// The share of its calls that were dropped, once it has ended.
    pub(super) fn dropped(&self) -> f64 {
        let calls = CALLS.saturating_mul(self.level).max(FEWEST_CALLS);
        self.dropped as f64 / calls as f64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::samples::served;
    use super::*;

    fn call(start: Instant, from: u64, to: u64) -> Sample {
        Sample {
            ended: start + Duration::from_millis(to),
            ..served(to - from, 1)
        }
    }

    #[test]
    fn covers_the_calls_that_begin_in_it() {
        let start = Instant::now() + Duration::from_secs(1);
        let mut probe = Probe::begin(1, start + Duration::from_millis(10));

        assert!(!probe.covers(&call(start, 9, 100)));
        for _ in 0..FEWEST_CALLS {
            assert!(probe.is_running());
            let ends = probe.see(&call(start, 10, 20));
            assert_eq!(ends, !probe.is_running());
        }

        assert!(!probe.is_running());
        assert!(probe.covers(&call(start, 19, 1_000)));
        assert!(!probe.covers(&call(start, 20, 30)));
    }

    #[test]
    fn the_first_covers_all_calls_up_to_its_end() {
        let probe = Probe::first(3);

        assert!(probe.covers(&call(Instant::now(), 0, 1)));
    }
}
