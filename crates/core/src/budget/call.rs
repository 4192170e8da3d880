use std::mem;

use tokio::time::Instant;

use super::Budget;
use super::machine::Machine;
use crate::{Context, Failure};

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
    /// Begins a call with its first attempt, which feeds a budget of a ratio, unless it is itself
    /// an extra attempt: one that a layer above makes, as the [`Context`] says.
    #[must_use]
    #[inline(always)]
    pub fn new(way: W) -> Self {
        way.as_ref()
            .machine()
            .begin(Context::is_repeat(), Instant::now);
        Self {
            way,
            unsent: None,
            cost: 0,
            extras: 0,
        }
    }

    /// Returns what leads to the budget.
    #[must_use]
    #[inline]
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
        let cost = mem::take(&mut self.cost);
        self.machine().succeed(cost);
    }

    /// Gives back what was not sent, and ends what is in flight.
    #[inline(never)]
    fn clear(&mut self) {
        self.give_back();
        while self.extras > 0 {
            self.extra_ended();
        }
    }

    #[inline]
    fn machine(&self) -> &Machine {
        self.way.as_ref().machine()
    }
}

impl<W: AsRef<Budget>> Drop for BudgetCall<W> {
    #[inline]
    fn drop(&mut self) {
        if self.unsent.is_some() || self.extras > 0 {
            self.clear();
        }
        self.machine().end();
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;
    use crate::FailureKind;

    const FAILURE: Failure = Failure::new(FailureKind::Server);

    fn withdraw(call: &mut BudgetCall<&Budget>) -> bool {
        call.withdraw(&FAILURE, Instant::now)
    }

    /// Budgets that have one extra attempt to give.
    fn of_one() -> [Budget; 3] {
        [
            Budget::ratio(0.0).min_per_second(0.1),
            Budget::tokens(14),
            Budget::concurrent(0.0, 1),
        ]
    }

    #[test]
    fn a_call_that_is_dropped_before_it_sends_gives_back() {
        for budget in of_one() {
            for _ in 0..3 {
                let mut call = BudgetCall::new(&budget);
                let mut other = BudgetCall::new(&budget);
                assert!(withdraw(&mut call), "{budget:?}");
                assert!(!withdraw(&mut other));

                drop(call);
                assert!(withdraw(&mut other));
            }
        }
    }

    #[test]
    fn an_extra_attempt_of_a_layer_above_does_not_feed() {
        let allowed_after = |attempt| {
            let budget = Budget::ratio(1.0).min_per_second(0.0);
            let above = Context {
                attempt,
                ..Context::default()
            };
            above.enter(|| drop(BudgetCall::new(&budget)));
            let mut call = BudgetCall::new(&budget);
            drop(BudgetCall::new(&budget));
            let mut allowed = 0;
            while withdraw(&mut call) {
                call.sent();
                allowed += 1;
            }
            allowed
        };

        assert_eq!((allowed_after(0), allowed_after(1)), (3, 2));
    }

    #[test]
    fn what_is_given_back_is_given_back_once() {
        for budget in of_one() {
            let mut call = BudgetCall::new(&budget);
            assert!(withdraw(&mut call));
            call.give_back();
            call.give_back();
            drop(call);

            let mut calls = [(); 2].map(|()| BudgetCall::new(&budget));
            assert_eq!(calls.each_mut().map(withdraw), [true, false], "{budget:?}");
        }
    }

    #[test]
    fn what_is_paid_for_is_not_paid_for_twice() {
        for budget in of_one() {
            let mut call = BudgetCall::new(&budget);

            assert!(withdraw(&mut call));
            assert!(withdraw(&mut call));

            call.give_back();
            assert!(withdraw(&mut BudgetCall::new(&budget)));
        }
    }

    #[test]
    fn what_was_sent_does_not_come_back() {
        for budget in [Budget::ratio(0.0).min_per_second(0.1), Budget::tokens(14)] {
            let mut call = BudgetCall::new(&budget);
            assert!(withdraw(&mut call));
            call.sent();
            call.sent();
            call.give_back();
            call.extra_ended();
            drop(call);

            assert!(!withdraw(&mut BudgetCall::new(&budget)), "{budget:?}");
        }
    }

    #[test]
    fn what_was_never_paid_for_gives_nothing() {
        for budget in of_one() {
            let mut spender = BudgetCall::new(&budget);
            assert!(withdraw(&mut spender));
            spender.sent();

            let mut call = BudgetCall::new(&budget);
            call.sent();
            call.extra_ended();
            call.give_back();
            drop(call);

            assert!(!withdraw(&mut BudgetCall::new(&budget)), "{budget:?}");
        }
    }

    #[test]
    fn an_extra_attempt_in_flight_ends_once() {
        let budget = Budget::concurrent(0.0, 2);
        let mut calls = [(); 2].map(|()| BudgetCall::new(&budget));
        for call in &mut calls {
            assert!(withdraw(call));
            call.sent();
        }
        let [mut ended, dropped] = calls;

        ended.extra_ended();
        ended.extra_ended();
        drop(ended);
        let mut third = BudgetCall::new(&budget);
        assert!(withdraw(&mut third));
        assert!(!withdraw(&mut BudgetCall::new(&budget)));

        drop(dropped);
        assert!(withdraw(&mut BudgetCall::new(&budget)));
    }

    #[test]
    fn all_extra_attempts_of_a_call_end_with_it() {
        let budget = Budget::concurrent(0.0, 2);
        let mut call = BudgetCall::new(&budget);
        for _ in 0..2 {
            assert!(withdraw(&mut call));
            call.sent();
        }
        assert!(!withdraw(&mut call));

        drop(call);

        let mut calls = [(); 3].map(|()| BudgetCall::new(&budget));
        assert_eq!(calls.each_mut().map(withdraw), [true, true, false]);
    }

    #[test]
    fn what_an_extra_attempt_has_cost_comes_back_once() {
        let budget = Budget::tokens(28);
        let mut call = BudgetCall::new(&budget);
        for _ in 0..2 {
            assert!(withdraw(&mut call));
            call.sent();
        }

        call.succeeded();
        call.succeeded();

        let mut calls = [(); 2].map(|()| BudgetCall::new(&budget));
        assert_eq!(calls.each_mut().map(withdraw), [true, false]);
    }

    #[test]
    fn a_success_brings_back_what_its_retry_has_cost() {
        let budget = Budget::tokens(28);
        let mut call = BudgetCall::new(&budget);
        for _ in 0..2 {
            assert!(withdraw(&mut call));
            call.sent();
        }

        call.succeeded();

        let mut calls = [(); 2].map(|()| BudgetCall::new(&budget));
        assert_eq!(calls.each_mut().map(withdraw), [true, false]);
    }

    #[test]
    fn a_success_without_a_retry_brings_one_token() {
        let budget = Budget::tokens(14);
        let mut call = BudgetCall::new(&budget);
        assert!(withdraw(&mut call));
        call.sent();
        drop(call);

        for _ in 0..14 {
            let mut call = BudgetCall::new(&budget);
            assert!(!withdraw(&mut call));
            call.succeeded();
        }

        assert!(withdraw(&mut BudgetCall::new(&budget)));
    }

    #[test]
    fn what_others_have_drained_meanwhile_is_not_allowed_any_more() {
        let budget = Budget::grpc(4, 1.0);
        let mut call = BudgetCall::new(&budget);
        call.failed(&FAILURE);
        assert!(withdraw(&mut call));
        assert!(call.is_still_allowed());

        let mut other = BudgetCall::new(&budget);
        other.failed(&FAILURE);
        assert!(!withdraw(&mut other));
        assert!(!call.is_still_allowed());

        other.succeeded();
        assert!(call.is_still_allowed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_backoff_counts_from_when_it_is_sent() {
        let window = Budget::WINDOW;
        let budget = Budget::ratio(0.0).min_per_second(0.1);
        let mut call = BudgetCall::new(&budget);
        assert!(withdraw(&mut call));

        tokio::time::advance(6 * window).await;
        call.sent();
        tokio::time::advance(window).await;
        assert!(!withdraw(&mut BudgetCall::new(&budget)));

        tokio::time::advance(window / 10).await;
        assert!(withdraw(&mut BudgetCall::new(&budget)));
    }

    #[test]
    fn without_a_bound_everything_is_allowed() {
        let budget = Budget::unlimited();
        let mut call = BudgetCall::new(&budget);
        for _ in 0..1_000 {
            call.failed(&FAILURE);
            assert!(withdraw(&mut call));
            call.sent();
        }

        assert!(call.is_still_allowed());
    }

    #[test]
    fn nothing_is_allocated_for_a_call() {
        for budget in of_one() {
            let allocated = allocation_counter::measure(|| {
                for _ in 0..100 {
                    let mut call = BudgetCall::new(&budget);
                    call.failed(&FAILURE);
                    if withdraw(&mut call) {
                        call.sent();
                    }
                    call.succeeded();
                }
            });
            assert_eq!(allocated.count_total, 0);
        }
    }
}
