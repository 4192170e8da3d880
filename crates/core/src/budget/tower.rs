use tokio::time::Instant;
use tower::retry::budget::Budget as TowerBudget;

use super::Budget;
use super::machine::Machine;
use crate::{Failure, FailureKind};

/// For tower's own retry.
impl TowerBudget for Budget {
    fn deposit(&self) {
        self.machine().begin(Instant::now);
        self.machine().succeed(0);
        self.machine().end();
    }

    fn withdraw(&self) -> bool {
        // Nobody would say when the attempt is over.
        if let Machine::Concurrent(_) = self.machine() {
            return false;
        }
        let failure = Failure::new(FailureKind::Other);
        self.machine().fail(&failure);
        let allowed = self.machine().withdraw(&failure, Instant::now).is_some();
        if allowed {
            self.machine().send(Instant::now);
        }
        allowed
    }
}
