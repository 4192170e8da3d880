use std::mem;
use std::ops::{Deref, DerefMut};

use watertight_metrics::Reporter;

use crate::phase::Control;
use crate::sync::MutexGuard;

/// The lock under which a circuit changes. Once it is free, the changes are logged: that runs code
/// of users, who may want to look at the circuit.
pub(crate) struct Locked<'a> {
    /// `None` only while it is dropped.
    control: Option<MutexGuard<'a, Control>>,
    reporter: &'a Reporter,
}

impl<'a> Locked<'a> {
    pub(crate) fn new(control: MutexGuard<'a, Control>, reporter: &'a Reporter) -> Self {
        Self {
            control: Some(control),
            reporter,
        }
    }
}

const HELD: &str = "a lock is held until it is dropped";

impl Deref for Locked<'_> {
    type Target = Control;

    fn deref(&self) -> &Control {
        self.control.as_ref().expect(HELD)
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Control {
        self.control.as_mut().expect(HELD)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let unlogged = mem::take(&mut self.unlogged);
        self.control = None;
        for change in unlogged {
            self.reporter.log_state_change(change);
        }
    }
}
