use std::error::Error;

use watertight_core::ConfigError;

use super::{Answer, Order, Rule};

/// Keeps quotas in one place for many processes.
///
/// It is handed to [`store`](crate::RateLimitBuilder::store), and asked before each call is made.
/// What it keeps is told apart by the [policy](Order::policy) and the [key](Order::key) of an order;
/// how much may come is in each order, so that it has nothing to be told beforehand. The time is the
/// store's own: the clocks of the processes play no part in it.
///
/// Clones are the same store.
#[diagnostic::on_unimplemented(
    message = "`{Self}` keeps no quotas",
    label = "not a `Store`",
    note = "`watertight-redis` has stores for many processes"
)]
pub trait Store: Clone + Send + Sync + 'static {
    /// Why it could not answer. One that comes from a [`StoreError::TimedOut`](super::StoreError::TimedOut)
    /// counts as that: the store has ended the order when its [time](Order::timeout) was over.
    type Error: Error + Send + Sync + 'static;

    /// An answer that is under way: of an `async` block it is a `Pin<Box<dyn Future<..> + Send>>`,
    /// and where there is nothing to wait for a [`Ready`](std::future::Ready).
    ///
    /// If it is dropped, what was ordered may have been done or not.
    type Asking: Future<Output = Result<Answer, Self::Error>> + Send + Unpin + 'static;

    /// Does what is ordered, all of it in one step and with one round trip.
    ///
    /// This is called where calls are made: it must not block. What takes time is for the future to
    /// do.
    fn ask(&self, order: &Order<'_>) -> Self::Asking;

    /// Checks whether it can keep quotas that are counted so. A layer asks this when it is made and
    /// when it is reconfigured, so that no call comes upon a limit that cannot be. Default: it can
    /// keep all that are valid.
    ///
    /// # Errors
    ///
    /// The first setting that it cannot serve, with its value and what is allowed.
    fn check(&self, rule: &Rule<'_>) -> Result<(), ConfigError> {
        let _ = rule;
        Ok(())
    }
}
