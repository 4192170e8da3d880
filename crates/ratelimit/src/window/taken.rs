use std::fmt;

use super::span::Span;

/// What has been taken in a window that ends now.
///
/// Times are nanoseconds since the epoch of the [`Span`], which is always the same one. A take
/// leaves the window a period after it came.
pub(crate) trait Taken: Clone + fmt::Debug + Send + 'static {
    /// Makes a window in which nothing was taken.
    fn new(span: &Span) -> Self;

    /// Takes the room of all that may be in the window, so that no call that passes does. Without it,
    /// room is taken as it is needed.
    fn make_room(&mut self, span: &Span) {
        let _ = span;
    }

    /// Forgets what has left the window by `now`. A time before an earlier one changes nothing.
    fn advance(&mut self, now: u64, span: &Span);

    /// Returns how much is in the window, rounded up. It has been advanced to `now`, as for
    /// everything that follows.
    fn used(&self, now: u64, span: &Span) -> u64;

    /// Adds what is taken now.
    fn add(&mut self, cost: u64, span: &Span, now: u64);

    /// Takes out `cost`, the latest first, or as much as there is.
    ///
    /// It is not known when it was taken, and what is given back was mostly taken just now.
    fn remove(&mut self, cost: u64, now: u64, span: &Span);

    /// Returns when no more than `most` is in the window, if nothing comes to it: `now`, or later.
    fn falls_to(&self, most: u64, now: u64, span: &Span) -> u64;

    /// Returns when what is in the window came, and how much it was, the oldest first. What is not
    /// known so precisely came as late as can be.
    fn history(&self, now: u64, span: &Span) -> Vec<(u64, u64)>;

    /// Makes of what is in this window what is in that of another `span`.
    fn carried(&self, now: u64, own: &Span, span: &Span) -> Self {
        let mut next = Self::new(span);
        for (at, cost) in self.history(now, own) {
            next.advance(at, span);
            next.add(cost, span, at);
        }
        next.advance(now, span);
        next
    }
}
