//! What comes after the head of a response, in HTTP.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::task::{self, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, advance, sleep};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};
use tower::{Layer, Service, service_fn};
use watertight_core::{BoxError, Context, Mode, Reason, Rejection};
use watertight_http::{AtBodyEnd, HttpExt};
use watertight_metrics::Registry;
use watertight_timeout::{DeadlineHandle, DeadlineLayer};

use super::stage::{MS, S, WITHIN};

/// A body that says how long it has, and then never ends.
#[derive(Default)]
struct SaysWhatItHas {
    said: bool,
}

impl Body for SaysWhatItHas {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.said {
            return Poll::Pending;
        }
        self.said = true;
        let left = Context::current().remaining(Instant::now());
        let said = format!("{left:?}").into();
        Poll::Ready(Some(Ok(Frame::data(said))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_made_in_the_context_of_its_call_and_cut_off_at_its_deadline() {
    let registry = Registry::new();
    let layer = DeadlineLayer::builder("inbound", WITHIN)
        .http()
        .finish(AtBodyEnd)
        .registry(&registry)
        .build();
    let answer =
        |_: Request<()>| ready(Ok::<_, Infallible>(Response::new(SaysWhatItHas::default())));
    let mut service = layer.layer(service_fn(answer));
    let request = Request::builder().header("x-deadline-ms", "3000");
    let mut call = spawn(service.call(request.body(()).unwrap()));

    let response = assert_ready_ok!(call.poll());
    drop(call);
    let mut body = spawn(response.into_body());
    advance(S).await;
    let said = assert_ready!(body.enter(|cx, body| body.poll_frame(cx)));
    assert_eq!(said.unwrap().unwrap().into_data().unwrap(), "Some(2s)");
    assert_pending!(body.enter(|cx, body| body.poll_frame(cx)));
    assert_eq!(layer.handle().in_flight(), 1);
    advance(2 * S).await;

    assert!(body.is_woken());
    let ended = assert_ready!(body.enter(|cx, body| body.poll_frame(cx)));
    let error = ended.unwrap().unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.reason(), Reason::DeadlineExceeded);
    assert_eq!(rejection.name(), "inbound");
    assert_eq!(layer.handle().in_flight(), 0);
    assert_eq!(layer.handle().snapshot().cut_off, 1);
    let calls = registry.snapshot().instances[0].calls;
    assert_eq!((calls.success, calls.cancelled, calls.rejected), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_had_come_in_time_is_not_cut_off_however_late_it_is_read() {
    let registry = Registry::new();
    let layer = DeadlineLayer::builder("inbound", S)
        .http()
        .finish(AtBodyEnd)
        .registry(&registry)
        .build();
    let answer = |_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Full::from("all"))));
    let mut service = layer.layer(service_fn(answer));
    let response = assert_ready_ok!(spawn(service.call(Request::new(()))).poll());
    let mut body = spawn(response.into_body());

    advance(2 * S).await;
    let frame: Option<Result<Frame<Bytes>, BoxError>> =
        assert_ready!(body.enter(|cx, body| body.poll_frame(cx)));

    assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "all");
    assert_eq!(layer.handle().snapshot().cut_off, 0);
    let calls = registry.snapshot().instances[0].calls;
    assert_eq!((calls.success, calls.rejected), (1, 0));
}

/// A body of one frame that comes at a time, asked for by hand.
struct ComesAt {
    /// `None` once it has come.
    at: Option<Instant>,
    size: SizeHint,
}

