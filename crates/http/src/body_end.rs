use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use watertight_core::{
    BoxError, Call, Classify, End, FailureKind, Finish, Outcome, judge, judge_end,
};

use crate::grpc_code::GRPC_STATUS;

/// A call is over when the body of its response is: what the layer holds for the call it holds
/// until then, and a status in the trailers counts.
///
/// The call ends when the body has no more frames, when its trailers come, when it breaks off or
/// panics, or when it is dropped, whichever is first. A body without frames ends the call with the
/// head; if the head has a `grpc-status` it is the trailers as well, as gRPC has it.
///
/// The head of the response is told to the layer as soon as it is there. A circuit breaker votes by
/// it where it can, so that bodies which are held unread hide no failure and keep no probe waiting:
///
/// | the head is | in a call | in a probe of a half-open breaker |
/// | --- | --- | --- |
/// | a failure | votes at once, and the end does not vote again | the same, and frees the probe's place |
/// | a success | does not vote: the end does | votes at once, and frees the place; a failure at the end votes too, while that half-open state lasts |
/// | neither, as where gRPC has its status in the trailers | does not vote: the end does | keeps the place until the end |
///
/// Layers that do not vote by heads hold what they hold, and count, until the end.
///
/// The responses that go up have a [`TrackedBody`]: closures name them `Response<_>`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AtBodyEnd;

impl<B, C> Finish<Response<B>, C> for AtBodyEnd
where
    B: Body,
    C: Classify<Response<B>> + Clone,
{
    type Response<K: Call> = Response<TrackedBody<B, C, K>>;

    fn finish<K: Call>(
        &self,
        response: Response<B>,
        classify: &C,
        mut call: K,
    ) -> Self::Response<K> {
        let head = judge(classify, Ok(&response));
        call.head(&head);
        let mut watch = Watch {
            call: Some(call),
            running: false,
            is_decided: is_decided(&response),
            classify: classify.clone(),
            head,
            response: PhantomData,
        };
        if response.body().is_end_stream() {
            let headers = response.headers();
            watch.end(End::Complete(
                headers.contains_key(GRPC_STATUS).then_some(headers),
            ));
        }
        response.map(|body| TrackedBody { body, watch })
    }
}

/// The body of a response whose call is over when it ends. Made by [`AtBodyEnd`].
///
/// Frames, size and errors are those of the inner body; the errors are boxed.
#[pin_project]
pub struct TrackedBody<B, C: Classify<Response<B>>, K: Call> {
    #[pin]
    body: B,
    watch: Watch<B, C, K>,
}

impl<B, C, K> Body for TrackedBody<B, C, K>
where
    B: Body,
    B::Error: Into<BoxError>,
    C: Classify<Response<B>>,
    K: Call,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        let body = &mut this.body;
        let polled = this.watch.run(|| body.as_mut().poll_frame(cx));
        if let Some(call) = &mut this.watch.call {
            call.polled(|| polled.is_pending() || body.size_hint().exact().is_none());
        }

        Poll::Ready(match ready!(polled) {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.watch.end(End::Complete(Some(trailers)));
                } else if this.body.is_end_stream() {
                    this.watch.end(End::Complete(None));
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                let error = error.into();
                this.watch.end(End::Error(&*error));
                Some(Err(error))
            }
            None => {
                this.watch.end(End::Complete(None));
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B, C: Classify<Response<B>>, K: Call> fmt::Debug for TrackedBody<B, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedBody")
            .field("ended", &self.watch.call.is_none())
            .finish_non_exhaustive()
    }
}

/// Holds a call, and ends it once: as its body ends, as a failure when the code of the body
/// panics, or as dropped.
struct Watch<B, C: Classify<Response<B>>, K: Call> {
    /// `None` once the call has ended.
    call: Option<K>,
    /// Set while the inner body runs: a drop that finds it set is due to a panic of that code.
    running: bool,
    /// Whether trailers without a status say nothing that the head has not said.
    is_decided: bool,
    classify: C,
    head: Outcome,
    response: PhantomData<fn(B)>,
}

