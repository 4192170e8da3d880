use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota as GovernorQuota};
use tokio::time::Instant;
use watertight_core::Key;
use watertight_metrics::Registry;
use watertight_ratelimit::{Quota, TokenBucketLayer};

/// How many keys come that nobody has seen before.
const KEYS: u64 = 2_000_000;

/// How long single checks take, each of a new key.
#[derive(Clone, Copy, Debug)]
pub struct Stalls {
    /// What is measured.
    pub name: &'static str,
    /// The first one.
    pub first: Duration,
    /// Of all others, one in ten thousand takes longer.
    pub p99_99: Duration,
    /// The one that takes longest of all others.
    pub worst: Duration,
}

impl Stalls {
    /// Measures `governor`'s limit by key and ours, which is made for half as many keys as come.
    #[must_use]
    pub fn of_all() -> [Self; 2] {
        let governor = DefaultKeyedRateLimiter::keyed(GovernorQuota::per_second(NonZeroU32::MIN));

        let builder = TokenBucketLayer::builder("api", Quota::per_second(1));
        let builder = builder
            .max_keys(KEYS as usize / 2)
            .key(|key: &u64| Key::of(*key));
        let ours = builder.registry(&Registry::new()).build().handle();
        [
            Self::of("governor", |key| drop(governor.check_key(&key))),
            Self::of("watertight token bucket", |key| {
                let _ = ours.key(Key::of(key)).take(1);
            }),
        ]
    }

    fn of(name: &'static str, mut check: impl FnMut(u64)) -> Self {
        let mut time = |key| {
            let start = Instant::now();
            check(key);
            Instant::now() - start
        };
        let first = time(0);
        let mut others: Vec<_> = (1..KEYS).map(&mut time).collect();
        others.sort_unstable();
        let rank = others.len() - others.len() / 10_000 - 1;
        Self {
            name,
            first,
            p99_99: others[rank],
            worst: others[others.len() - 1],
        }
    }
}
