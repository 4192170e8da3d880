use super::SlidingWindow;
use crate::RateLimitBuilder;

impl<R, L> RateLimitBuilder<SlidingWindow, R, L> {
    /// Keeps the time of each call. See [`SlidingWindow::Exact`].
    pub fn exact(self) -> Self {
        self.window(SlidingWindow::Exact)
    }

    /// Counts this period and the one before: the default. See [`SlidingWindow::Approximate`].
    pub fn approximate(self) -> Self {
        self.window(SlidingWindow::Approximate)
    }

    /// Counts `count` parts of the period. See [`SlidingWindow::Buckets`].
    pub fn buckets(self, count: u32) -> Self {
        self.window(SlidingWindow::Buckets(count))
    }

    /// Sets how the window is kept.
    pub fn window(mut self, window: SlidingWindow) -> Self {
        self.config.algorithm = window;
        self
    }
}
