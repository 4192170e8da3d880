//! Bulkheads. No call waits here: a queue that is configured shows what it costs not to need it.

use std::mem;
use std::time::Duration;

use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service};
use watertight_bulkhead::{BulkheadBuilder, BulkheadLayer, Limit};
use watertight_core::{Key, Priority};
use watertight_metrics::Registry;

use crate::{Echo, Family, Limits, Row, peers};

pub(super) fn family() -> Family {
    let mut rows = peers();
    rows.extend(ours());
    rows.extend(refusals());
    Family {
        name: "bulkhead",
        rows,
    }
}

fn peers() -> Vec<Row> {
    vec![
        Row::success("tower concurrency limit", || {
            ConcurrencyLimitLayer::new(LARGE)
        })
        .reference(),
        Row::success("tower load shed + concurrency limit", || {
            peers::tower::shed_above(LARGE)
        }),
        Row::success("tower-resilience bulkhead", || {
            peers::tower_resilience::bulkhead(LARGE)
        }),
        Row::success(
            "tower-resilience adaptive, AIMD",
            peers::tower_resilience::aimd,
        ),
        Row::success(
            "tower-resilience adaptive, Vegas",
            peers::tower_resilience::vegas,
        ),
    ]
}

fn ours() -> Vec<Row> {
    vec![
        Row::success("watertight bulkhead", || builder(LARGE).build()).within(FIXED),
        Row::cloned("watertight bulkhead, a clone each call", || {
            builder(LARGE).build()
        })
        .within(CLONED),
        Row::success("watertight bulkhead, few slots", || builder(FEW).build()).within(FIXED),
        Row::success("watertight bulkhead, a queue", || {
            let queue = builder(LARGE).max_queue(100);
            queue.max_wait(Duration::from_secs(1)).build()
        })
        .within(FIXED),
        Row::success("watertight bulkhead, a reserve", || {
            builder(LARGE).reserve(Priority::Critical, 0.1).build()
        })
        .within(FIXED),
        Row::success("watertight bulkhead, by partition", || {
            let shares = builder(LARGE).max_queue(100).partition("web", 0.5);
            let shares = shares.max_wait(Duration::from_secs(1));
            shares.partition_by(|_: &u64| Some("web")).build()
        })
        .within(FIXED),
        Row::success("watertight bulkhead, by key", || {
            builder(LARGE).key(|_: &u64| Key::of(7_u64)).build()
        })
        .within(FIXED),
        Row::success("watertight bulkhead, a thousand keys", || {
            let any_key = |_: &u64| Key::of(peers::any_key(1_000));
            let layer = builder(LARGE).key(any_key).build();
            let mut service = layer.layer(Echo::<true>);
            // Each key has had its first call with this, which makes its bulkhead.
            (0..20_000).for_each(|_| drop(service.call(0)));
            layer
        })
        .within(MANY_KEYS),
        Row::success("watertight bulkhead, AIMD", || {
            builder(Limit::aimd()).build()
        })
        .within(LEARNT),
        Row::success("watertight bulkhead, Vegas", || {
            builder(Limit::vegas()).build()
        })
        .within(LEARNT),
        Row::success("watertight bulkhead, adaptive", || {
            builder(Limit::adaptive()).build()
        })
        .within(LEARNT),
    ]
}

/// There is none of `tower-resilience`: it holds a call that it refuses for a millisecond.
fn refusals() -> Vec<Row> {
    vec![
        Row::refusal("tower load shed + concurrency limit, full", || {
            peers::tower::shed_above(0)
        })
        .reference(),
        Row::refusal("watertight bulkhead, full", full).within(REFUSAL),
    ]
}

/// Slots enough for each stripe to have some.
const LARGE: usize = 1_000;

/// Slots that all threads take from one place.
const FEW: usize = 2;

const FIXED: Limits = Limits {
    allocations: 0,
    locked: 4,
    clock: 0,
};

/// The clone counts one reference, and its drop another.
const CLONED: Limits = Limits { locked: 6, ..FIXED };

/// More keys than a thread remembers: who looks another up locks a part of the map, and unlocks it.
const MANY_KEYS: Limits = Limits { locked: 6, ..FIXED };

/// How long a call takes is what there is to learn. At most 16 times a millisecond a call is timed
/// to its end, and one in 17 of those hands over what was gathered under a lock: not one call in a
/// thousand, but more while all is slowed down to be counted.
const LEARNT: Limits = Limits {
    allocations: 0,
    locked: 5,
    clock: 2,
};

/// The rejection is boxed.
const REFUSAL: Limits = Limits {
    allocations: 1,
    locked: 0,
    clock: 0,
};

fn builder(limit: impl Into<Limit>) -> BulkheadBuilder {
    BulkheadLayer::builder("payments", limit).registry(&Registry::new())
}

/// Makes a bulkhead whose one slot is taken for ever.
fn full() -> BulkheadLayer {
    let layer = builder(1).build();
    mem::forget(layer.layer(Echo::<true>).call(0));
    layer
}
