//! What goes over with a call, and what comes back.

use std::thread;

use tokio::task::yield_now;
use tower::{BoxError, Layer, Service};
use tracing::{Instrument, Span, info_span};
use watertight_core::{Context, Priority};

use super::stage::{Worker, builder, builder_here, call, job};
use crate::stage::{SECOND, with_priority};

fn priority() -> Priority {
    Context::current().priority
}

fn span() -> Option<&'static str> {
    Span::current().metadata().map(|span| span.name())
}

#[tokio::test]
async fn the_response_comes_back() {
    let service = builder(1).build().layer(Worker);

    let answered = call(&service, job(|| async { Ok("resized") })).await;

    assert_eq!(answered.unwrap(), "resized");
}

#[tokio::test]
async fn an_error_comes_back_as_it_is() {
    let service = builder(1).build().layer(Worker);

    let failed = call(&service, job(|| async { Err::<(), _>("no cat".into()) })).await;

    assert_eq!(failed.unwrap_err().to_string(), "no cat");
}

#[tokio::test]
async fn the_context_goes_along_from_the_first_line() {
    let service = builder(1).build().layer(Worker);
    let urgent = Context {
        priority: Priority::Critical,
        ..Context::default()
    };

    let work = job(|| {
        let at_once = priority();
        async move {
            yield_now().await;
            Ok((at_once, priority()))
        }
    });
    let seen = urgent.scope(call(&service, work)).await;

    assert_eq!(seen.unwrap(), (Priority::Critical, Priority::Critical));
    let after = call(&service, job(|| async { Ok(priority()) })).await;
    assert_eq!(after.unwrap(), Priority::Normal);
}

#[tokio::test]
async fn the_span_and_the_subscriber_go_along() {
    let service = builder(1).build().layer(Worker);
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry());

    let work = job(|| {
        let at_once = span();
        async move {
            yield_now().await;
            Ok((at_once, span()))
        }
    });
    let seen = call(&service, work).instrument(info_span!("upload")).await;

    assert_eq!(seen.unwrap(), (Some("upload"), Some("upload")));
    let after = call(&service, job(|| async { Ok(span()) })).await;
    assert_eq!(after.unwrap(), None);
}

/// The span is that of the call, not that of who polls.
#[tokio::test(start_paused = true)]
async fn a_call_that_waits_takes_along_what_was_there_when_it_was_made() {
    let layer = builder_here(1).max_queue(1).max_wait(SECOND).build();
    let mut service = layer.layer(Worker);
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry());

    let first = service.call(job(|| async { Ok((span(), priority())) }));
    let work = job(|| async { Ok((span(), priority())) });
    let waiting = with_priority(Priority::High, || {
        info_span!("upload").in_scope(|| service.call(work))
    });
    let (_, seen) = tokio::join!(first, waiting);

    assert_eq!(seen.unwrap(), (Some("upload"), Priority::High));
}

#[tokio::test]
async fn a_panic_comes_back_and_the_place_is_free() {
    let layer = builder(1).build();
    let service = layer.layer(Worker);

    let at_once = job(|| -> std::future::Ready<Result<(), BoxError>> { panic!("call") });
    let later = job(|| async {
        yield_now().await;
        panic!("{}", "poll")
    });
    for (work, message) in [(at_once, "call"), (later, "poll")] {
        let service = service.clone();
        let caller = tokio::spawn(async move { call(&service, work).await });
        let panic = caller.await.unwrap_err().into_panic();
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        assert_eq!(text, Some(message));
        assert_eq!(layer.handle().in_flight(), 0);
    }

    let on = call(&service, job(|| async { Ok(thread::current().id()) })).await;
    assert_ne!(on.unwrap(), thread::current().id());
}
