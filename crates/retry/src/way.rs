use std::ops::Deref;
use std::sync::Arc;

use watertight_core::{Budget, Padded};

use crate::machine::Machine;

/// Leads from the stripe of a thread to what all calls share.
#[derive(Debug)]
pub(crate) struct Way(pub(crate) Arc<Machine>);

/// A call's hold on the stripe of the thread that made it. Who holds one is a call.
#[derive(Debug)]
pub(crate) struct Held(pub(crate) Arc<Padded<Way>>);

impl Deref for Held {
    type Target = Machine;

    #[inline]
    fn deref(&self) -> &Machine {
        &self.0.0.0
    }
}

impl AsRef<Budget> for Held {
    #[inline]
    fn as_ref(&self) -> &Budget {
        &self.budget
    }
}
