//! Circuit breakers.

use std::time::Duration;

use watertight_breaker::{BreakerBuilder, BreakerLayer};
use watertight_core::{Key, Window};
use watertight_metrics::Registry;

use crate::peers::{FailsafeLayer, RecloserLayer};
use crate::{Family, Limits, Row, peers};

pub(super) fn family() -> Family {
    Family {
        name: "breaker",
        rows: vec![
            Row::success("recloser", RecloserLayer::closed).reference(),
            Row::success("failsafe", FailsafeLayer::closed),
            Row::success(
                "tower-resilience breaker",
                peers::tower_resilience::count_window,
            ),
            Row::success("watertight breaker", closed).within(SUCCESS),
            Row::cloned("watertight breaker, a clone each call", closed),
            Row::success("watertight breaker, slow calls", || {
                builder().slow_call(Duration::from_secs(5)).build()
            }),
            Row::success("watertight breaker, window of time", || {
                builder()
                    .window(Window::time(Duration::from_secs(10)))
                    .build()
            }),
            Row::success("watertight breaker, by key", || {
                builder().key(|_: &_| Key::of(7_u64)).build()
            })
            .within(SUCCESS),
            Row::refusal("recloser, open", RecloserLayer::open).reference(),
            Row::refusal("failsafe, open", FailsafeLayer::open),
            Row::refusal(
                "tower-resilience breaker, open",
                peers::tower_resilience::forced_open,
            ),
            Row::refusal("watertight breaker, open", || {
                let layer = closed();
                layer.handle().open_for(Duration::from_secs(3_600));
                layer
            })
            .within(REFUSAL),
        ],
    }
}

const SUCCESS: Limits = Limits {
    allocations: 0,
    locked: 4,
    clock: 0,
};

/// The rejection is boxed, and says how long it stays open.
const REFUSAL: Limits = Limits {
    allocations: 1,
    locked: 4,
    clock: 1,
};

fn builder() -> BreakerBuilder {
    BreakerLayer::builder("payments").registry(&Registry::new())
}

fn closed() -> BreakerLayer {
    builder().build()
}
