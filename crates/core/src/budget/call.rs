use tokio::time::Instant;

use super::Budget;
use super::machine::Machine;
use crate::Failure;

/// One call's dealings with its [`Budget`].
///
/// `W` leads to the budget, so that a call can hold on to its thread's stripe of a layer and touch
/// no reference count that all calls share.
///
/// Dropping it gives back what was paid for and not [`sent`](Self::sent), and ends what is in
/// flight.
#[derive(Debug)]
pub struct BudgetCall<W: AsRef<Budget>> {
    way: W,
    /// What an attempt has cost that is paid for and has not gone out.
    unsent: Option<u32>,
    /// What the extra attempt has cost that went out last.
    cost: u32,
    /// How many extra attempts went out and have not ended.
    extras: u32,
}

impl<W: AsRef<Budget>> BudgetCall<W> {
    /// Begins a call with its first attempt, which feeds a budget of a ratio.
    #[must_use]
    #[inline]
    pub fn new(way: W) -> Self {
        way.as_ref().machine().begin(Instant::now);
        Self {
            way,
            unsent: None,
            cost: 0,
            extras: 0,
        }
    }

    /// Returns what leads to the budget.
    #[must_use]
    pub const fn way(&self) -> &W {
        &self.way
    }

    /// Says that an attempt has failed, which takes a token in the style of gRPC.
    ///
    /// A failure of the kind [`Rejected`](crate::FailureKind::Rejected) takes none: what our own
    /// layers end says nothing of the service.
    pub fn failed(&mut self, failure: &Failure) {
        self.machine().fail(failure);
    }

    /// Pays for one extra attempt after `failure`. Returns false if the budget does not allow it,
    /// and takes nothing then.
    ///
    /// An attempt that is paid for and not [`sent`](Self::sent) yet is not paid for twice. `now` is
    /// read only by a budget of a ratio.
    #[must_use]
    pub fn withdraw(&mut self, failure: &Failure, now: impl FnOnce() -> Instant) -> bool {
        if self.unsent.is_none() {
            self.unsent = self.machine().withdraw(failure, now);
        }
        self.unsent.is_some()
    }

    /// Returns false if other calls have drained the budget meanwhile, so that the attempt that was
    /// paid for had better not be sent. That can be so in the style of gRPC only.
    #[must_use]
    pub fn is_still_allowed(&self) -> bool {
        self.machine().is_still_allowed()
    }

    /// Whether what [`is_still_allowed`](Self::is_still_allowed) says may change at all.
    #[must_use]
    pub fn may_lapse(&self) -> bool {
        self.machine().may_lapse()
    }

    /// Says that the attempt that was paid for goes out now: it cannot be given back any more.
    pub fn sent(&mut self) {
        if let Some(cost) = self.unsent.take() {
            self.machine().send(Instant::now);
            self.cost = cost;
            self.extras += 1;
        }
    }

    /// Gives back what was paid for an attempt that will not be sent. Nothing, if there is none.
    pub fn give_back(&mut self) {
        if let Some(cost) = self.unsent.take() {
            self.machine().give_back(cost);
        }
    }

    /// Says that an extra attempt is over, be it that it was dropped.
    pub fn extra_ended(&mut self) {
        if self.extras > 0 {
            self.extras -= 1;
            self.machine().end_extra();
        }
    }

    /// Says that the call has an answer that is no failure, which fills a budget of tokens.
    #[inline]
    pub fn succeeded(&mut self) {
        self.machine().succeed(self.cost);
    }

    fn machine(&self) -> &Machine {
        self.way.as_ref().machine()
    }
}

impl<W: AsRef<Budget>> Drop for BudgetCall<W> {
    #[inline]
    fn drop(&mut self) {
        self.give_back();
        while self.extras > 0 {
            self.extra_ended();
        }
        self.machine().end();
    }
}
