use std::marker::PhantomData;
use std::task::{self, Poll};
use std::time::Duration;

use tower_service::Service;
use watertight_core::{
    BoxError, Classify, Context, Failure, Note, Outcome, Reason, Rejection, Repeat,
    RetriesExhausted, Scoped, Signs, fail_on_panic, judge,
};

use crate::call::{Keeps, RetryCall};
use crate::counts::Count;
use crate::give_up::GiveUp;
use crate::letters::Exhausted;
use crate::refresh::Refreshing;

/// What the user has taught the layer about requests and answers.
#[derive(Clone, Debug)]
pub(crate) struct Tools<C, R, T, X> {
    pub(crate) classify: C,
    pub(crate) repeat: R,
    pub(crate) notes: T,
    pub(crate) exhausted: X,
}

/// What it takes to repeat a call.
struct Again<S, K> {
    service: S,
    /// `None` once no repeat is possible any more.
    kept: Option<K>,
}

/// What is kept of a request, if anything, and the rule by which it is repeated.
struct Kept<'a, Req, R: Repeat<Req>> {
    repeat: &'a R,
    kept: Option<&'a R::Kept>,
}

impl<Req, R: Repeat<Req>> Keeps<R::Request> for Kept<'_, Req, R> {
    fn allows(&self, failure: &Failure) -> bool {
        self.kept
            .is_some_and(|kept| self.repeat.allows(kept, failure))
    }

    fn again(&self) -> Option<R::Request> {
        let kept = self.kept?;
        self.repeat.cut_off(kept);
        self.repeat.again(kept)
    }
}

/// A call between its attempts: what is known of it, and what it takes to go on.
pub(crate) struct Plan<S, Res, Req, Q, K, C, R, T, X> {
    /// `None` for a call that nobody looks at, and once it has ended.
    pub(crate) call: Option<RetryCall>,
    again: Option<Again<S, K>>,
    /// What the next attempt sends.
    request: Option<Q>,
    /// The last answer, where it may yet have to be returned.
    answer: Option<Answer<Res>>,
    tools: Tools<C, R, T, X>,
    of: PhantomData<fn(Req)>,
}

const PLANNED: &str = "only a call that is looked at is repeated";

pub(crate) type Answer<Res> = Result<Res, BoxError>;

/// What follows an attempt.
pub(crate) enum Next<Res> {
    /// Nothing: that is the answer.
    Return(Answer<Res>),
    /// Another attempt after this time.
    Wait(Duration),
    /// Another attempt with fresh credentials.
    Refresh(Refreshing),
}

impl<S, Res, Req, Q, K, C, R, T, X> Plan<S, Res, Req, Q, K, C, R, T, X> {
    /// Plans a call. It may have to be repeated if something is there to do so: what is kept of its
    /// request, and the service that is called again.
    #[inline]
    pub(crate) fn new(
        call: Option<RetryCall>,
        again: Option<(K, S)>,
        tools: Tools<C, R, T, X>,
    ) -> Self {
        Self {
            call,
            again: again.map(|(kept, service)| Again {
                service,
                kept: Some(kept),
            }),
            request: None,
            answer: None,
            tools,
            of: PhantomData,
        }
    }
}

