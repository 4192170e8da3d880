//! Timeouts. None is due here. What is pending shows what it costs to arm a timer.

use std::time::Duration;

use watertight_core::Key;
use watertight_metrics::Registry;
use watertight_timeout::{Learnt, TimeoutBuilder, TimeoutLayer};

use crate::{Family, Limits, Row};

pub(super) fn family() -> Family {
    Family {
        name: "timeout",
        rows: vec![
            Row::success("tower timeout", || tower::timeout::TimeoutLayer::new(LIMIT)).reference(),
            Row::success("watertight timeout", || fixed().limit(LIMIT).build()).within(FIXED),
            Row::cloned("watertight timeout, a clone each call", || {
                fixed().limit(LIMIT).build()
            }),
            Row::success("watertight timeout, per request", || {
                fixed().per_request(|_: &u64| Some(LIMIT)).build()
            }),
            Row::success("watertight adaptive timeout", || adaptive().build()).within(ADAPTIVE),
            Row::success("watertight adaptive timeout, by key", || {
                adaptive().key(|_: &u64| Key::of("one")).build()
            })
            .within(ADAPTIVE),
        ],
    }
}

const LIMIT: Duration = Duration::from_secs(1);

/// A call that is answered at once makes no timer, and looks at no clock.
const FIXED: Limits = Limits {
    allocations: 0,
    locked: 2,
    clock: 0,
};

const ADAPTIVE: Limits = Limits {
    allocations: 0,
    locked: 4,
    clock: 1,
};

fn fixed() -> TimeoutBuilder {
    TimeoutLayer::builder("search").registry(&Registry::new())
}

fn adaptive() -> TimeoutBuilder<Learnt> {
    // Otherwise a busy machine that lets a thread wait for long cuts its call off.
    let builder = TimeoutLayer::adaptive("search").min(LIMIT);
    builder.registry(&Registry::new())
}
