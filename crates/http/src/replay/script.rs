//! A body for tests, which does what a script says.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use watertight_core::BoxError;

/// What the source does when it is polled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Gives so many bytes, whose values count on over the whole body.
    Data(usize),
    /// Gives nothing until [`Control::go_on`].
    Wait,
    /// Gives [`trailers`].
    Trailers,
    /// Breaks off.
    Break,
    Panic,
}

pub(super) fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// The bytes of a body from `start` on.
pub(super) fn bytes(start: usize, count: usize) -> Bytes {
    (start..start + count).map(|at| (at % 251) as u8).collect()
}

pub(super) struct Script {
    control: Control,
}

/// Makes a body and the hand on it. With `exact` it says how long it is, and where it ends.
pub(super) fn script(steps: impl IntoIterator<Item = Step>, exact: bool) -> (Script, Control) {
    let control = Control(Arc::new(Mutex::new(State {
        steps: steps.into_iter().collect(),
        exact,
        given: 0,
        polls: 0,
        waker: None,
        is_dropped: false,
    })));
    let script = Script {
        control: control.clone(),
    };
    (script, control)
}

#[derive(Clone)]
pub(super) struct Control(Arc<Mutex<State>>);

struct State {
    steps: VecDeque<Step>,
    exact: bool,
    given: usize,
    polls: usize,
    waker: Option<Waker>,
    is_dropped: bool,
}

impl Control {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Ends a wait, if the source is at one, and wakes who was told to wait.
    pub(super) fn go_on(&self) {
        let mut state = self.state();
        if state.steps.front() == Some(&Step::Wait) {
            state.steps.pop_front();
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.state().is_dropped
    }

    pub(super) fn polls(&self) -> usize {
        self.state().polls
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.control.state().is_dropped = true;
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = self.control.state();
        state.polls += 1;
        let step = match state.steps.front() {
            Some(Step::Wait) => {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            _ => state.steps.pop_front(),
        };
        let start = state.given;
        let Some(step) = step else {
            return Poll::Ready(None);
        };
        Poll::Ready(match step {
            Step::Data(count) => {
                state.given += count;
                Some(Ok(Frame::data(bytes(start, count))))
            }
            Step::Trailers => Some(Ok(Frame::trailers(trailers()))),
            Step::Break => Some(Err("broken".into())),
            Step::Panic => {
                drop(state);
                panic!("the body's own")
            }
            Step::Wait => unreachable!("it is not taken"),
        })
    }

    fn is_end_stream(&self) -> bool {
        let state = self.control.state();
        state.exact && state.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.control.state();
        let left = state.steps.iter().map(|step| match step {
            Step::Data(count) => *count as u64,
            _ => 0,
        });
        if state.exact {
            SizeHint::with_exact(left.sum())
        } else {
            SizeHint::default()
        }
    }
}
