//! How long a command took.

#![allow(
    clippy::disallowed_types,
    reason = "commands are timed by the wall clock, and there is no runtime here"
)]

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn read(self) -> Duration {
        self.0.elapsed()
    }
}
