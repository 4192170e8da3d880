/// Which of the calls that wait is served first.
///
/// It says who is refused, too, when the queue is full and one more comes: the one who would be
/// served last, of those who wait and the one who comes. Within that,
/// [reserves](crate::BulkheadBuilder::reserve) and the shares of
/// [partitions](crate::BulkheadBuilder::partition) come first, whatever the order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Order {
    /// The one that came first. When the queue is full, who comes is refused.
    #[default]
    Fifo,
    /// The one that came last: under overload some calls are served in time, instead of all too
    /// late. When the queue is full, who comes takes the place of the one that has waited longest,
    /// which is refused at once.
    Lifo,
    /// The most important, and among those the one that came first. When the queue is full, who
    /// comes takes the place of the least important, of those the one that came last, if that is
    /// less important than itself; it is refused at once. Nobody gives way to an equal.
    Priority,
    /// The one that came first, and the one that came last while calls have been waiting for too
    /// long. When the queue is full, who comes is refused, as with `Fifo`, or the one that has
    /// waited longest, as with `Lifo`.
    CoDel,
}
