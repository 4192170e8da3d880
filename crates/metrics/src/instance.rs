use std::any::Any;
use std::sync::Arc;

use watertight_core::Name;

use crate::InstanceSnapshot;

/// What the shared state of a named layer is to a [`Registry`](crate::Registry): something to look
/// at, and to be found again.
///
/// It is generic over nothing of the user's, so that whoever looks for it needs no types of his.
pub trait Instance: Any + Send + Sync {
    /// Returns the pattern's name, such as `breaker`: the label `layer` of metrics.
    fn kind(&self) -> &'static str;

    /// Returns the name that the user gave.
    fn name(&self) -> Name;

    /// Returns how it stands. Called by whoever looks, never by a call.
    fn snapshot(&self) -> InstanceSnapshot;
}

/// A handle on a layer that [`Registry::find`](crate::Registry::find) can make again.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the handle of a layer",
    note = "look for a handle such as `BreakerHandle`"
)]
pub trait Handle: Sized {
    /// Makes a handle on `instance`, or returns `None` if that is something else.
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self>;
}
