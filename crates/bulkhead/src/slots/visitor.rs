use tokio::time::Instant;

use crate::queue::Class;

/// A call that wants a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visitor {
    pub(crate) class: Class,
    /// When its caller stops waiting. It makes a difference only to one that is to wait.
    pub(crate) deadline: Option<Instant>,
    /// When it came, if it has waited for another room before.
    pub(crate) since: Option<Instant>,
}