impl<B, C: Classify<Response<B>>, K: Call> Watch<B, C, K> {
    fn run<R>(&mut self, inner: impl FnOnce() -> R) -> R {
        self.running = true;
        let result = inner();
        self.running = false;
        result
    }

    fn end(&mut self, end: End<'_>) {
        if let Some(call) = self.call.take() {
            // A head that says nothing may say so for good, or wait for the status of gRPC.
            let stands = self.is_decided && self.head == Outcome::Ignored && lacks_status(end);
            let outcome = if stands {
                self.head
            } else {
                judge_end(&self.classify, self.head, end)
            };
            match end {
                End::Dropped => call.break_off(outcome),
                End::Complete(_) | End::Error(_) => call.end(outcome),
            }
        }
    }
}

/// Whether the status of gRPC is in the head already, or will not be in the trailers: a proxy that
/// is no gRPC server has answered, or it is gRPC-Web, which sends trailers as data.
fn is_decided<B>(response: &Response<B>) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE);
    response.status() != StatusCode::OK
        || response.headers().contains_key(GRPC_STATUS)
        || content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc-web"))
}

/// Whether a body has ended well, and without the status of gRPC.
fn lacks_status(end: End<'_>) -> bool {
    match end {
        End::Complete(trailers) => {
            trailers.is_none_or(|trailers| !trailers.contains_key(GRPC_STATUS))
        }
        End::Error(_) | End::Dropped => false,
    }
}

