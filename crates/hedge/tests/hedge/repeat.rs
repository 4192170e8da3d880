use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tokio::time::{Instant, advance};
use tokio_test::assert_pending;
use tokio_test::task::spawn;
use tower::{BoxError, Layer, Service, service_fn};
use watertight_core::{Context, Failure, FailureKind, Mode, Never, Repeat};
use watertight_hedge::{HedgeBuilder, HedgeConfig, HedgeLayer, Trigger};
use watertight_http::HttpExt;
use watertight_metrics::Registry;

use crate::stage::DELAY;

/// Counts the calls that are made to a service that never answers, in this time.
async fn calls_of<R, Req>(
    layer: HedgeLayer<watertight_core::ErrorsAreFailures, R>,
    request: Req,
) -> u64
where
    R: Repeat<Req, Request = Req> + Clone,
{
    let mut service = layer.layer(service_fn(|_: Req| pending::<Result<(), BoxError>>()));
    let mut call = spawn(service.call(request));
    assert_pending!(call.poll());
    advance(DELAY).await;
    assert_pending!(call.poll());
    1 + layer.handle().snapshot().sent
}

fn builder() -> HedgeBuilder {
    HedgeLayer::builder("search")
        .after(DELAY)
        .registry(&Registry::new())
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_to_be_repeated_is_not_hedged_and_need_not_be_clone() {
    struct Unique;

    assert_eq!(calls_of(builder().repeat(Never).build(), Unique).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_closure_says_which_requests_are_hedged() {
    let safe = || {
        builder()
            .repeat_if(|request: &&str| request.starts_with("get"))
            .build()
    };

    assert_eq!(calls_of(safe(), "get").await, 2);
    assert_eq!(calls_of(safe(), "order").await, 1);
}

/// Says that anything may be repeated, if it is asked twice.
#[derive(Clone)]
struct Once;

impl Repeat<&'static str> for Once {
    type Request = &'static str;
    type Kept = ();

    fn keep(&self, request: &'static str) -> (&'static str, Option<()>) {
        (request, Some(()))
    }

    fn again(&self, (): &()) -> Option<&'static str> {
        None
    }

    fn once(&self, request: &'static str) -> &'static str {
        request
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_turns_out_not_to_be_repeatable_is_not_hedged() {
    assert_eq!(calls_of(builder().repeat(Once).build(), "get").await, 1);
}

/// Keeps requests by one more reference to them.
#[derive(Clone)]
struct Keeps;

impl Repeat<Arc<()>> for Keeps {
    type Request = ();
    type Kept = Arc<()>;

    fn keep(&self, request: Arc<()>) -> ((), Option<Arc<()>>) {
        ((), Some(request))
    }

    fn again(&self, _: &Arc<()>) -> Option<()> {
        Some(())
    }

    fn once(&self, _: Arc<()>) {}
}

/// Returns whether a request is kept during a call, and after its hedge has been sent.
async fn is_kept(config: HedgeConfig, context: Context) -> [bool; 2] {
    let layer = HedgeLayer::from_config("search", config)
        .repeat(Keeps)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|()| pending::<Result<(), BoxError>>()));
    let request = Arc::new(());
    let mut call = spawn(context.enter(|| service.call(Arc::clone(&request))));
    let before = Arc::strong_count(&request) > 1;

    assert_pending!(call.poll());
    advance(DELAY).await;
    assert_pending!(call.poll());

    [before, Arc::strong_count(&request) > 1]
}

#[tokio::test(start_paused = true)]
async fn a_request_is_kept_only_as_long_as_a_hedge_is_possible() {
    let hedged = HedgeConfig {
        trigger: Trigger::After(DELAY),
        ..HedgeConfig::default()
    };
    let plain = Context::default();
    assert_eq!(is_kept(hedged.clone(), plain.clone()).await, [true, false]);

    let twice = HedgeConfig {
        max_hedges: 2,
        ..hedged.clone()
    };
    assert_eq!(is_kept(twice, plain.clone()).await, [true, true]);

    let impossible = [
        HedgeConfig {
            max_hedges: 0,
            ..hedged.clone()
        },
        HedgeConfig {
            mode: Mode::Off,
            ..hedged.clone()
        },
        HedgeConfig {
            mode: Mode::Shadow,
            ..hedged.clone()
        },
        // The warm-up.
        HedgeConfig::default(),
    ];
    for config in impossible {
        assert_eq!(is_kept(config, plain.clone()).await, [false, false]);
    }
    let repeat = Context {
        upstream_attempt: 1,
        ..plain
    };
    assert_eq!(is_kept(hedged, repeat).await, [false, false]);
}

/// Keeps requests for the case that they never reach the service.
#[derive(Clone)]
struct IfNotReached;

impl Repeat<&'static str> for IfNotReached {
    type Request = &'static str;
    type Kept = &'static str;

    fn keep(&self, request: &'static str) -> (&'static str, Option<&'static str>) {
        (request, Some(request))
    }

    fn allows(&self, _: &&'static str, failure: &Failure) -> bool {
        failure.kind == FailureKind::Connect
    }

    fn again(&self, kept: &&'static str) -> Option<&'static str> {
        Some(kept)
    }

    fn once(&self, request: &'static str) -> &'static str {
        request
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_kept_for_retries_alone_is_not_hedged() {
    let layer = builder().repeat(IfNotReached).build();

    assert_eq!(calls_of(layer, "order").await, 1);
}

/// Over HTTP an order is not sent twice, unless it has a key by which the service knows it.
#[tokio::test(start_paused = true)]
async fn over_http_what_is_not_safe_to_repeat_is_not_hedged() {
    let hedges = async |request: Request<Full<Bytes>>| {
        let layer = builder().http().build();
        let mut service = layer.layer(service_fn(|_| pending::<Result<Response<()>, BoxError>>()));
        let mut call = spawn(service.call(request));
        assert_pending!(call.poll());
        advance(DELAY).await;
        assert_pending!(call.poll());
        layer.handle().snapshot().sent
    };
    let get = Request::get("/").body(Full::default()).unwrap();
    let post = || Request::post("/").body(Full::from("an order")).unwrap();
    let mut with_key = post();
    let key = HeaderValue::from_static("\"order-7\"");
    with_key.headers_mut().insert("idempotency-key", key);

    assert_eq!(hedges(get).await, 1);
    assert_eq!(hedges(post()).await, 0);
    assert_eq!(hedges(with_key).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_let_go_where_the_deadline_comes_before_the_hedge() {
    let layer = builder().repeat(Keeps).build();
    let mut service = layer.layer(service_fn(|()| pending::<Result<(), BoxError>>()));
    let request = Arc::new(());
    let hurried = Context {
        deadline: Some(Instant::now() + DELAY),
        ..Context::default()
    };
    let mut call = spawn(hurried.enter(|| service.call(Arc::clone(&request))));

    assert_pending!(call.poll());

    assert_eq!(Arc::strong_count(&request), 1);
}
