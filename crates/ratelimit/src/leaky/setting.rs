use std::time::Duration;

use watertight_core::ConfigError;

use crate::{Quota, Quotas};

/// Lets calls start one after another at the rate of a quota, and has those wait that come early.
///
/// Turns are booked to the nanosecond, and begun by tokio's timer, which goes by milliseconds: a call
/// starts up to one late, and above a thousand a second those start together that are due in the same
/// millisecond. What starts in a longer time is what the rate allows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct LeakyBucket {
    /// How much may wait for its turn, in the unit of costs; where there are keys, of each. 0 turns
    /// waiting off.
    #[cfg_attr(feature = "serde", serde(default))]
    pub queue: u64,
    /// How much may start at once after a pause that was long enough for it, besides the one call
    /// that may in any case. With 0, the default, no two turns are closer than at the rate.
    #[cfg_attr(feature = "serde", serde(default))]
    pub slack: u64,
    /// How long a call may wait for its turn, none for as long as the queue makes it wait. With 0 s
    /// none waits. A call that would wait for longer, or until after its deadline in any case, is
    /// refused when it comes.
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            with = "humantime_serde",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub max_wait: Option<Duration>,
}

impl LeakyBucket {
    /// Checks every field, with the valid `quotas` that it is to serve. It serves one, without a
    /// burst: that is what slack is.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self, quotas: &Quotas) -> Result<(), ConfigError> {
        let &[quota] = quotas.as_slice() else {
            let count = quotas.as_slice().len();
            return Err(ConfigError::new("quotas", count, "one: a pace is one"));
        };
        if quota.capacity() != quota.tokens() {
            let allowed = "none: slack says what may start at once";
            return Err(ConfigError::new("quota.burst", quota.capacity(), allowed));
        }
        self.bucket(&quota).validate().map_err(|error| {
            let size = self.queue.saturating_add(self.slack).saturating_add(1);
            let allowed = format!("as a burst, {}", error.allowed());
            ConfigError::new("algorithm.queue + slack + 1", size, allowed)
        })
    }

    /// Returns the quota of all that may be in the bucket: what waits, what starts, and the slack.
    pub(super) fn bucket(&self, quota: &Quota) -> Quota {
        let size = self.queue.saturating_add(self.slack).saturating_add(1);
        Quota::new(quota.tokens(), quota.period())
            .burst(size)
            .debt(quota.max_debt())
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    #[test]
    fn says_which_setting_of_a_leaky_bucket_cannot_be() {
        let valid = LeakyBucket {
            queue: 100,
            slack: 5,
            max_wait: Some(Duration::from_secs(1)),
        };
        let quota = Quota::per_second(10);
        assert_eq!(valid.validate(&quota.into()), Ok(()));
        assert_eq!(LeakyBucket::default().validate(&quota.into()), Ok(()));

        let endless = LeakyBucket {
            queue: u64::MAX,
            ..valid
        };
        for (leaky, quotas, field) in [
            (valid, quota.and(quota), "quotas"),
            (valid, quota.burst(20).into(), "quota.burst"),
            (endless, quota.into(), "algorithm.queue + slack + 1"),
        ] {
            let error = leaky.validate(&quotas).unwrap_err();
            assert_eq!(error.field(), field);
        }
    }
}
