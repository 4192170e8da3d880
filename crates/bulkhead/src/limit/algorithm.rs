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

    /// Returns after how many more samples the limit is sure to be still the same, whatever they
    /// say. As many are gathered, 32 at most, and handed over with the next, one after the other:
    /// that takes a lock, which costs each call less the more of them there are. By default it is
    /// 0, and each sample is handed over as its call ends.
    fn steady_for(&self) -> usize {
        0
    }
}