impl<S, Res, Req, Q, K, C, R, T, X> Plan<S, Res, Req, Q, K, C, R, T, X>
where
    S: Service<Q, Response = Res>,
    S::Error: Into<BoxError>,
    C: Classify<Res>,
    R: Repeat<Req, Request = Q, Kept = K>,
    T: Note<Res, RetriesExhausted> + Signs<Res>,
    X: Exhausted<Q, Res>,
{
    /// Says what an answer means.
    pub(crate) fn judge(&self, answer: &Answer<Res>) -> Outcome {
        let answer = answer.as_ref().map_err(|error| &**error);
        judge(&self.tools.classify, answer)
    }

    /// Ends the call with `response` if that is a success, or returns what else it is.
    #[inline]
    pub(crate) fn accept(&mut self, response: &Res) -> Option<Outcome> {
        let call = self.call.as_mut()?;
        let outcome = judge(&self.tools.classify, Ok(response));
        if outcome != Outcome::Success || call.can_refresh() {
            return Some(outcome);
        }
        RetryCall::succeed(&mut self.call);
        None
    }

    /// Decides what follows an attempt that has ended so.
    pub(crate) fn settle(&mut self, mut result: Answer<Res>, outcome: Outcome) -> Next<Res> {
        let Some(call) = &mut self.call else {
            return Next::Return(result);
        };
        if !outcome.is_failure() {
            call.answered();
        }
        let tools = &self.tools;
        let kept = Kept {
            repeat: &tools.repeat,
            kept: self.again.as_ref().and_then(|again| again.kept.as_ref()),
        };

        if let Ok(response) = &result
            && call.can_refresh()
            && tools.notes.is_unauthorized(response)
            && let Some(refreshed) = call.refresh(&kept)
        {
            match refreshed {
                Ok((refreshing, request)) => {
                    self.request = Some(request);
                    self.answer = Some(result);
                    return Next::Refresh(refreshing);
                }
                Err(why) if outcome.is_failure() => self.give_up(why, &mut result),
                Err(_) => {}
            }
        } else if let Outcome::Failure(failure) = &outcome {
            let is_marked = match &result {
                Ok(response) => tools.notes.is_exhausted(response),
                Err(error) => RetriesExhausted::is_marked(&**error),
            };
            match call.weigh(failure, is_marked, &kept) {
                Ok((delay, request)) => {
                    self.request = Some(request);
                    self.answer = call.may_lapse().then_some(result);
                    return Next::Wait(delay);
                }
                Err(why) => self.give_up(why, &mut result),
            }
        }
        self.end(&outcome);
        Next::Return(result)
    }

    /// Returns the answer that was held, since there will be no other.
    pub(crate) fn withdraw(&mut self, why: Option<GiveUp>) -> Option<Answer<Res>> {
        let mut result = self.answer.take()?;
        if let Some(why) = why {
            self.give_up(why, &mut result);
        }
        self.end(&self.judge(&result));
        Some(result)
    }

    /// Returns the answer that was held, if the attempt that was paid for may not go out any more.
    pub(crate) fn check_budget(&mut self) -> Option<Answer<Res>> {
        // Where nothing is held nothing can change.
        self.answer.as_ref()?;
        let why = self.call.as_mut()?.check_budget().err()?;
        self.withdraw(Some(why))
    }

    /// Waits for the service to be ready for the next attempt.
    pub(crate) fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        let Some(again) = &mut self.again else {
            return Poll::Ready(Ok(()));
        };
        fail_on_panic(&mut self.call, || again.service.poll_ready(cx)).map_err(Into::into)
    }

    /// Makes the next attempt, and returns its future.
    pub(crate) fn attempt(&mut self) -> Scoped<S::Future> {
        let again = self.again.as_mut().expect(PLANNED);
        let request = self.request.take().expect(PLANNED);
        self.answer = None;
        let call = self.call.as_mut().expect(PLANNED);
        let context = Context {
            attempt: call.next_attempt(),
            ..Context::current()
        };
        if !X::WANTED && call.is_at_last() {
            again.kept = None;
        }
        fail_on_panic(&mut self.call, || context.call(&mut again.service, request))
    }

    /// How long an attempt may take.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.call.as_ref()?.machine().attempt_timeout()
    }

    /// Ends the call with an error of the service's readiness, which is not retried.
    pub(crate) fn not_ready(&mut self, error: BoxError) -> BoxError {
        let outcome = judge(&self.tools.classify, Err(&*error));
        self.end(&outcome);
        error
    }

    /// Makes the error of an attempt that has taken too long.
    pub(crate) fn timed_out(&self) -> BoxError {
        let call = self.call.as_ref().expect(PLANNED);
        Rejection::new(Reason::TimedOut, call.machine().name).into()
    }

    fn give_up(&self, why: GiveUp, result: &mut Answer<Res>) {
        let Some(call) = &self.call else {
            return;
        };
        // What only looks on leaves the answer alone.
        if !why.is_for_a_letter() || !call.machine().is_enforced() {
            return;
        }
        if X::WANTED && !self.write_letter(result) {
            call.machine().counts.add(Count::LostLetter);
        }
        let attempts = call.attempts();
        // With a single attempt, this layer is not there to retry.
        if !why.is_exhaustion() || why == GiveUp::Attempts && attempts == 1 {
            return;
        }
        match result {
            Ok(response) => self
                .tools
                .notes
                .note(response, RetriesExhausted { attempts }),
            Err(error) => RetriesExhausted::mark(&**error),
        }
    }

    fn write_letter(&self, answer: &Answer<Res>) -> bool {
        let kept = self.again.as_ref().and_then(|again| again.kept.as_ref());
        let request = kept.and_then(|kept| self.tools.repeat.again(kept));
        request.is_some_and(|request| {
            let answer = answer.as_ref().map_err(|error| &**error);
            self.tools.exhausted.take(request, answer)
        })
    }

    fn end(&mut self, outcome: &Outcome) {
        if let Some(call) = &mut self.call {
            call.over(outcome);
        }
        self.call = None;
    }
}
