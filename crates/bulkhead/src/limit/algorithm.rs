use crate::Sample;

/// Finds out how many calls a service has room for, from how the calls end.
///
/// An algorithm is a plain state machine: it is handed the time with each sample, knows no clock,
/// and is never asked by two threads at once.
///
/// No call waits for it: a sample that comes while another is being taken in may be left out. Nor
/// is it handed all of very many: where calls begin on a thread more than 16 times a millisecond, one
/// in so many is meant to be a sample, however it ends.
///
/// It is called under a lock for which `resize` and `reconfigure` of the bulkhead's handle wait: it
/// must not call those, which would wait for it for ever. What a limit depends on from outside is
/// for who knows it to say, by `resize`, or for the algorithm to look at when it is handed a sample.
///
/// ```
/// use watertight_bulkhead::{Limit, LimitAlgorithm, Sample};
///
/// /// Halves at each drop, and grows by one with each other call.
/// #[derive(Debug)]
/// struct Halving(usize);
///
/// impl LimitAlgorithm for Halving {
///     fn limit(&self) -> usize {
///         self.0
///     }
///
///     fn sample(&mut self, sample: &Sample) {
///         self.0 = match sample.dropped {
///             true => (self.0 / 2).max(1),
///             false if 2 * sample.in_flight >= self.0 => self.0 + 1,
///             false => self.0,
///         };
///     }
/// }
///
/// let limit = Limit::custom(|| Halving(20));
/// assert_eq!(limit.initial(), 20);
/// ```
pub trait LimitAlgorithm: Send {
    /// Returns how many calls may be in flight. 0 counts as 1, for without calls nothing would be
    /// learnt any more.
    fn limit(&self) -> usize;

    /// Takes in a call that has ended.
    fn sample(&mut self, sample: &Sample);

    /// Returns how many more samples may wait. As many are gathered, 32 at most, and handed over
    /// with the next, one after the other: that takes a lock, which costs each call less the more of
    /// them there are.
    ///
    /// By default it is 16. Where 20 calls are in flight that is less than a round trip, and
    /// [`Limit`](crate::Limit) says what it does to the algorithms here: next to nothing. One whose
    /// limit is sure to stay the same for longer, whatever samples say, may let more wait; one that has
    /// to see each call as it ends returns 0.
    fn may_wait(&self) -> usize {
        16
    }
}
