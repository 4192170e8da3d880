//! A concurrency limit that keeps the contract, but for the one fault that it is told to have.

mod future;
mod permit;
mod service;
mod wakers;

use std::sync::Arc;

use tower::Layer;
use watertight_contract::Probe;

use self::permit::Limit;
pub(crate) use self::service::Faulty;

/// How many calls may be in flight.
pub(crate) const LIMIT: usize = 10;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    RefusesAll,

    CallsAClone,
    ClonesReadiness,
    StaysReady,
    IgnoresPendingReadiness,
    LosesReadinessWaker,
    EatsReadinessError,
    RetriesReadiness,
    WrapsReadinessError,
    RepeatsReadinessError,
    ReservesInPollReady,
    LosesReservations,

    ChangesRequest,
    ChangesResponse,
    CallsTwice,
    WrapsError,
    EatsError,
    AnswersLate,
    PollsAfterEnd,

    KeepsPermitWhenDroppedUnpolled,
    KeepsPermitWhenDroppedPolled,
    KeepsPermitWhenDroppedAfterThreePolls,
    KeepsInnerFuture,

    KeepsPermitWhenCallPanics,
    CatchesPanicInCall,
    KeepsPermitWhenPollPanics,
    KeepsPermitWhenSecondPollPanics,
    CatchesPanicInPoll,

    ThrowsWakerAway,
    KeepsTheFirstWaker,
    RegistersOnce,
    SharesOneWaker,
    SharesOneReadinessWaker,
    WakesItself,
    WakesItselfInPollReady,
    Spins,
    SpinsInPollReady,

    RefusesEverySecondCall,
    RefusesWithText,
    LimitsClonesApart,
    LimitsEachService,
    LimitsEachLayerClone,

    Allocates,
    AllocatesInPoll,
    AllocatesInClone,
}

#[derive(Debug)]
pub(crate) struct FaultyLayer {
    fault: Fault,
    limit: Arc<Limit>,
}

impl FaultyLayer {
    pub(crate) fn new(fault: Fault) -> Self {
        let places = if fault == Fault::RefusesAll { 0 } else { LIMIT };
        Self {
            fault,
            limit: Limit::new(places),
        }
    }
}

impl Clone for FaultyLayer {
    fn clone(&self) -> Self {
        match self.fault {
            Fault::LimitsEachLayerClone => Self::new(self.fault),
            fault => Self {
                fault,
                limit: Arc::clone(&self.limit),
            },
        }
    }
}

impl Layer<Probe> for FaultyLayer {
    type Service = Faulty;

    fn layer(&self, inner: Probe) -> Faulty {
        let limit = match self.fault {
            Fault::LimitsEachService => Limit::new(LIMIT),
            _ => Arc::clone(&self.limit),
        };
        Faulty::new(inner, self.fault, limit)
    }
}
