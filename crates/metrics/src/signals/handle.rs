use std::any::Any;
use std::sync::Arc;

use super::shared::Shared;
use crate::{Handle, Instance as _, InstanceSnapshot};

/// A look at the signals of a live service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SignalsHandle {
    shared: Arc<Shared>,
}

impl SignalsHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the name that the user gave.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name().as_str()
    }

    /// Returns all signals.
    #[must_use]
    pub fn snapshot(&self) -> InstanceSnapshot {
        self.shared.snapshot()
    }

    /// Returns how many calls have come and not ended.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.shared.in_flight()).unwrap_or(usize::MAX)
    }
}

impl Handle for SignalsHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}
