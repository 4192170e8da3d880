use std::mem;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use watertight_core::{Entry, Used};

use super::error::LeaseError;
use super::permits::{Found, Permits};
use crate::Quota;
use crate::store::Answer;

/// How long others wait for who asks. A store takes milliseconds: who has not heard of it by then is
/// one whom nobody polls, and would have all calls of the key wait for him.
const LEAD_LASTS: Duration = Duration::from_secs(1);

/// The lease of one key.
#[derive(Debug)]
pub(super) struct Lease<E> {
    state: Mutex<State<E>>,
    used: Used,
}

#[derive(Debug)]
struct State<E> {
    permits: Permits,
    /// How often the store has been asked.
    asked: u64,
    /// Since when it is being asked.
    asking_since: Option<Instant>,
    /// Which time it has failed last, and why.
    failed: Option<(u64, LeaseError<E>)>,
    /// Who waits for the answer.
    waiting: Vec<(u64, Waker)>,
    next_waiter: u64,
}

impl<E> State<E> {
    /// Returns until when others wait for who asks. `None` if nobody does, or is just kept by a caller
    /// who has ceased to poll.
    fn asking_until(&self, now: Instant) -> Option<Instant> {
        let until = self.asking_since? + LEAD_LASTS;
        (until > now).then_some(until)
    }

    fn take_waker(&mut self, number: u64) -> Option<Waker> {
        let mut waiting = self.waiting.iter();
        let place = waiting.position(|(waiter, _)| *waiter == number)?;
        Some(self.waiting.remove(place).1)
    }
}

/// What becomes of a call.
#[derive(Debug)]
pub(super) enum Step<E> {
    Answered(Answer),
    /// The store is to be asked for so many, by who has the lead.
    Leads(Lead<E>, u64),
    /// It waits for who has.
    Follows(Follower<E>),
}

impl<E> Lease<E> {
    pub(super) fn new(now: Instant) -> Self {
        let state = State {
            permits: Permits::new(now),
            asked: 0,
            asking_since: None,
            failed: None,
            waiting: Vec::new(),
            next_waiter: 0,
        };
        Self {
            state: Mutex::new(state),
            used: Used::default(),
        }
    }

    /// Decides on a call.
    pub(super) fn step(self: &Arc<Self>, cost: u64, quotas: &[Quota], now: Instant) -> Step<E> {
        let mut state = self.state();
        match state.permits.spend(cost, quotas, now) {
            Found::Answer(answer) => Step::Answered(answer),
            Found::TooFew(_) if state.asking_until(now).is_some() => {
                state.next_waiter += 1;
                Step::Follows(Follower {
                    lease: Arc::clone(self),
                    number: state.next_waiter,
                    asked: state.asked,
                    timer: None,
                })
            }
            Found::TooFew(wanted) => Step::Leads(self.lead(&mut state, now), wanted),
        }
    }

    /// Takes a penalty out of what is held, and returns how much of it is to be taken elsewhere, and
    /// the answer if that is nothing.
    pub(super) fn charge(&self, cost: u64) -> Result<Answer, u64> {
        let mut state = self.state();
        match state.permits.charge(cost) {
            0 => {
                let decision = crate::Decision::admitted(state.permits.status());
                Ok(Answer::new(decision, cost))
            }
            more => Err(more),
        }
    }

    fn lead(self: &Arc<Self>, state: &mut State<E>, now: Instant) -> Lead<E> {
        state.asked += 1;
        state.asking_since = Some(now);
        Lead {
            lease: Arc::clone(self),
            number: state.asked,
            is_over: false,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        // No code of others runs under the lock but the cloning of a waker, before which all is done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(waiting: Vec<(u64, Waker)>) {
        for (_, waker) in waiting {
            waker.wake();
        }
    }
}

/// Those who hold permits that can still be spent are dear.
impl<E: Send + Sync + 'static> Entry for Lease<E> {
    fn worth(&self, _: Instant) -> Option<u64> {
        Some(self.state().permits.left())
    }

    #[inline]
    fn used(&self) -> &Used {
        &self.used
    }
}

