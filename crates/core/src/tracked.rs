use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;

use crate::{BoxError, Call, Classify, FailureKind, Finish, Outcome, judge};

/// The future of a call that is followed to its end: the one way in which our layers learn how a
/// call went.
///
/// A response and an error are [judged](judge) by the classifier, a panic of the inner service is
/// a [`FailureKind::Other`] failure and goes on to the caller, and a future that is dropped ends
/// its [`Call`] by dropping it.
#[pin_project]
pub struct Tracked<F, K: Call, C, N> {
    #[pin]
    inner: F,
    /// `None` once it has ended.
    call: Option<K>,
    classify: C,
    finish: N,
}

impl<F, K: Call, C, N> Tracked<F, K, C, N> {
    /// Starts the call by `start`, which calls the inner service.
    #[inline]
    pub fn new(call: K, classify: C, finish: N, start: impl FnOnce() -> F) -> Self {
        let mut call = Some(call);
        let inner = fail_on_panic(&mut call, start);
        Self {
            inner,
            call,
            classify,
            finish,
        }
    }
}

impl<F, K, C, N, Res, E> Future for Tracked<F, K, C, N>
where
    F: Future<Output = Result<Res, E>>,
    K: Call,
    C: Classify<Res>,
    N: Finish<Res, C>,
    E: Into<BoxError>,
{
    type Output = Result<N::Response<K>, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = fail_on_panic(this.call, || this.inner.poll(cx));
        if let Some(call) = this.call {
            call.polled(|| polled.is_pending());
        }
        let result = ready!(polled).map_err(Into::into);
        let call = this
            .call
            .take()
            .expect("a future that has completed is not polled again");

        Poll::Ready(match result {
            Ok(response) => Ok(this.finish.finish(response, this.classify, call)),
            Err(error) => {
                call.end(judge(this.classify, Err(&*error)));
                Err(error)
            }
        })
    }
}

impl<F, K: Call, C, N> fmt::Debug for Tracked<F, K, C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked").finish_non_exhaustive()
    }
}

/// Runs the inner service, and ends the call as a failure if that panics. What panicked goes on to
/// the caller.
#[inline]
pub fn fail_on_panic<K: Call, R>(call: &mut Option<K>, inner: impl FnOnce() -> R) -> R {
    let unwinding = Unwinding(call);
    let result = inner();
    mem::forget(unwinding);
    result
}

/// Dropped only when what runs below it unwinds. `thread::panicking` would not do: it may be the
/// caller who unwinds, and drops a future that was well.
struct Unwinding<'a, K: Call>(&'a mut Option<K>);

impl<K: Call> Drop for Unwinding<'_, K> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call.end(Outcome::failure(FailureKind::Other));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::{Ready, pending, poll_fn, ready};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;
    use crate::{AtResponse, ErrorsAreFailures};

    #[derive(Clone, Debug, Default)]
    struct Log(Rc<RefCell<Vec<&'static str>>>);

    struct Logged {
        log: Log,
        ended: bool,
    }

    impl Call for Logged {
        fn head(&mut self, _: &Outcome) {}

        fn end(mut self, outcome: Outcome) {
            self.ended = true;
            self.log.0.borrow_mut().push(match outcome {
                Outcome::Success => "success",
                Outcome::Failure(_) => "failure",
                Outcome::Ignored => "ignored",
            });
        }
    }

    impl Drop for Logged {
        fn drop(&mut self) {
            if !self.ended {
                self.log.0.borrow_mut().push("cancelled");
            }
        }
    }

    fn track<F>(
        log: &Log,
        start: impl FnOnce() -> F,
    ) -> Tracked<F, Logged, ErrorsAreFailures, AtResponse> {
        let call = Logged {
            log: log.clone(),
            ended: false,
        };
        Tracked::new(call, ErrorsAreFailures, AtResponse, start)
    }

    #[test]
    fn ends_a_call_by_its_answer() {
        let log = Log::default();

        let mut good = task::spawn(track(&log, || ready(Ok::<_, BoxError>("done"))));
        assert_eq!(assert_ready!(good.poll()).unwrap(), "done");
        let mut bad = task::spawn(track(&log, || ready(Err::<(), BoxError>("broken".into()))));
        assert_eq!(assert_ready!(bad.poll()).unwrap_err().to_string(), "broken");
        drop((good, bad));

        assert_eq!(*log.0.borrow(), ["success", "failure"]);
    }

    #[test]
    fn a_dropped_future_cancels_its_call() {
        let log = Log::default();

        drop(track(&log, pending::<Result<(), BoxError>>));
        let mut polled = task::spawn(track(&log, pending::<Result<(), BoxError>>));
        assert_pending!(polled.poll());
        drop(polled);

        assert_eq!(*log.0.borrow(), ["cancelled", "cancelled"]);
    }

    #[test]
    fn a_panic_is_a_failure_and_goes_on() {
        let log = Log::default();

        let in_call = catch_unwind(AssertUnwindSafe(|| {
            drop(track(&log, || -> Ready<Result<(), BoxError>> {
                panic!("call")
            }));
        }));
        let in_poll = catch_unwind(AssertUnwindSafe(|| {
            let future = track(&log, || {
                poll_fn(|_| -> Poll<Result<(), BoxError>> { panic!("poll") })
            });
            let _ = task::spawn(future).poll();
        }));

        assert_eq!(in_call.unwrap_err().downcast_ref(), Some(&"call"));
        assert_eq!(in_poll.unwrap_err().downcast_ref(), Some(&"poll"));
        assert_eq!(*log.0.borrow(), ["failure", "failure"]);
    }

    #[test]
    fn a_drop_while_the_caller_unwinds_is_no_failure() {
        let log = Log::default();

        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _future = track(&log, pending::<Result<(), BoxError>>);
            panic!("the caller's own");
        }));

        assert_eq!(*log.0.borrow(), ["cancelled"]);
    }
}
