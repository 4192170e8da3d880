use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::probe::{Probe, Request};

/// How the inner service answers, from now on: calls that wait are answered so when they are
/// polled next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Script {
    Respond,
    Fail,
    Wait,
    PanicInCall,
    PanicInPoll,
}

/// What `poll_ready` of the inner service says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Readiness {
    Ready,
    Pending,
    /// An error for whoever asks next, and `Ready` after it.
    ErrorOnce,
}

/// What the layer has done with the inner service so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) readiness_polls: u64,
    pub(crate) calls: u64,
    /// Calls of an instance that was not polled ready since its last call.
    pub(crate) unready_calls: u64,
    /// Polls of futures, but not those after their end.
    pub(crate) polls: u64,
    pub(crate) polls_after_end: u64,
    /// Futures that are not dropped yet.
    pub(crate) live: u64,
}

/// The hand on all instances of one inner service.
#[derive(Debug)]
pub(crate) struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(Shared(Mutex::new(State::new()))),
        }
    }

    /// Makes another instance.
    pub(crate) fn probe(&self) -> Probe {
        Probe::new(Arc::clone(&self.shared))
    }

    /// Changes how calls are answered, and wakes those that wait.
    pub(crate) fn play(&self, script: Script) {
        self.shared.lock().script = script;
        self.wake();
    }

    /// Wakes the calls that wait for an answer, whether there is one or not.
    pub(crate) fn wake(&self) {
        let wakers: Vec<(u64, Waker)> = self.shared.lock().calls.drain(..).collect();
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Changes what `poll_ready` says, and wakes those that wait for it.
    pub(crate) fn readiness(&self, readiness: Readiness) {
        let mut state = self.shared.lock();
        state.readiness = readiness;
        let wakers: Vec<Waker> = state.waiters.drain(..).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    /// Returns the request that came last.
    pub(crate) fn request(&self) -> Option<Request> {
        self.shared.lock().request
    }
}

#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) script: Script,
    pub(crate) readiness: Readiness,
    pub(crate) counts: Counts,
    pub(crate) request: Option<Request>,
    /// The wakers of the calls that wait, by the number of the call.
    calls: Vec<(u64, Waker)>,
    /// The wakers of those who wait for readiness.
    waiters: Vec<Waker>,
}

impl State {
    fn new() -> Self {
        Self {
            script: Script::Respond,
            readiness: Readiness::Ready,
            counts: Counts::default(),
            request: None,
            // Room enough, so that the allocations that are counted are the layer's.
            calls: Vec::with_capacity(1_000),
            waiters: Vec::with_capacity(1_000),
        }
    }

    pub(crate) fn wait_for_readiness(&mut self, waker: &Waker) {
        self.waiters.push(waker.clone());
    }

    /// As any future does, it keeps the waker of its last poll alone.
    pub(crate) fn wait_for_answer(&mut self, call: u64, waker: &Waker) {
        self.calls.retain(|(waiting, _)| *waiting != call);
        self.calls.push((call, waker.clone()));
    }

    pub(crate) fn forget_call(&mut self, call: u64) {
        self.calls.retain(|(waiting, _)| *waiting != call);
        self.counts.live -= 1;
    }
}
