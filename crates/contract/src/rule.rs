/// A rule of the contract.
///
/// The first sentence of each is the rule, the rest what it protects from.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Rule {
    /// A fresh layer lets a plain call pass. Without this nothing else can be judged.
    Serves,

    /// Only an instance of the inner service that was polled ready since its last call is called.
    /// A service that reserves something in `poll_ready`, as tower's concurrency limit does,
    /// panics otherwise.
    CallsReadyInstance,
    /// That a service is ready holds for that instance and one call: a clone, and the next call,
    /// ask the inner service again. Otherwise load passes by what the inner service would hold
    /// back.
    ForgetsReadiness,
    /// `poll_ready` is `Pending` while the inner service is, and is woken when it becomes ready.
    /// Otherwise backpressure is lost, or a caller waits for good.
    WaitsForReadiness,
    /// An error of the inner `poll_ready` comes up as it is, once. A caller that never
    /// hears of it polls a dead connection for ever.
    ReadinessErrors,
    /// `poll_ready` reserves nothing: services that were ready and are dropped or left alone
    /// block nobody. Hosts keep ready clones idle for as long as they like.
    ReservesNothing,

    /// A request goes to the inner service once and unchanged, and its response comes up
    /// unchanged.
    Responses,
    /// An error of the inner service comes up as it is, never wrapped. Layers above find
    /// out by its type what it means.
    Errors,
    /// A response that is there at the first poll is returned by it. Another turn through the
    /// scheduler is latency for nothing.
    AnswersAtOnce,
    /// An inner future that has answered is not polled again. Most futures panic then.
    EndsOnce,

    /// A response future that is dropped unpolled gives back all that the call held. Otherwise
    /// callers that go away use the layer up.
    DropUnpolled,
    /// A response future that is dropped after any number of polls gives back all that the call
    /// held. Otherwise timeouts further out use the layer up.
    DropPolled,
    /// The inner future is dropped with the response future. Otherwise the work that nobody
    /// waits for goes on.
    DropsInner,

    /// A panic in the inner `call` goes on to the caller, and gives back all that the call held.
    PanicInCall,
    /// A panic in the poll of the inner future goes on to the caller, and gives back all that the
    /// call held.
    PanicInPoll,

    /// A `Pending` response is woken when the inner future is. Otherwise it hangs.
    WakesResponse,
    /// Each waiter is woken by a waker of its own, and by the one of its last poll. Otherwise all
    /// but one hang, or a future hangs that has moved to another task.
    OneWakerPerWaiter,
    /// A `Pending` that nothing has happened to wakes nobody. A layer that wakes itself takes a
    /// core while it waits.
    NoSelfWake,
    /// Each poll from above is one poll of what is below. A layer that polls in a loop keeps
    /// other tasks from running.
    NoSpinning,

    /// A layer that is used up refuses, call after call, without asking the inner service.
    Refuses,
    /// What a layer refuses fails with a [`Rejection`](watertight_core::Rejection). By it layers
    /// above tell a refusal from a failure, and when to come back.
    RejectionErrors,
    /// The clones of a service share its state. Hosts clone the service for each connection or
    /// request.
    ClonesShare,
    /// All services of a layer and of its clones share its state. axum calls `Layer::layer` once
    /// a route and more.
    LayersShare,

    /// A successful call allocates nothing, or what
    /// [`allocations`](crate::Contract::allocations) allows.
    Allocations,
    /// Cloning a service allocates nothing.
    CloneAllocations,
}

impl Rule {
    /// All rules, in the order in which they are reported.
    pub const ALL: [Self; 25] = [
        Self::Serves,
        Self::CallsReadyInstance,
        Self::ForgetsReadiness,
        Self::WaitsForReadiness,
        Self::ReadinessErrors,
        Self::ReservesNothing,
        Self::Responses,
        Self::Errors,
        Self::AnswersAtOnce,
        Self::EndsOnce,
        Self::DropUnpolled,
        Self::DropPolled,
        Self::DropsInner,
        Self::PanicInCall,
        Self::PanicInPoll,
        Self::WakesResponse,
        Self::OneWakerPerWaiter,
        Self::NoSelfWake,
        Self::NoSpinning,
        Self::Refuses,
        Self::RejectionErrors,
        Self::ClonesShare,
        Self::LayersShare,
        Self::Allocations,
        Self::CloneAllocations,
    ];

    /// Returns the rule in words.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::Serves => "a fresh layer lets a plain call pass",
            Self::CallsReadyInstance => "only an instance that was polled ready is called",
            Self::ForgetsReadiness => "readiness holds for one instance and one call",
            Self::WaitsForReadiness => {
                "poll_ready is Pending while the inner service is, and is woken when that is ready"
            }
            Self::ReadinessErrors => "an error of the inner poll_ready comes up as it is, once",
            Self::ReservesNothing => "poll_ready reserves nothing",
            Self::Responses => "a request goes down once, and it and its response are unchanged",
            Self::Errors => "an error of the inner service comes up as it is",
            Self::AnswersAtOnce => "a response that is there is returned by the first poll",
            Self::EndsOnce => "an inner future that has answered is not polled again",
            Self::DropUnpolled => "a call that is dropped unpolled gives back what it held",
            Self::DropPolled => {
                "a call that is dropped after any number of polls gives back what it held"
            }
            Self::DropsInner => "the inner future is dropped with the response future",
            Self::PanicInCall => {
                "a panic in the inner call goes on, and gives back what the call held"
            }
            Self::PanicInPoll => {
                "a panic of the inner future goes on, and gives back what the call held"
            }
            Self::WakesResponse => "a Pending response is woken when the inner future is",
            Self::OneWakerPerWaiter => "each waiter is woken, by the waker of its last poll",
            Self::NoSelfWake => "a Pending that nothing has happened to wakes nobody",
            Self::NoSpinning => "each poll from above is one poll of what is below",
            Self::Refuses => "a layer that is used up refuses, without asking the inner service",
            Self::RejectionErrors => "what a layer refuses fails with a Rejection",
            Self::ClonesShare => "the clones of a service share its state",
            Self::LayersShare => "all services of a layer and of its clones share its state",
            Self::Allocations => "a successful call allocates no more than is allowed",
            Self::CloneAllocations => "cloning a service allocates nothing",
        }
    }
}
