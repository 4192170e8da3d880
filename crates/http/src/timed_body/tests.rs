use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Pending, Ready, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{Empty, Full};
use tokio::time::{Instant, advance};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready};
use tower_layer::Layer;
use tower_service::Service;
use watertight_core::{BoxError, Name, Reason, Rejection};
use watertight_metrics::Registry;

use super::body::Limits;
use super::*;
use crate::protocol::Protocol;

const S: Duration = Duration::from_secs(1);

/// A body of words that come one by one, and never end by themselves. Whoever has a clone adds to
/// them, and sees when the body is gone.
#[derive(Clone, Debug, Default)]
struct Words(Arc<Mutex<VecDeque<&'static str>>>);

impl Words {
    fn push(&self, word: &'static str) {
        self.0.lock().unwrap().push_back(word);
    }
}

impl Body for Words {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.lock().unwrap().pop_front() {
            Some(word) => Poll::Ready(Some(Ok(Frame::data(word.into())))),
            None => Poll::Pending,
        }
    }
}

fn words(words: &[&'static str]) -> Words {
    Words(Arc::new(Mutex::new(words.iter().copied().collect())))
}

type Polled<D> = Poll<Option<Result<Frame<D>, BoxError>>>;

fn poll<B>(body: &mut Spawn<TimedBody<B>>) -> Polled<B::Data>
where
    B: Body<Error: Into<BoxError>>,
{
    body.enter(|cx, body| body.poll_frame(cx))
}

fn text(polled: Polled<Bytes>) -> Bytes {
    let frame = assert_ready!(polled).unwrap().unwrap();
    frame.into_data().unwrap()
}

fn reason(polled: Polled<Bytes>) -> Reason {
    let error = assert_ready!(polled).unwrap().unwrap_err();
    Rejection::find(&*error).unwrap().reason()
}

fn trailers(polled: Polled<Bytes>) -> HeaderMap {
    let frame = assert_ready!(polled).unwrap().unwrap();
    frame.into_trailers().unwrap()
}

fn until<B: Body>(body: B, time: Duration) -> Spawn<TimedBody<B>> {
    let name = Name::new("inbound");
    let deadline = Instant::now() + time;
    spawn(TimedBody::until(body, deadline, name, Protocol::Http))
}

fn read() -> BodyTimeoutBuilder<ResponseBodies> {
    ResponseBodyTimeoutLayer::builder("read").registry(&Registry::new())
}

fn write() -> BodyTimeoutBuilder<RequestBodies> {
    RequestBodyTimeoutLayer::builder("write").registry(&Registry::new())
}

/// The body of a response that has come through the layer.
fn through(layer: &ResponseBodyTimeoutLayer, response: Response<Words>) -> Spawn<TimedBody<Words>> {
    let mut response = spawn(layer.layer(Answers(Some(response))).call(()));
    let response = assert_ready!(response.poll()).unwrap();
    spawn(response.into_body())
}

struct Answers(Option<Response<Words>>);

impl Service<()> for Answers {
    type Response = Response<Words>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Words>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(self.0.take().unwrap()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_cut_off_at_its_deadline_and_dropped_at_once() {
    let words = words(&["one"]);
    let mut body = until(words.clone(), 2 * S);
    assert_eq!(text(poll(&mut body)), "one");
    assert_pending!(poll(&mut body));
    advance(2 * S - Duration::from_millis(1)).await;
    assert_pending!(poll(&mut body));
    assert!(!body.is_woken());

    advance(Duration::from_millis(1)).await;

    assert!(body.is_woken());
    assert_eq!(reason(poll(&mut body)), Reason::DeadlineExceeded);
    assert_eq!(Arc::strong_count(&words.0), 1);
    assert!(body.enter(|_, body| body.is_end_stream()));
    assert!(assert_ready!(poll(&mut body)).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_always_has_more_is_cut_off_too() {
    let mut body = until(words(&["one", "two", "three"]), S);
    assert_eq!(text(poll(&mut body)), "one");

    advance(S + Duration::from_millis(1)).await;

    assert_eq!(reason(poll(&mut body)), Reason::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_at_the_limit_wins_whatever_the_limit_is() {
    let through = |layer: BodyTimeoutBuilder<ResponseBodies>, words: &Words| {
        through(&layer.build(), Response::new(words.clone()))
    };
    for limit in ["deadline", "whole", "frame"] {
        let words = words(&[]);
        let mut body = match limit {
            "deadline" => until(words.clone(), 2 * S),
            "whole" => through(read().whole(2 * S), &words),
            _ => through(read().frame(2 * S), &words),
        };
        assert_pending!(poll(&mut body));

        advance(2 * S).await;
        for word in ["one", "two"] {
            words.push(word);
            assert_eq!(text(poll(&mut body)), word, "{limit}");
        }
    }
}

/// The timer and the frame are there in the same poll, which comes when it comes.
#[tokio::test(start_paused = true)]
async fn a_frame_wins_over_a_timer_that_nobody_has_looked_at() {
    let words = words(&[]);
    let mut body = until(words.clone(), 2 * S);
    assert_pending!(poll(&mut body));

    advance(3 * S).await;
    words.push("one");
    words.push("two");

    assert_eq!(text(poll(&mut body)), "one");
    assert_eq!(reason(poll(&mut body)), Reason::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_ready_in_time_is_read_whenever_it_is() {
    let mut body = until(Full::<Bytes>::from("done"), S);

    advance(2 * S).await;

    assert_eq!(text(poll(&mut body)), "done");
}

#[tokio::test(start_paused = true)]
async fn the_reader_of_grpc_sees_a_status() {
    for (kind, has_status) in [
        ("application/grpc", true),
        ("application/grpc-web", false),
        ("application/grpc-web-text", false),
    ] {
        let (deadline, protocol) = (Instant::now() + S, Protocol::Grpc(kind));
        let body = TimedBody::until(words(&[]), deadline, Name::new("inbound"), protocol);
        let mut body = spawn(body);
        assert_pending!(poll(&mut body));
        advance(S).await;

        if has_status {
            let trailers = trailers(poll(&mut body));
            assert_eq!(trailers["grpc-status"], "4");
            assert_eq!(trailers["grpc-message"], "deadline exceeded");
        } else {
            assert_eq!(reason(poll(&mut body)), Reason::DeadlineExceeded);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_grpc_sees_a_status_too() {
    let mut response = Response::new(words(&[]));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    let mut body = through(&read().frame(S).build(), response);
    assert_pending!(poll(&mut body));

    advance(S).await;

    assert_eq!(trailers(poll(&mut body))["grpc-status"], "4");
}

#[tokio::test(start_paused = true)]
async fn each_frame_has_its_own_time() {
    let words = words(&[]);
    let layer = read().frame(2 * S).build();
    let mut body = through(&layer, Response::new(words.clone()));
    for word in ["one", "two", "three"] {
        assert_pending!(poll(&mut body));
        advance(2 * S - Duration::from_millis(1)).await;
        assert_pending!(poll(&mut body));
        words.push(word);
        assert_eq!(text(poll(&mut body)), word);
    }
    // Nobody waits for a frame now.
    advance(10 * S).await;
    assert_pending!(poll(&mut body));

    advance(2 * S).await;

    assert_eq!(reason(poll(&mut body)), Reason::TimedOut);
    assert_eq!(Arc::strong_count(&words.0), 1);
}

#[tokio::test(start_paused = true)]
async fn frames_that_keep_coming_do_not_lengthen_the_whole() {
    let words = words(&[]);
    let layer = read().frame(2 * S).whole(5 * S).build();
    let mut body = through(&layer, Response::new(words.clone()));
    for word in ["one", "two", "three", "four"] {
        assert_pending!(poll(&mut body));
        advance(S).await;
        words.push(word);
        assert_eq!(text(poll(&mut body)), word);
    }
    assert_pending!(poll(&mut body));

    advance(S).await;

    assert_eq!(reason(poll(&mut body)), Reason::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn without_limits_a_body_takes_its_time() {
    let layer = read().build();
    let mut body = through(&layer, Response::new(words(&["one"])));
    assert_eq!(text(poll(&mut body)), "one");
    assert_pending!(poll(&mut body));

    advance(1_000_000 * S).await;

    assert_pending!(poll(&mut body));
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_is_no_limit() {
    let layer = read().frame(Duration::MAX).whole(Duration::MAX).build();
    let mut body = through(&layer, Response::new(words(&[])));

    assert_pending!(poll(&mut body));
}

#[test]
#[should_panic(expected = "`frame` is 0ns, but must be above zero")]
fn no_time_at_all_is_no_setting() {
    let _ = RequestBodyTimeoutLayer::new("write", Duration::ZERO);
}

/// Uses up at every poll what tokio lets a task do before it yields, and gets nowhere.
struct Restless(Pin<Box<dyn Future<Output = Infallible>>>);

fn restless() -> Restless {
    Restless(Box::pin(async {
        loop {
            tokio::task::consume_budget().await;
        }
    }))
}

impl Body for Restless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.as_mut().poll(cx) {
            Poll::Ready(never) => match never {},
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Service<Request<UploadBody<Words>>> for Restless {
    type Response = ();
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<(), Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<UploadBody<Words>>) -> Self::Future {
        Box::pin(async {
            let _body = request.into_body();
            match restless().0.await {}
        })
    }
}

/// The clock of a runtime that is never idle does not go on by itself.
async fn pass(time: Duration) {
    for _ in 0..time.as_millis() {
        advance(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_rests_is_cut_off_too() {
    let limits = Limits {
        frame: Some(S),
        end: None,
        name: Name::new("read"),
        has_trailers: false,
    };
    let mut body = pin!(TimedBody::new(restless(), Some(limits)));

    let cut = tokio::select! {
        biased;
        polled = poll_fn(|cx| body.as_mut().poll_frame(cx)) => polled,
        () = pass(2 * S) => panic!("it goes on"),
    };

    assert_eq!(reason(Poll::Ready(cut)), Reason::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn an_upload_to_a_service_that_never_rests_is_ended_too() {
    let layer = write().frame(S).build();
    let mut service = layer.layer(restless());

    let ended = tokio::select! {
        biased;
        answer = service.call(Request::new(words(&["one"]))) => answer.unwrap_err(),
        () = pass(2 * S) => panic!("it goes on"),
    };

    let reason = Rejection::find(&*ended).unwrap().reason();
    assert_eq!(reason, Reason::TimedOut);
}

/// Takes the body of a request as far as the test says.
#[derive(Default)]
struct Takes<B>(Option<Spawn<UploadBody<B>>>);

impl<B> Service<Request<UploadBody<B>>> for &mut Takes<B> {
    type Response = ();
    type Error = Infallible;
    type Future = Pending<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<UploadBody<B>>) -> Self::Future {
        self.0 = Some(spawn(request.into_body()));
        pending()
    }
}

impl<B: Body> Takes<B> {
    fn take(&mut self) -> bool {
        let body = self.0.as_mut().unwrap();
        body.enter(|cx, body| body.poll_frame(cx)).is_ready()
    }
}

type Upload = Spawn<RequestBodyTimeoutFuture<Pending<Result<(), Infallible>>>>;

fn upload<B: Body>(layer: &RequestBodyTimeoutLayer, takes: &mut Takes<B>, body: B) -> Upload {
    spawn(layer.layer(takes).call(Request::new(body)))
}

fn ended(call: &mut Upload) -> Reason {
    let error = assert_ready!(call.poll()).unwrap_err();
    Rejection::find(&*error).unwrap().reason()
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stands_still_ends_the_call() {
    let layer = write().frame(2 * S).build();
    let mut takes = Takes(None);
    let mut call = upload(&layer, &mut takes, words(&["one", "two"]));
    for _ in 0..2 {
        assert_pending!(call.poll());
        advance(2 * S - Duration::from_millis(1)).await;
        assert!(takes.take());
    }
    assert_pending!(call.poll());
    assert!(!takes.take());
    advance(2 * S - Duration::from_millis(2)).await;
    assert_pending!(call.poll());

    advance(Duration::from_millis(2)).await;

    assert!(call.is_woken());
    assert_eq!(ended(&mut call), Reason::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_ends_the_call_in_the_end() {
    let layer = write().frame(2 * S).whole(3 * S).build();
    let mut takes = Takes(None);
    let mut call = upload(&layer, &mut takes, words(&["one", "two", "three"]));
    for _ in 0..2 {
        assert_pending!(call.poll());
        advance(S).await;
        assert!(takes.take());
    }
    assert_pending!(call.poll());

    advance(S).await;

    assert_eq!(ended(&mut call), Reason::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_done_has_no_limit() {
    let layer = write().frame(2 * S).whole(3 * S).build();
    let mut takes = Takes(None);
    let mut call = upload(&layer, &mut takes, Full::<Bytes>::from("all"));
    assert_pending!(call.poll());
    advance(S).await;
    assert!(takes.take());

    advance(100 * S).await;

    assert_pending!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_body_is_not_watched() {
    let layer = write().frame(S).build();
    let mut takes = Takes(None);
    let mut call = upload(&layer, &mut takes, Empty::<Bytes>::new());
    assert_pending!(call.poll());

    advance(100 * S).await;

    assert_pending!(call.poll());
}

/// hyper lets go of a body once it has sent as much as the request's length says, and others read
/// none of it.
#[tokio::test(start_paused = true)]
async fn an_upload_that_is_let_go_of_has_no_limit() {
    let layer = write().frame(2 * S).whole(3 * S).build();
    let mut takes = Takes(None);
    let mut call = upload(&layer, &mut takes, words(&["one", "two"]));
    assert_pending!(call.poll());
    assert!(takes.take());

    takes.0 = None;
    advance(100 * S).await;

    assert_pending!(call.poll());
}
