//! Hedges. None is sent here: all calls are fast, and what is measured is what it costs to be ready
//! for the slow ones.

use std::time::Duration;

use watertight_core::{Always, Budget, ErrorsAreFailures};
use watertight_hedge::{HedgeBuilder, HedgeLayer};
use watertight_metrics::Registry;

use crate::{Family, Limits, Row, peers};

pub(super) fn family() -> Family {
    Family {
        name: "hedge",
        rows: vec![
            Row::success("tower hedge", || peers::tower::HedgeLayer).reference(),
            Row::success("tower-resilience hedge", peers::tower_resilience::hedge),
            Row::success("watertight hedge", hedge).within(SUCCESS),
            Row::cloned("watertight hedge, a clone each call", hedge),
            Row::success("watertight hedge, after 1 s", || {
                builder().after(Duration::from_secs(1)).build()
            }),
            Row::success("watertight hedge, no budget", || {
                builder().budget(Budget::unlimited()).build()
            }),
        ],
    }
}

const SUCCESS: Limits = Limits {
    allocations: 0,
    locked: 4,
    clock: 1,
};

fn builder() -> HedgeBuilder<ErrorsAreFailures, Always> {
    HedgeLayer::builder("search")
        .repeat(Always)
        .registry(&Registry::new())
}

fn hedge() -> HedgeLayer<ErrorsAreFailures, Always> {
    builder().build()
}
