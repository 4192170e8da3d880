use std::time::Duration;

use super::LeakyBucket;
use crate::RateLimitBuilder;

impl<R, L> RateLimitBuilder<LeakyBucket, R, L> {
    /// Sets how much may wait for its turn. Default: 0.
    pub fn queue(mut self, cost: u64) -> Self {
        self.config.algorithm.queue = cost;
        self
    }

    /// Sets how much may start at once after a pause. See [`LeakyBucket::slack`]. Default: 0.
    pub fn slack(mut self, cost: u64) -> Self {
        self.config.algorithm.slack = cost;
        self
    }

    /// Sets how long a call may wait for its turn. With 0 s none waits.
    /// Default: as long as the queue makes it wait.
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.config.algorithm.max_wait = Some(time);
        self
    }
}
