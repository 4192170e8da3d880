use std::time::Duration;

use watertight_core::ConfigError;

use super::range;
use crate::{LimitAlgorithm, Sample};

/// Additive increase, multiplicative decrease: one more with each call in time, a tenth less with
/// each call that is not.
///
/// It looks at nothing but drops, so it keeps the service as full as it can be without them. Right
/// where a drop is cheap and says clearly that there is too much, such as a 503 from a service that
/// protects itself. Where calls queue until they time out it keeps the queue full.
///
/// A call counts as dropped if it takes longer than `timeout`, too. The limit does not grow while
/// less than half of it is in use. The numbers are those of Netflix's `concurrency-limits`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Aimd {
    /// The limit to begin with.
    pub initial: usize,
    /// The least limit.
    pub min: usize,
    /// The greatest limit.
    pub max: usize,
    /// What a drop multiplies the limit by, above 0.0 and below 1.0.
    pub backoff: f64,
    /// What takes longer than this counts as dropped. Above zero.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub timeout: Duration,
}

impl Default for Aimd {
    fn default() -> Self {
        Self {
            initial: 20,
            min: 20,
            max: 200,
            backoff: 0.9,
            timeout: Duration::from_secs(5),
        }
    }
}

impl Aimd {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        range::check(self.min, self.initial, self.max)?;
        if self.timeout.is_zero() {
            return Err(ConfigError::new(
                "limit.timeout",
                self.timeout,
                "above zero",
            ));
        }
        range::check_share("limit.backoff", self.backoff, false)
    }
}

/// An [`Aimd`] limit at work.
#[derive(Debug)]
pub(super) struct AimdLimit {
    settings: Aimd,
    limit: usize,
}

impl AimdLimit {
    pub(super) fn new(settings: Aimd) -> Self {
        let limit = settings.initial;
        Self { settings, limit }
    }
}

impl LimitAlgorithm for AimdLimit {
    fn limit(&self) -> usize {
        self.limit
    }

    fn sample(&mut self, sample: &Sample) {
        let limit = if sample.dropped || sample.duration > self.settings.timeout {
            (self.limit as f64 * self.settings.backoff) as usize
        } else if sample.in_flight.saturating_mul(2) >= self.limit {
            self.limit.saturating_add(1)
        } else {
            return;
        };
        self.limit = limit.clamp(self.settings.min, self.settings.max);
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{drop, served};
    use super::*;

    fn aimd() -> AimdLimit {
        AimdLimit::new(Aimd {
            min: 1,
            ..Aimd::default()
        })
    }

    #[test]
    fn grows_by_one_with_a_call_and_shrinks_by_a_tenth_with_a_drop() {
        let mut aimd = aimd();

        aimd.sample(&served(10, 20));
        assert_eq!(aimd.limit(), 21);

        aimd.sample(&drop(10, 21));
        assert_eq!(aimd.limit(), 18);
    }

    #[test]
    fn a_call_longer_than_the_timeout_is_a_drop() {
        let mut aimd = aimd();

        aimd.sample(&served(5_000, 20));
        assert_eq!(aimd.limit(), 21);

        aimd.sample(&served(5_001, 20));
        assert_eq!(aimd.limit(), 18);
    }

    #[test]
    fn does_not_grow_while_less_than_half_is_in_use() {
        let mut aimd = aimd();

        aimd.sample(&served(10, 9));
        assert_eq!(aimd.limit(), 20);

        aimd.sample(&served(10, 10));
        assert_eq!(aimd.limit(), 21);
    }

    #[test]
    fn stays_between_its_bounds() {
        let mut aimd = AimdLimit::new(Aimd::default());
        for _ in 0..10 {
            aimd.sample(&drop(10, 20));
        }
        assert_eq!(aimd.limit(), 20);

        for _ in 0..1_000 {
            aimd.sample(&served(10, 200));
        }
        assert_eq!(aimd.limit(), 200);
    }
}