impl Body for ComesAt {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.at.is_some_and(|at| Instant::now() < at) {
            return Poll::Pending;
        }
        Poll::Ready(self.at.take().map(|_| Ok(Frame::data("all".into()))))
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

/// Returns how many bodies were cut off, or would have been, of one whose frame comes after `comes`
/// milliseconds and is asked for after `asked`, where the call may take 1,000.
async fn cut_off(mode: Mode, size: SizeHint, comes: u32, asked: u32) -> u64 {
    let layer = DeadlineLayer::builder("inbound", S)
        .http()
        .finish(AtBodyEnd)
        .mode(mode)
        .registry(&Registry::new())
        .build();
    let began = Instant::now();
    let answer = |_: Request<()>| {
        let (at, size) = (Some(began + comes * MS), size);
        ready(Ok::<_, Infallible>(Response::new(ComesAt { at, size })))
    };
    let mut service = layer.layer(service_fn(answer));
    let response = assert_ready_ok!(spawn(service.call(Request::new(()))).poll());
    let mut body = spawn(response.into_body());
    // In shadow nothing wakes the reader at the deadline.
    let wakes = |time: &u32| mode == Mode::Enforce || *time == asked || *time >= comes;
    let times = (asked..1_010).chain([2_000, 2_001, 2_002]);
    for time in times.filter(wakes) {
        advance((began + time * MS).saturating_duration_since(Instant::now())).await;
        let polled = body.enter(|cx, body| body.poll_frame(cx));
        if let Poll::Ready(None | Some(Err(_))) = polled {
            break;
        }
    }
    drop(body);
    let snapshot = layer.handle().snapshot();
    snapshot.cut_off + snapshot.cut_off_in_shadow
}

#[tokio::test(start_paused = true)]
async fn in_shadow_those_bodies_count_that_would_be_cut_off() {
    let mut counts = [0; 2];
    for size in [SizeHint::with_exact(3), SizeHint::default()] {
        for comes in [0, 998, 999, 1_000, 1_001, 2_000] {
            for asked in [0, 998, 999, 1_000, 1_001, 2_000] {
                let enforced = cut_off(Mode::Enforce, size, comes, asked).await;
                let in_shadow = cut_off(Mode::Shadow, size, comes, asked).await;

                assert_eq!(enforced, in_shadow, "{size:?}, {comes}, {asked}");
                counts[enforced as usize] += 1;
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}

/// Calls a service whose deadlines a closure reads, and returns the body of its answer, which comes
/// after two seconds where calls may take one.
fn read_by_a_closure(
    mode: Mode,
) -> (
    DeadlineHandle,
    Spawn<impl Body<Data = Bytes, Error = BoxError>>,
) {
    let layer = DeadlineLayer::builder("inbound", S)
        .read(|_: &Request<()>| None)
        .finish(AtBodyEnd)
        .mode(mode)
        .registry(&Registry::new())
        .build();
    let at = Some(Instant::now() + 2 * S);
    let answer = move |_: Request<()>| {
        let size = SizeHint::default();
        ready(Ok::<_, Infallible>(Response::new(ComesAt { at, size })))
    };
    let mut service = layer.layer(service_fn(answer));
    let response = assert_ready_ok!(spawn(service.call(Request::new(()))).poll());
    (
        layer.handle(),
        spawn(response.into_body().map_err(BoxError::from)),
    )
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_not_cut_off_do_not_count_as_if_they_were() {
    for mode in [Mode::Enforce, Mode::Shadow] {
        let (handle, mut read) = read_by_a_closure(mode);
        let (other, mut dropped) = read_by_a_closure(mode);
        assert_pending!(read.enter(|cx, body| body.poll_frame(cx)));
        assert_pending!(dropped.enter(|cx, body| body.poll_frame(cx)));

        advance(S + MS).await;
        assert_pending!(read.enter(|cx, body| body.poll_frame(cx)));
        assert_pending!(dropped.enter(|cx, body| body.poll_frame(cx)));
        drop(dropped);
        advance(S).await;
        while assert_ready!(read.enter(|cx, body| body.poll_frame(cx))).is_some() {}

        for handle in [handle, other] {
            let seen = handle.snapshot();
            assert_eq!((seen.cut_off, seen.cut_off_in_shadow), (0, 0), "{mode:?}");
        }
    }
}

/// Its body is not cut off, but the call had been by then.
#[tokio::test(start_paused = true)]
async fn in_shadow_a_late_head_counts_whatever_becomes_of_the_body() {
    let layer = DeadlineLayer::builder("inbound", S)
        .read(|_: &Request<()>| None)
        .finish(AtBodyEnd)
        .mode(Mode::Shadow)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_: Request<()>| async {
        sleep(2 * S).await;
        Ok::<_, Infallible>(Response::new(SaysWhatItHas::default()))
    }));
    let mut call = spawn(service.call(Request::new(())));
    assert_pending!(call.poll());
    advance(S).await;
    assert_pending!(call.poll());
    advance(S).await;

    drop(assert_ready_ok!(call.poll()));

    assert_eq!(layer.handle().snapshot().cut_off_in_shadow, 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_left_in_time_counts_as_its_head_does() {
    for (status, expected) in [(200, (1, 0, 0)), (500, (0, 1, 0))] {
        let registry = Registry::new();
        let layer = DeadlineLayer::builder("inbound", S)
            .http()
            .finish(AtBodyEnd)
            .registry(&registry)
            .build();
        let answer = |_: Request<()>| {
            let body = SaysWhatItHas::default();
            ready(Ok::<_, Infallible>(response(status, body)))
        };
        let mut service = layer.layer(service_fn(answer));

        drop(assert_ready_ok!(
            spawn(service.call(Request::new(()))).poll()
        ));

        let calls = registry.snapshot().instances[0].calls;
        let counted = (calls.success, calls.failure, calls.cancelled);
        assert_eq!(counted, expected, "{status}");
    }
}

fn response<B>(status: u16, body: B) -> Response<B> {
    Response::builder().status(status).body(body).unwrap()
}
