use std::time::Duration;

use super::Jitter;
use super::draws::Draws;
use super::shape::Shape;

/// The delays of one call, as its [`Backoff`](crate::Backoff) has them.
///
/// A clone begins anew, as tower asks of its backoffs.
#[derive(Debug)]
pub struct Delays {
    shape: Shape,
    jitter: Jitter,
    draws: Draws,
    retry: u32,
    /// The last delay, before its jitter.
    previous: Option<Duration>,
}

// A call in flight has room for one.
const _: () = assert!(size_of::<Delays>() <= 96);

impl Delays {
    pub(super) fn new(shape: Shape, jitter: Jitter, draws: Draws) -> Self {
        Self {
            shape,
            jitter,
            draws,
            retry: 0,
            previous: None,
        }
    }

    /// Returns how long to wait before the next retry.
    #[must_use]
    pub fn next_delay(&mut self) -> Duration {
        let max = self.shape.max();
        let range = self.shape.range(self.retry, self.previous);
        let delay = self.draws.uniform(range).min(max);
        self.retry = self.retry.saturating_add(1);
        self.previous = Some(delay);
        self.draws.uniform(self.jitter.range(delay)).min(max)
    }

    /// Begins anew: the next delay is one before a first retry. What was drawn is not drawn again.
    pub fn reset(&mut self) {
        self.retry = 0;
        self.previous = None;
    }

    /// Whether chance has a part in the delays. What a custom backoff's closure draws is not known.
    #[must_use]
    pub fn is_jittered(&self) -> bool {
        self.jitter.spreads() || self.shape.is_random()
    }
}

impl Clone for Delays {
    fn clone(&self) -> Self {
        Self::new(self.shape.clone(), self.jitter, self.draws.clone())
    }
}