/// Who asks the store. Dropped without an answer, it leaves that to another.
#[derive(Debug)]
pub(super) struct Lead<E> {
    lease: Arc<Lease<E>>,
    /// Which time it asks.
    number: u64,
    is_over: bool,
}

impl<E> Lead<E> {
    /// Ends the asking, unless another has taken the lead, and returns who is to go on.
    fn leave(&self, state: &mut State<E>) -> Vec<(u64, Waker)> {
        if state.asked == self.number {
            state.asking_since = None;
        }
        mem::take(&mut state.waiting)
    }

    /// Takes in what the store has granted of so many, and returns what becomes of the call that
    /// asked.
    pub(super) fn end(
        mut self,
        answer: Result<Answer, E>,
        (cost, wanted, most): (u64, u64, u64),
        quotas: &[Quota],
    ) -> Result<Answer, LeaseError<E>> {
        let now = Instant::now();
        let mut state = self.lease.state();
        let answer = match answer {
            Ok(answer) => {
                state.failed = None;
                state.permits.take_in(wanted, most, &answer, now);
                Ok(match state.permits.spend(cost, quotas, now) {
                    Found::Answer(answer) => answer,
                    // Less is granted than is wanted only with a pause.
                    Found::TooFew(_) => answer,
                })
            }
            Err(error) => {
                let error = LeaseError::new(error);
                state.failed = Some((self.number, error.clone()));
                Err(error)
            }
        };
        let waiting = self.leave(&mut state);
        drop(state);
        self.is_over = true;
        Lease::<E>::wake(waiting);
        answer
    }
}

impl<E> Drop for Lead<E> {
    fn drop(&mut self) {
        if !self.is_over {
            let mut state = self.lease.state();
            let waiting = self.leave(&mut state);
            drop(state);
            Lease::<E>::wake(waiting);
        }
    }
}

/// Who waits until another has asked the store.
#[derive(Debug)]
pub(super) struct Follower<E> {
    lease: Arc<Lease<E>>,
    number: u64,
    /// Which time the store was being asked.
    asked: u64,
    /// Until when who asks is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<E> Follower<E> {
    /// Decides on the call when the store has been asked, or who asks has done so for too long.
    #[allow(clippy::type_complexity, reason = "a step, or why there is none")]
    pub(super) fn poll(
        &mut self,
        cost: u64,
        quotas: &[Quota],
        cx: &mut Context<'_>,
    ) -> Poll<Result<Step<E>, LeaseError<E>>> {
        loop {
            match self.look(cost, quotas, cx.waker())? {
                ControlFlow::Break(step) => return Poll::Ready(Ok(step)),
                ControlFlow::Continue(until) => ready!(self.poll_until(until, cx)),
            }
        }
    }

    /// Decides on the call, or says until when it waits for who asks.
    #[allow(clippy::type_complexity, reason = "a step, or why there is none")]
    fn look(
        &mut self,
        cost: u64,
        quotas: &[Quota],
        waker: &Waker,
    ) -> Result<ControlFlow<Step<E>, Instant>, LeaseError<E>> {
        let mut state = self.lease.state();
        if let Some((asked, error)) = &state.failed
            && *asked == self.asked
        {
            return Err(error.clone());
        }
        let now = Instant::now();
        let wanted = match state.permits.spend(cost, quotas, now) {
            Found::Answer(answer) => return Ok(ControlFlow::Break(Step::Answered(answer))),
            Found::TooFew(wanted) => wanted,
        };
        let Some(until) = state.asking_until(now) else {
            let lead = self.lease.lead(&mut state, now);
            return Ok(ControlFlow::Break(Step::Leads(lead, wanted)));
        };
        self.asked = state.asked;
        let before = state.take_waker(self.number);
        state.waiting.push((self.number, waker.clone()));
        drop(state);
        drop(before);
        Ok(ControlFlow::Continue(until))
    }

    /// Waits until then: nobody wakes the others of a caller who has ceased to poll.
    fn poll_until(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx)
    }
}

impl<E> Drop for Follower<E> {
    fn drop(&mut self) {
        // It may be the last that holds a task, which is not to be dropped under the lock.
        let waker = self.lease.state().take_waker(self.number);
        drop(waker);
    }
}