impl<B, C: Classify<Response<B>>, K: Call> Drop for Watch<B, C, K> {
    fn drop(&mut self) {
        if !self.running {
            self.end(End::Dropped);
        } else if let Some(call) = self.call.take() {
            call.end(Outcome::failure(FailureKind::Other));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use bytes::Bytes;
    use http::HeaderMap;
    use http_body_util::{Empty, Full};
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;
    use crate::{GrpcClassifier, GrpcCode, HttpClassifier};

    /// What became of a call, in order.
    #[derive(Clone, Debug, Default)]
    struct Log(Rc<RefCell<Vec<String>>>);

    impl Log {
        fn take(&self) -> Vec<String> {
            self.0.take()
        }
    }

    struct Logged {
        log: Log,
        ended: bool,
    }

    impl Logged {
        fn write(&self, what: &str, outcome: &Outcome) {
            let outcome = match outcome {
                Outcome::Success => "success",
                Outcome::Failure(failure) => failure.kind.as_str(),
                Outcome::Ignored => "ignored",
            };
            self.log.0.borrow_mut().push(format!("{what} {outcome}"));
        }
    }

    impl Call for Logged {
        fn head(&mut self, head: &Outcome) {
            self.write("head", head);
        }

        fn end(mut self, outcome: Outcome) {
            self.ended = true;
            self.write("end", &outcome);
        }
    }

    impl Drop for Logged {
        fn drop(&mut self) {
            if !self.ended {
                self.log.0.borrow_mut().push("cancelled".into());
            }
        }
    }

    /// A body of the frames that are listed, which pends before each, and then ends.
    #[derive(Default)]
    struct Script {
        steps: VecDeque<Step>,
        pended: bool,
        /// Whether the body knows its end beforehand, as a sized one does.
        sized: bool,
    }

    enum Step {
        Data,
        Trailers(HeaderMap),
        Break,
        Panic,
    }

    impl Body for Script {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.pended = !self.pended;
            if self.pended {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(self.steps.pop_front().map(|step| match step {
                Step::Data => Ok(Frame::data(Bytes::from_static(b"data"))),
                Step::Trailers(trailers) => Ok(Frame::trailers(trailers)),
                Step::Break => Err("reset".into()),
                Step::Panic => panic!("in the body"),
            }))
        }

        fn is_end_stream(&self) -> bool {
            self.sized & self.steps.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(4 * self.steps.len() as u64)
        }
    }

    fn script(steps: impl IntoIterator<Item = Step>) -> Script {
        Script {
            steps: steps.into_iter().collect(),
            ..Script::default()
        }
    }

    fn status(code: &str) -> HeaderMap {
        [(GRPC_STATUS, code.parse().unwrap())].into_iter().collect()
    }

    fn tracked<B: Body, C>(
        log: &Log,
        classify: &C,
        response: Response<B>,
    ) -> Response<TrackedBody<B, C, Logged>>
    where
        C: Classify<Response<B>> + Clone,
    {
        let call = Logged {
            log: log.clone(),
            ended: false,
        };
        AtBodyEnd.finish(response, classify, call)
    }

    fn over_http(log: &Log, body: Script) -> TrackedBody<Script, HttpClassifier, Logged> {
        tracked(log, &HttpClassifier::new(), Response::new(body)).into_body()
    }

    fn over_grpc(log: &Log, body: Script) -> TrackedBody<Script, GrpcClassifier, Logged> {
        tracked(log, &GrpcClassifier::new(), Response::new(body)).into_body()
    }

    /// Reads `frames` frames, or as many as there are.
    fn read<B: Body>(body: B, frames: usize) -> Vec<Result<Frame<B::Data>, B::Error>> {
        let mut body = task::spawn(body);
        let mut read = Vec::new();
        while read.len() < frames {
            match body.enter(|cx, body| body.poll_frame(cx)) {
                Poll::Ready(Some(frame)) => read.push(frame),
                Poll::Ready(None) => break,
                Poll::Pending => assert!(body.is_woken()),
            }
        }
        read
    }

    #[test]
    fn a_call_ends_when_its_body_has_no_more() {
        let log = Log::default();
        let mut body = task::spawn(over_http(&log, script([Step::Data])));

        assert_pending!(body.enter(|cx, body| body.poll_frame(cx)));
        assert!(assert_ready!(body.enter(|cx, body| body.poll_frame(cx))).is_some());
        assert_eq!(log.take(), ["head success"]);

        assert_pending!(body.enter(|cx, body| body.poll_frame(cx)));
        assert!(assert_ready!(body.enter(|cx, body| body.poll_frame(cx))).is_none());
        assert_eq!(log.take(), ["end success"]);

        drop(body);
        assert!(log.take().is_empty());
    }

    #[test]
    fn a_sized_body_ends_the_call_with_its_last_frame() {
        let log = Log::default();
        let mut sized = script([Step::Data, Step::Data]);
        sized.sized = true;

        let mut body = over_http(&log, sized);
        assert_eq!(read(&mut PinnedMut(&mut body), 1).len(), 1);
        assert_eq!(log.take(), ["head success"]);
        assert_eq!(read(&mut PinnedMut(&mut body), 1).len(), 1);
        assert_eq!(log.take(), ["end success"]);
    }

    /// Lends a body that may be moved.
    struct PinnedMut<'a, B>(&'a mut B);

    impl<B: Body + Unpin> Body for PinnedMut<'_, B> {
        type Data = B::Data;
        type Error = B::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
            Pin::new(&mut *self.0).poll_frame(cx)
        }
    }

    #[test]
    fn what_the_head_says_to_ignore_is_ignored_at_the_end() {
        let ignoring = GrpcClassifier::new().ignore([GrpcCode::Unauthenticated]);
        let refused_by_a_proxy = Response::builder().status(401);
        let cancelled = Response::builder().header(GRPC_STATUS, "1");
        let over_the_web = Response::builder().header(CONTENT_TYPE, "application/grpc-web+proto");

        for head in [refused_by_a_proxy, cancelled, over_the_web] {
            let log = Log::default();
            let steps = [Step::Data, Step::Trailers(HeaderMap::new())];
            let response = head.body(script(steps)).unwrap();

            read(tracked(&log, &ignoring, response).into_body(), 3);

            assert_eq!(log.take(), ["head ignored", "end ignored"]);
        }
    }

    #[test]
    fn an_empty_body_ends_the_call_with_the_head() {
        let log = Log::default();

        let response = tracked(
            &log,
            &HttpClassifier::new(),
            Response::new(Empty::<Bytes>::new()),
        );
        assert_eq!(log.take(), ["head success", "end success"]);

        drop(response);
        assert!(log.take().is_empty());
    }

    #[test]
    fn a_body_that_breaks_off_is_a_failure() {
        let log = Log::default();

        let read = read(over_http(&log, script([Step::Data, Step::Break])), 2);

        assert_eq!(read[1].as_ref().unwrap_err().to_string(), "reset");
        assert_eq!(log.take(), ["head success", "end server"]);
    }

    #[test]
    fn a_dropped_body_leaves_the_head_standing() {
        let log = Log::default();

        drop(over_http(&log, script([Step::Data])));
        assert_eq!(log.take(), ["head success", "end success"]);

        read(over_http(&log, script([Step::Data, Step::Data])), 1);
        assert_eq!(log.take(), ["head success", "end success"]);
    }

    #[test]
    fn a_failed_head_is_told_at_once_and_stands() {
        let log = Log::default();
        let response = Response::builder().status(503).body(script([Step::Data]));

        let response = tracked(&log, &HttpClassifier::new(), response.unwrap());
        assert_eq!(log.take(), ["head overloaded"]);

        read(response.into_body(), 2);
        assert_eq!(log.take(), ["end overloaded"]);
    }

    #[test]
    fn a_status_in_the_trailers_counts() {
        let log = Log::default();

        let steps = |code| script([Step::Data, Step::Trailers(status(code))]);
        read(over_grpc(&log, steps("0")), 2);
        assert_eq!(log.take(), ["head ignored", "end success"]);
        read(over_grpc(&log, steps("14")), 2);
        assert_eq!(log.take(), ["head ignored", "end overloaded"]);
    }

    #[test]
    fn a_stream_without_a_status_fails_at_its_end_and_says_nothing_when_dropped() {
        let log = Log::default();

        read(over_grpc(&log, script([Step::Data])), 2);
        assert_eq!(log.take(), ["head ignored", "end server"]);
        read(over_grpc(&log, script([Step::Data])), 1);
        assert_eq!(log.take(), ["head ignored", "end ignored"]);
    }

    #[test]
    fn headers_without_a_body_are_trailers_too() {
        let log = Log::default();
        let answer = |headers: HeaderMap| {
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.headers_mut() = headers;
            drop(tracked(&log, &GrpcClassifier::new(), response));
            log.take()
        };

        assert_eq!(answer(status("14")), ["head overloaded", "end overloaded"]);
        assert_eq!(answer(status("0")), ["head success", "end success"]);
        assert_eq!(answer(status("1")), ["head ignored", "end ignored"]);
        assert_eq!(answer(HeaderMap::new()), ["head ignored", "end server"]);
    }

    #[test]
    fn a_panic_of_the_body_is_a_failure_and_goes_on() {
        let log = Log::default();

        let panicked = catch_unwind(AssertUnwindSafe(|| {
            read(over_http(&log, script([Step::Data, Step::Panic])), 2);
        }));

        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"in the body"));
        assert_eq!(log.take(), ["head success", "end other"]);
    }

    #[test]
    fn a_panic_of_the_reader_is_a_drop() {
        let log = Log::default();

        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let body = over_http(&log, script([Step::Data]));
            assert!(body.is_end_stream(), "the reader's own");
        }));

        assert!(panicked.is_err());
        assert_eq!(log.take(), ["head success", "end success"]);
    }

    #[test]
    fn size_and_end_are_the_bodys_own() {
        let log = Log::default();
        let body = Full::new(Bytes::from_static(b"twelve bytes"));

        let body = tracked(&log, &HttpClassifier::new(), Response::new(body)).into_body();

        assert_eq!(body.size_hint().exact(), Some(12));
        assert!(!body.is_end_stream());
    }
}
