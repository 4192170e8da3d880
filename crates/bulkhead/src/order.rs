/// Which of the calls that wait is served first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Order {
    /// The one that came first.
    #[default]
    Fifo,
    /// The one that came last: under overload some calls are served in time, instead of all too
    /// late.
    Lifo,
    /// The most important, and among those the one that came first.
    Priority,
    /// The one that came first, and the one that came last while calls have been waiting for too
    /// long.
    CoDel,
}
