use std::convert::Infallible;
use std::future::{Ready, ready};
use std::time::Duration;

use http::{Request, Response};
use tokio::time::{Instant, advance};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use watertight_core::{Context, Mode, Reason};
use watertight_http::HttpExt;
use watertight_metrics::Registry;
use watertight_timeout::{
    PropagateDeadlineBuilder, PropagateDeadlineHandle, PropagateDeadlineLayer,
};

use super::stage::{Left, MS, S, reason};

/// What the next service was told, if it was called.
type Told = Result<Left, BoxError>;

fn says_what_it_was_told(left: Left) -> Ready<Result<Left, Infallible>> {
    ready(Ok(left))
}

fn builder() -> PropagateDeadlineBuilder {
    PropagateDeadlineLayer::builder("next").registry(&Registry::new())
}

/// Calls the next service with so much time.
async fn told(builder: PropagateDeadlineBuilder, remains: Left) -> (Told, PropagateDeadlineHandle) {
    let layer = builder
        .write(|request: &mut Left, left| *request = Some(left))
        .build();
    let call = layer.layer(service_fn(says_what_it_was_told)).oneshot(None);
    let context = Context {
        deadline: remains.map(|remains| Instant::now() + remains),
        ..Context::default()
    };
    (context.scope(call).await, layer.handle())
}

#[tokio::test(start_paused = true)]
async fn what_remains_is_told_less_the_reserve() {
    let (told_by_default, _) = told(builder(), Some(S)).await;
    let (told_of_all, _) = told(builder().reserve(Duration::ZERO), Some(S)).await;

    assert_eq!(told_by_default.unwrap(), Some(995 * MS));
    assert_eq!(told_of_all.unwrap(), Some(S));
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_nothing_is_told() {
    assert_eq!(told(builder().least(S), None).await.0.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_its_own_is_told_where_it_is_the_shorter() {
    for (remains, expected) in [
        (None, 300 * MS),
        (Some(S), 300 * MS),
        (Some(205 * MS), 200 * MS),
    ] {
        let (told, _) = told(builder().at_most(300 * MS), remains).await;
        assert_eq!(told.unwrap(), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_with_too_little_time_is_not_made() {
    for (least, remains) in [(S, S + 4 * MS), (Duration::ZERO, 5 * MS)] {
        let (told, handle) = told(builder().least(least), Some(remains)).await;

        assert_eq!(reason(told), Reason::DeadlineExceeded);
        assert_eq!(handle.snapshot().refused, 1);
    }
    assert!(told(builder().least(S), Some(S + 5 * MS)).await.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn shadow_tells_nothing_and_counts_what_it_would_refuse() {
    let shadow = || builder().mode(Mode::Shadow).least(S);

    let (enough, _) = told(shadow(), Some(2 * S)).await;
    let (too_little, handle) = told(shadow(), Some(MS)).await;

    assert_eq!(enough.unwrap(), None);
    assert_eq!(too_little.unwrap(), None);
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.refused, snapshot.refused_in_shadow), (0, 1));
}

/// Headers say milliseconds: less than one is nothing.
#[tokio::test(start_paused = true)]
async fn shadow_counts_what_is_too_little_to_be_told_too() {
    for (mode, refused) in [(Mode::Enforce, (1, 0)), (Mode::Shadow, (0, 1))] {
        let layer = builder().http().mode(mode).build();
        let answer = |request: Request<()>| ready(Ok::<_, Infallible>(Response::new(request)));
        let call = layer.layer(service_fn(answer)).oneshot(Request::new(()));
        let context = Context {
            deadline: Some(Instant::now() + 6 * MS - Duration::from_nanos(1)),
            ..Context::default()
        };

        let told = context.scope(call).await;

        let is_untold = |told: Response<Request<()>>| told.body().headers().is_empty();
        assert_eq!(told.is_ok_and(is_untold), mode == Mode::Shadow);
        let snapshot = layer.handle().snapshot();
        assert_eq!((snapshot.refused, snapshot.refused_in_shadow), refused);
    }
}

#[tokio::test(start_paused = true)]
async fn off_tells_nothing_and_counts_nothing() {
    let off = builder().mode(Mode::Off).at_most(S).least(S);

    let (told, handle) = told(off, Some(MS)).await;

    assert_eq!(told.unwrap(), None);
    assert_eq!(handle.snapshot().refused_in_shadow, 0);
}

#[test]
fn what_can_never_pass_a_call_is_not_built() {
    let built = builder().least(S).at_most(S - MS).try_build();

    assert_eq!(built.unwrap_err().field(), "at_most");
}

/// What is told is what is left when the request goes out, not when the call began.
#[tokio::test(start_paused = true)]
async fn what_was_spent_before_is_not_told() {
    let layer = builder()
        .write(|request: &mut Left, left| *request = Some(left))
        .build();
    let service = layer.layer(service_fn(says_what_it_was_told));
    let context = Context {
        deadline: Some(Instant::now() + S),
        ..Context::default()
    };

    let told = context
        .scope(async {
            advance(600 * MS).await;
            service.oneshot(None).await
        })
        .await;

    assert_eq!(told.unwrap(), Some(395 * MS));
}
