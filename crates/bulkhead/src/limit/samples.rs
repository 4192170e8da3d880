//! Samples for the tests of the algorithms.

use std::time::Duration;

use tokio::time::Instant;

use crate::Sample;

pub(super) fn served(millis: u64, in_flight: usize) -> Sample {
    Sample {
        ended: Instant::now(),
        duration: Duration::from_millis(millis),
        in_flight,
        dropped: false,
    }
}

pub(super) fn drop(millis: u64, in_flight: usize) -> Sample {
    Sample {
        dropped: true,
        ..served(millis, in_flight)
    }
}
