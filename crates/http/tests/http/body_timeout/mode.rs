use std::convert::Infallible;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use http_body_util::Full;
use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};
use tower::{Layer, Service, service_fn};
use watertight_core::{BoxError, Mode, Reason};
use watertight_http::ResponseBodyTimeoutLayer;
use watertight_metrics::{CallCounts, Registry};

use super::stage::{Line, Reading, S, Script, Writing, poll, reason};

fn calls(change: impl FnOnce(&mut CallCounts)) -> CallCounts {
    let mut counts = CallCounts::default();
    change(&mut counts);
    counts
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_off_is_rejected() {
    let reading = Reading::new(|it| it.frame(S));
    let mut body = reading.body(&Script::default());
    assert_pending!(poll(&mut body));

    advance(S).await;

    let error = assert_ready!(poll(&mut body)).unwrap().unwrap_err();
    assert_eq!(reason(&error), Reason::TimedOut);
    let counted = reading.counted();
    assert_eq!(counted.calls, calls(|it| it.rejected = 1));
    assert_eq!(counted.rejections[0].count, 1);
    assert_eq!(counted.rejections[0].reason, Reason::TimedOut);
    assert_eq!((counted.in_flight, counted.mode), (Some(0), Mode::Enforce));
    drop(body);
    assert_eq!(reading.counted().calls, calls(|it| it.rejected = 1));
}

#[tokio::test(start_paused = true)]
async fn in_shadow_a_slow_body_is_counted_once_and_goes_on() {
    for set_whole in [false, true] {
        let reading = Reading::new(|it| {
            let it = it.mode(Mode::Shadow);
            if set_whole { it.whole(S) } else { it.frame(S) }
        });
        let script = Script::default();
        let mut body = reading.body(&script);
        for _ in 0..3 {
            assert_pending!(poll(&mut body));
            advance(S).await;
            assert_pending!(poll(&mut body));
        }
        assert!(!script.is_dropped());

        script.say(Line::Word("late"));
        script.say(Line::End);

        let late = assert_ready!(poll(&mut body)).unwrap().unwrap();
        assert_eq!(late.into_data().unwrap(), "late");
        assert!(assert_ready!(poll(&mut body)).is_none());
        let looked = reading.handle.snapshot();
        assert_eq!((looked.timed_out, looked.in_shadow), (0, 1));
        assert_eq!(reading.counted().calls, calls(|it| it.success = 1));
    }
}

#[tokio::test(start_paused = true)]
async fn in_shadow_a_body_that_always_has_more_goes_on_too() {
    let reading = Reading::new(|it| it.whole(S).mode(Mode::Shadow));
    let script = Script::default();
    let mut body = reading.body(&script);

    for word in ["one", "two", "three"] {
        script.say(Line::Word(word));
        let frame = assert_ready!(poll(&mut body)).unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word);
        advance(S).await;
    }

    assert_eq!(reading.handle.snapshot().in_shadow, 1);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_off_counts_nothing() {
    let reading = Reading::new(|it| it.frame(S).whole(S).mode(Mode::Off));
    let mut body = reading.body(&Script::default());
    let mut writing = Writing::new(|it| it.frame(S).whole(S).mode(Mode::Off));
    let mut call = writing.call();
    assert_pending!(poll(&mut body));
    assert_pending!(call.poll());

    advance(100 * S).await;

    assert_pending!(poll(&mut body));
    assert_pending!(call.poll());
    let counted = [reading.counted(), writing.counted()];
    drop((body, call));
    for counted in counted {
        assert_eq!(counted.calls, CallCounts::default());
        assert_eq!(counted.in_flight, Some(0));
        assert_eq!(counted.rejections[1].count, 0);
    }
    assert_eq!(reading.counted().calls, CallCounts::default());
}

#[tokio::test(start_paused = true)]
async fn a_body_counts_as_it_ends() {
    for (line, expected) in [
        (Line::End, calls(|it| it.success = 1)),
        (Line::Error, calls(|it| it.failure = 1)),
        (Line::Word("and more"), calls(|it| it.cancelled = 1)),
    ] {
        let reading = Reading::new(|it| it.frame(S));
        let script = Script::default();
        let mut body = reading.body(&script);
        assert_pending!(poll(&mut body));
        assert_eq!(reading.counted().calls, CallCounts::default());
        assert_eq!(reading.handle.in_flight(), 1);

        script.say(line);
        let _ = assert_ready!(poll(&mut body));
        drop(body);

        assert_eq!(reading.counted().calls, expected);
        assert_eq!(reading.handle.in_flight(), 0);
    }
}

#[test]
fn a_body_is_done_with_its_last_frame_however_far_it_is_read() {
    let registry = Registry::new();
    let layer = ResponseBodyTimeoutLayer::builder("read").registry(&registry);
    let layer = layer.frame(S).build();
    for (body, frames) in [(Full::default(), 0), (Full::from("all"), 1)] {
        let mut service = layer.layer(service_fn(|()| {
            ready(Ok::<_, Infallible>(Response::new(body.clone())))
        }));
        let response = assert_ready_ok!(spawn(service.call(())).poll());
        let mut body = spawn(response.into_body());
        for _ in 0..frames {
            let frame: Option<Result<Frame<Bytes>, BoxError>> =
                assert_ready!(body.enter(|cx, body| body.poll_frame(cx)));
            assert!(frame.unwrap().is_ok());
        }
        assert_eq!(layer.handle().in_flight(), 0);
    }

    let counted = registry.snapshot().instances.remove(0);
    assert_eq!(counted.calls, calls(|it| it.success = 2));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_has_failed() {
    let reading = Reading::new(|it| it.frame(S));
    let script = Script::default();
    let mut body = reading.body(&script);
    script.say(Line::Panic);

    let panicked = catch_unwind(AssertUnwindSafe(|| poll(&mut body).is_ready()));
    drop(body);

    assert!(panicked.is_err());
    assert_eq!(reading.counted().calls, calls(|it| it.failure = 1));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_too_slow_is_rejected() {
    let mut writing = Writing::new(|it| it.frame(S));
    let mut call = writing.call();
    assert_pending!(call.poll());

    advance(S).await;

    let error = assert_ready!(call.poll()).unwrap_err();
    assert_eq!(reason(&error), Reason::TimedOut);
    drop(call);
    assert_eq!(writing.counted().calls, calls(|it| it.rejected = 1));
    assert_eq!(writing.handle.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn in_shadow_a_slow_upload_is_counted_once_and_goes_on() {
    let mut writing = Writing::new(|it| it.frame(S).mode(Mode::Shadow));
    let mut call = writing.call();
    for _ in 0..3 {
        assert_pending!(call.poll());
        advance(S).await;
        assert_pending!(call.poll());
    }

    writing.peer.answer(Some(Ok(())));

    assert!(call.is_woken());
    assert_ready_ok!(call.poll());
    let looked = writing.handle.snapshot();
    assert_eq!((looked.timed_out, looked.in_shadow), (0, 1));
    assert_eq!(writing.counted().calls, calls(|it| it.success = 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_with_an_upload_counts_as_it_ends() {
    for (said, expected) in [
        (Some(Some(Ok(()))), calls(|it| it.success = 1)),
        (Some(Some(Err("down".into()))), calls(|it| it.failure = 1)),
        (Some(None), calls(|it| it.failure = 1)),
        (None, calls(|it| it.cancelled = 1)),
    ] {
        let mut writing = Writing::new(|it| it.frame(S));
        let mut call = writing.call();
        assert_pending!(call.poll());
        assert_eq!(writing.handle.in_flight(), 1);

        if let Some(said) = said {
            writing.peer.answer(said);
            let ended = catch_unwind(AssertUnwindSafe(|| call.poll().is_ready()));
            assert!(ended.unwrap_or(true));
        }
        drop(call);

        assert_eq!(writing.counted().calls, expected);
        assert_eq!(writing.handle.in_flight(), 0);
    }
}
