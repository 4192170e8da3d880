use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;
use watertight_metrics::{Latency, LatencySnapshot};

/// How much time calls have left as they come in, and how late those are that have none.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// Made with the first call that has something to record.
    left: OnceLock<Box<Latency>>,
    late_by: OnceLock<Box<Latency>>,
}

impl Times {
    /// Records a call whose caller says that it waits for `left`, where there is the deadline
    /// `outer` already.
    pub(super) fn record(&self, left: Option<Duration>, outer: Option<Instant>, now: Instant) {
        let record = |times: &OnceLock<Box<Latency>>, time| {
            times
                .get_or_init(|| Box::new(Latency::new(now)))
                .record(time, now);
        };
        if let Some(outer) = outer.filter(|outer| *outer <= now) {
            record(&self.late_by, now - outer);
            return;
        }
        let until_outer = outer.map(|outer| outer - now);
        if let Some(left) = left.into_iter().chain(until_outer).min() {
            record(&self.left, left);
        }
    }

    pub(super) fn left(&self, now: Instant) -> Option<LatencySnapshot> {
        self.left.get().map(|times| times.snapshot(now))
    }

    pub(super) fn late_by(&self, now: Instant) -> Option<LatencySnapshot> {
        self.late_by.get().map(|times| times.snapshot(now))
    }
}
