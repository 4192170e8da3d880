//! Rate limits. All calls pass, or all are refused: none waits.

use std::time::Duration;

use tower::layer::util::Stack;
use tower::{Layer, Service};
use tower_resilience_ratelimiter::WindowType;
use watertight_core::{Key, KeyBy};
use watertight_http::{HttpExt, RespondLayer};
use watertight_metrics::Registry;
use watertight_ratelimit::{
    LeakyBucketLayer, Quota, RateLimitBuilder, SlidingWindow, SlidingWindowLayer, TokenBucket,
    TokenBucketLayer,
};

use crate::peers::{self, GovernorLayer, OverHttp};
use crate::{Echo, Family, Limits, Row, Wraps};

/// Token buckets of all calls. `governor` reads the TSC by itself; ours go by tokio's clock.
pub(super) fn token_buckets() -> Family {
    Family {
        name: "token bucket",
        rows: vec![
            Row::success("governor", GovernorLayer::ample).reference(),
            Row::success(
                "tower-resilience token bucket",
                peers::tower_resilience::token_bucket,
            ),
            Row::success("watertight token bucket", || ample().build()).within(SUCCESS),
            Row::cloned("watertight token bucket, a clone each call", || {
                ample().build()
            }),
            Row::success("watertight token bucket, three quotas", || {
                let (minute, hour) = (rate_for(60), rate_for(3_600));
                ample().and(minute).and(hour).build()
            }),
            Row::refusal("governor, dry", GovernorLayer::dry).reference(),
            Row::refusal(
                "tower-resilience token bucket, dry",
                peers::tower_resilience::token_bucket_dry,
            ),
            Row::refusal("watertight token bucket, dry", || dried(scant().build())).within(REFUSAL),
        ],
    }
}

/// Token buckets of each key.
pub(super) fn by_key() -> Family {
    Family {
        name: "token bucket by key",
        rows: vec![
            Row::success("governor, a hot key", || GovernorLayer::by_key(1)).reference(),
            Row::success("governor, a thousand keys", || GovernorLayer::by_key(1_000)),
            Row::success("governor, a million keys", || {
                GovernorLayer::by_key(1_000_000)
            }),
            Row::success("watertight token bucket, a hot key", || keyed(1)).within(SUCCESS),
            Row::success("watertight token bucket, a thousand keys", || keyed(1_000))
                .within(SUCCESS),
            Row::success("watertight token bucket, a million keys", || {
                keyed(1_000_000)
            })
            .within(SUCCESS),
            Row::refusal("governor, a dry key", GovernorLayer::dry_by_key).reference(),
            Row::refusal("watertight token bucket, a dry key", || {
                dried(scant().key_by(AnyKey(1)).build())
            })
            .within(REFUSAL),
        ],
    }
}

/// Sliding windows, and the leaky bucket, which has no peer.
pub(super) fn windows() -> Family {
    Family {
        name: "sliding window",
        rows: vec![
            Row::success("tower-resilience sliding counter", || {
                peers::tower_resilience::window(WindowType::SlidingCounter)
            })
            .reference(),
            Row::success("tower-resilience sliding log", || {
                peers::tower_resilience::window(WindowType::SlidingLog)
            }),
            Row::success("watertight sliding window", || {
                window(SlidingWindow::Approximate)
            })
            .within(SUCCESS),
            Row::success("watertight sliding window, ten buckets", || {
                window(SlidingWindow::Buckets(10))
            })
            .within(SUCCESS),
            Row::success("watertight sliding window, exact", || {
                window(SlidingWindow::Exact)
            })
            .within(SUCCESS),
            Row::success("watertight leaky bucket", || {
                LeakyBucketLayer::builder("api", rate_for(1))
                    .slack(RATE / 2)
                    .registry(&Registry::new())
                    .build()
            })
            .within(SUCCESS),
        ],
    }
}

/// What a limit of HTTP costs, and to write an answer for who is refused.
pub(super) fn over_http() -> Family {
    Family {
        name: "rate limit over HTTP",
        rows: vec![
            Row::success("bare HTTP", peers::bare_http).reference(),
            Row::success("tower_governor", peers::tower_governor_ample),
            Row::success("watertight token bucket, over HTTP", || {
                OverHttp(Stack::new(ample().http().build(), RespondLayer::new()))
            })
            .within(SUCCESS),
            Row::success("watertight token bucket, over HTTP, announced", || {
                OverHttp(Stack::new(
                    ample().announce(true).http().build(),
                    RespondLayer::new(),
                ))
            }),
            Row::refusal("tower_governor, dry", peers::tower_governor_dry).reference(),
            Row::refusal("watertight token bucket, dry, over HTTP", || {
                let layer = dried(scant().build());
                OverHttp(Stack::new(layer, RespondLayer::new()))
            }),
        ],
    }
}

/// More tokens a second than calls can be made.
const RATE: u64 = 1_000_000_000;

const SUCCESS: Limits = Limits {
    allocations: 0,
    locked: 4,
    clock: 1,
};

/// The rejection is boxed.
const REFUSAL: Limits = Limits {
    allocations: 1,
    locked: 4,
    clock: 2,
};

fn rate_for(seconds: u64) -> Quota {
    Quota::new(RATE * seconds, Duration::from_secs(seconds)).burst(RATE)
}

fn ample() -> RateLimitBuilder<TokenBucket> {
    TokenBucketLayer::builder("api", rate_for(1)).registry(&Registry::new())
}

/// Makes a limit for each of so many keys, which are all known.
fn keyed(keys: u64) -> impl Wraps {
    // A key that has got everything back would be none.
    let quota = Quota::per_second(1).burst(RATE);
    let builder = TokenBucketLayer::builder("api", quota).key_by(AnyKey(keys));
    let builder = builder.max_keys(keys as usize);
    let layer = builder.registry(&Registry::new()).build();
    for key in 0..keys {
        let _ = layer.handle().key(Key::of(key)).take(1);
    }
    layer
}

/// One of so many keys.
#[derive(Clone, Copy)]
struct AnyKey(u64);

impl KeyBy<u64> for AnyKey {
    fn key(&self, _: &u64) -> Option<Key> {
        Some(Key::of(peers::any_key(self.0)))
    }
}

fn scant() -> RateLimitBuilder<TokenBucket> {
    TokenBucketLayer::builder("api", Quota::per_day(1)).registry(&Registry::new())
}

fn window(window: SlidingWindow) -> SlidingWindowLayer {
    let quota = Quota::new(1_000_000, Duration::from_millis(10));
    let builder = SlidingWindowLayer::builder("api", quota).window(window);
    builder.registry(&Registry::new()).build()
}

/// Takes what `layer` has.
fn dried<L>(layer: L) -> L
where
    L: Layer<Echo<false>, Service: Service<u64>>,
{
    drop(layer.layer(Echo::<false>).call(0));
    layer
}
