use std::time::Duration;

use watertight_core::nanos;

use super::OnStoreFailure;
use crate::{LeakyBucket, Quota, Quotas};

/// How much of its quotas a process grants by itself, above 0 and at most 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(f64);

impl Share {
    pub(crate) const ALL: Self = Self(1.0);

    /// Returns the share that is granted when a store fails.
    pub(crate) const fn of(on_failure: OnStoreFailure) -> Self {
        match on_failure {
            OnStoreFailure::Local(share) => Self(share),
            OnStoreFailure::Allow | OnStoreFailure::Refuse => Self::ALL,
        }
    }

    /// Returns this share of valid quotas, which is valid too.
    pub(crate) fn of_quotas(self, quotas: &Quotas) -> Quotas {
        if self == Self::ALL {
            return quotas.clone();
        }
        let shares = quotas.as_slice().iter().map(|quota| self.of_quota(quota));
        shares.collect()
    }

    /// Returns a pace in which as much less waits or starts at once.
    pub(crate) fn of_pace(self, setting: LeakyBucket) -> LeakyBucket {
        LeakyBucket {
            queue: self.of_count(setting.queue),
            slack: self.of_count(setting.slack),
            ..setting
        }
    }

    fn of_quota(self, quota: &Quota) -> Quota {
        let tokens = self.of_count(quota.tokens());
        let share = if tokens == 0 {
            let period = nanos(quota.period()) as f64 / (quota.tokens() as f64 * self.0);
            // A float that is too large becomes the largest integer.
            let period = Duration::from_nanos(period.ceil() as u64);
            Quota::new(1, period.min(Quota::MAX_PERIOD))
        } else {
            Quota::new(tokens, quota.period())
        };
        if quota.capacity() == quota.tokens() {
            return share.debt(self.of_count(quota.max_debt()));
        }
        share
            .burst(self.of_count(quota.capacity()).max(1))
            .debt(self.of_count(quota.max_debt()))
    }

    fn of_count(self, count: u64) -> u64 {
        if self == Self::ALL {
            return count;
        }
        (count as f64 * self.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(share: f64, quota: Quota) -> Quota {
        Share(share).of_quotas(&quota.into()).as_slice()[0]
    }

    #[test]
    fn a_share_is_rounded_down_to_whole_tokens() {
        let quota = share(0.05, Quota::per_second(50).burst(101).debt(19));

        assert_eq!((quota.tokens(), quota.capacity()), (2, 5));
        assert_eq!(
            (quota.max_debt(), quota.period()),
            (0, Duration::from_secs(1))
        );
    }

    #[test]
    fn what_is_less_than_one_token_is_one_in_a_longer_period() {
        let quota = share(0.25, Quota::per_second(2));

        assert_eq!(quota.tokens(), 1);
        assert_eq!(quota.period(), Duration::from_secs(2));
    }

    #[test]
    fn all_of_it_is_as_it_was() {
        let quota = Quota::per_second(u64::from(u32::MAX))
            .burst(1 << 54)
            .debt(3);
        assert_eq!(share(1.0, quota), quota);
    }

    proptest! {
        #[test]
        fn a_share_of_a_valid_quota_is_valid_and_no_faster(
            part in 1e-9..=1.0,
            tokens in 1..=u64::MAX,
            period in 1..=3_155_760_000_000_000_000_u64,
            burst in proptest::option::of(1..=1_u64 << 61),
        ) {
            let mut quota = Quota::new(tokens.min(period), Duration::from_nanos(period));
            if let Some(burst) = burst {
                quota = quota.burst(burst);
            }
            prop_assume!(quota.validate().is_ok());

            let less = share(part, quota);

            prop_assert_eq!(less.validate(), Ok(()));
            let rate = |quota: Quota| quota.tokens() as f64 / quota.period().as_nanos() as f64;
            let is_slowest = less.period() == Quota::MAX_PERIOD;
            prop_assert!(is_slowest || rate(less) <= rate(quota) * part * 1.000_001);
        }
    }
}
