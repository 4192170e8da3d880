//! The closing layer, from outside.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::{Value, json};
use tower::layer::util::Identity;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use watertight_core::{BoxError, Name, Note, QuotaStatus, Reason, Rejection};
use watertight_http::{AnswerBody, Cause, HttpNotes, LegacyReset, RespondExt, RespondLayer};

type Answer = Response<AnswerBody<Empty<Bytes>>>;

/// An inner service that fails by errors that `error` makes.
fn failing<E, F>(
    error: F,
) -> impl Service<Request<()>, Response = Response<Empty<Bytes>>, Error = BoxError, Future: Send> + Clone
where
    F: Fn() -> E + Clone + Send,
    E: Into<BoxError>,
{
    service_fn(move |_| {
        let error = error().into();
        async { Err(error) }
    })
}

fn refused() -> Rejection {
    Rejection::new(Reason::CircuitOpen, Name::new("payments"))
        .with_retry_after(Duration::from_millis(2500))
}

fn request(content_type: &str) -> Request<()> {
    Request::builder()
        .header("content-type", content_type)
        .body(())
        .unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

async fn problem(answer: Answer) -> Value {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_rejection_over_http_is_a_problem_with_the_status_of_its_reason() {
    let service = RespondLayer::new().layer_on(failing(refused));

    let answer = service.oneshot(request("application/json")).await.unwrap();

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(answer.headers(), "retry-after"), Some("3"));
    assert_eq!(
        header(answer.headers(), "content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        problem(answer).await,
        json!({
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "circuit open",
            "reason": "circuit_open",
            "retry_after_ms": 2500,
        })
    );
}

#[tokio::test]
async fn a_rejection_over_grpc_is_a_status_in_the_headers_alone() {
    let service = RespondLayer::new().layer_on(failing(refused));

    let answer = service
        .oneshot(request("application/grpc+proto"))
        .await
        .unwrap();

    let headers = answer.headers();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(headers, "content-type"), Some("application/grpc"));
    assert_eq!(header(headers, "grpc-status"), Some("14"));
    assert_eq!(header(headers, "grpc-message"), Some("circuit open"));
    assert_eq!(header(headers, "grpc-retry-pushback-ms"), Some("2500"));
    assert_eq!(header(headers, "retry-after"), None);
    assert!(http_body::Body::is_end_stream(answer.body()));
}

#[tokio::test]
async fn without_a_hint_nothing_says_when_to_come_again() {
    let full = || Rejection::new(Reason::BulkheadFull, Name::new("payments"));
    let service = RespondLayer::new().layer_on(failing(full));

    let http = service.clone().oneshot(request("")).await.unwrap();
    let grpc = service.oneshot(request("application/grpc")).await.unwrap();

    assert_eq!(http.status(), 503);
    assert_eq!(header(http.headers(), "retry-after"), None);
    assert_eq!(header(grpc.headers(), "grpc-status"), Some("8"));
    assert_eq!(header(grpc.headers(), "grpc-retry-pushback-ms"), None);
    assert_eq!(problem(http).await.get("retry_after_ms"), None);
}

#[tokio::test]
async fn every_reason_has_its_own_answer() {
    let table = [
        (Reason::NotReady, 503, "14"),
        (Reason::Overloaded, 503, "8"),
        (Reason::RateLimited, 429, "8"),
        (Reason::TimedOut, 504, "4"),
        (Reason::KeyMissing, 400, "3"),
        (Reason::KeyInUse, 409, "10"),
        (Reason::KeyReused, 422, "9"),
    ];

    for (reason, status, code) in table {
        let rejection = move || Rejection::new(reason, Name::new("api"));
        let service = RespondLayer::new().layer_on(failing(rejection));
        let http = service.clone().oneshot(request("")).await.unwrap();
        let grpc = service.oneshot(request("application/grpc")).await.unwrap();
        assert_eq!(http.status().as_u16(), status, "{reason:?}");
        assert_eq!(
            header(grpc.headers(), "grpc-status"),
            Some(code),
            "{reason:?}"
        );
        assert_eq!(problem(http).await["reason"], reason.as_str());
    }
}

#[tokio::test]
async fn other_errors_tell_the_client_nothing() {
    let service = RespondLayer::new().layer_on(failing(|| "password is hunter2"));

    let http = service.clone().oneshot(request("")).await.unwrap();
    let grpc = service.oneshot(request("application/grpc")).await.unwrap();

    assert_eq!(http.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(header(grpc.headers(), "grpc-status"), Some("13"));
    assert_eq!(
        header(grpc.headers(), "grpc-message"),
        Some("the service failed")
    );
    assert_eq!(
        problem(http).await,
        json!({
            "type": "about:blank",
            "title": "Internal Server Error",
            "status": 500,
            "detail": "the service failed",
        })
    );
}

#[tokio::test]
async fn the_cause_goes_up_for_the_log() {
    let service = RespondLayer::new().layer_on(failing(|| "connection reset"));

    let answer = service.oneshot(request("")).await.unwrap();

    let cause = answer.extensions().get::<Cause>().unwrap();
    assert_eq!(cause.error().to_string(), "connection reset");
}

#[tokio::test]
async fn a_gateway_blames_what_is_behind_it() {
    let service = RespondLayer::new()
        .gateway()
        .layer_on(failing(|| "connection reset"));

    let http = service.clone().oneshot(request("")).await.unwrap();
    let grpc = service.oneshot(request("application/grpc")).await.unwrap();

    assert_eq!(http.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(header(grpc.headers(), "grpc-status"), Some("14"));
}

#[tokio::test]
async fn names_are_told_only_when_asked_for() {
    let told = RespondLayer::new()
        .expose_names(true)
        .layer_on(failing(refused));

    let http = told.clone().oneshot(request("")).await.unwrap();
    let grpc = told.oneshot(request("application/grpc")).await.unwrap();

    assert_eq!(
        header(grpc.headers(), "grpc-message"),
        Some("payments: circuit open")
    );
    let problem = problem(http).await;
    assert_eq!(problem["name"], "payments");
    assert_eq!(problem["detail"], "payments: circuit open");
}

fn limited() -> Rejection {
    Rejection::new(Reason::RateLimited, Name::new("api"))
        .with_retry_after(Duration::from_millis(1200))
        .with_quota(QuotaStatus {
            policy: Name::new("api/pro"),
            limit: 100,
            remaining: 0,
            reset: Duration::from_secs(60),
            window: Duration::from_secs(60),
        })
}

#[tokio::test]
async fn a_rate_limit_that_refused_says_how_it_stands() {
    let named = RespondLayer::new()
        .expose_names(true)
        .layer_on(failing(limited));

    let http = named.clone().oneshot(request("")).await.unwrap();
    let grpc = named.oneshot(request("application/grpc")).await.unwrap();

    for answer in [&http, &grpc] {
        let headers = answer.headers();
        assert_eq!(header(headers, "ratelimit"), Some(r#""api/pro";r=0;t=2"#));
        assert_eq!(
            header(headers, "ratelimit-policy"),
            Some(r#""api/pro";q=100;w=60"#)
        );
        assert_eq!(header(headers, "x-ratelimit-remaining"), None);
    }
    assert_eq!(http.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(http.headers(), "retry-after"), Some("2"));
    assert_eq!(header(grpc.headers(), "grpc-status"), Some("8"));
    assert_eq!(
        header(grpc.headers(), "grpc-retry-pushback-ms"),
        Some("1200")
    );
    let problem = problem(http).await;
    assert_eq!(
        problem["type"],
        "https://iana.org/assignments/http-problem-types#quota-exceeded"
    );
    assert_eq!(problem["violated-policies"], json!(["api/pro"]));
}

#[tokio::test]
async fn an_unexposed_policy_has_the_name_that_admitted_answers_have() {
    let service = RespondLayer::new().layer_on(failing(limited));
    let mut admitted = Response::new(());
    HttpNotes.note(&mut admitted, *limited().quota().unwrap());

    let refused = service.oneshot(request("")).await.unwrap();

    let policy = header(admitted.headers(), "ratelimit-policy");
    assert_eq!(header(refused.headers(), "ratelimit-policy"), policy);
    let said = format!("{:?}", refused.headers());
    let problem = problem(refused).await;
    assert!(!format!("{said}{problem}").contains("api"));
    let name = problem["violated-policies"][0].as_str().unwrap();
    assert!(policy.unwrap().contains(name));
}

#[tokio::test]
async fn a_deadline_within_a_limit_is_no_exceeded_quota() {
    let late = || {
        let quota = *limited().quota().unwrap();
        Rejection::new(Reason::DeadlineExceeded, Name::new("api")).with_quota(quota)
    };
    let service = RespondLayer::new().layer_on(failing(late));

    let answer = service.oneshot(request("")).await.unwrap();

    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(answer.headers().contains_key("ratelimit"));
    let problem = problem(answer).await;
    assert_eq!(problem["type"], "about:blank");
    assert_eq!(problem.get("violated-policies"), None);
}

#[tokio::test]
async fn the_older_headers_are_written_on_demand() {
    let service = RespondLayer::new()
        .legacy_rate_limit(LegacyReset::Seconds)
        .layer_on(failing(limited));

    let answer = service.oneshot(request("")).await.unwrap();

    let said = ["limit", "remaining", "reset"]
        .map(|what| header(answer.headers(), &format!("x-ratelimit-{what}")));
    assert_eq!(said, [Some("100"), Some("0"), Some("2")]);
}

#[derive(Debug)]
struct Wrapped(BoxError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test]
async fn a_rejection_is_found_below_other_errors() {
    let service = RespondLayer::new().layer_on(failing(|| Wrapped(refused().into())));

    let answer = service.oneshot(request("")).await.unwrap();

    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_response_passes_untouched() {
    let service =
        ServiceBuilder::new()
            .layer(RespondLayer::new())
            .service_fn(|_: Request<()>| async {
                let body = Full::new(Bytes::from_static(b"hello"));
                Ok::<_, BoxError>(Response::builder().status(404).body(body).unwrap())
            });

    let answer = service.oneshot(request("")).await.unwrap();

    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
}

#[tokio::test]
async fn a_client_gets_answers_for_rejections_and_keeps_other_errors() {
    let layer = Identity::new().respond_rejections();
    let refusing = ServiceBuilder::new()
        .layer(layer.clone())
        .service(failing(refused));
    let broken = ServiceBuilder::new()
        .layer(layer)
        .service(failing(|| "connection reset"));

    let answer = refusing.oneshot(request("application/grpc")).await;
    let error = broken.oneshot(request("application/grpc")).await;

    assert_eq!(header(answer.unwrap().headers(), "grpc-status"), Some("14"));
    assert_eq!(error.unwrap_err().to_string(), "connection reset");
}

/// Is not ready by the errors that `error` makes.
#[derive(Clone)]
struct Unready<F> {
    error: F,
}

impl<F: FnMut() -> BoxError> Service<Request<()>> for Unready<F> {
    type Response = Response<Empty<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err((self.error)()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        unreachable!("it was not ready")
    }
}

#[tokio::test]
async fn an_error_of_poll_ready_is_answered_by_the_next_call() {
    let mut asked = 0;
    let inner = Unready {
        error: move || {
            asked += 1;
            Rejection::new(Reason::NotReady, Name::new("api"))
                .with_retry_after(Duration::from_millis(asked))
                .into()
        },
    };
    let mut service = RespondLayer::new().layer_on(inner);

    for asked in ["1", "2"] {
        let service = service.ready().await.unwrap();
        let service = service.ready().await.unwrap();
        let answer: Result<_, Infallible> = service.call(request("application/grpc")).await;
        let answer = answer.unwrap();
        assert_eq!(
            header(answer.headers(), "grpc-retry-pushback-ms"),
            Some(asked)
        );
    }
}

#[tokio::test]
async fn a_client_that_is_not_ready_says_so_at_once() {
    let inner = Unready {
        error: || "connection reset".into(),
    };
    let mut service = ServiceBuilder::new()
        .layer(RespondLayer::new().only_rejections())
        .service(inner);

    let error = service.ready().await.map(|_| ()).unwrap_err();

    assert_eq!(error.to_string(), "connection reset");
}

/// `Layer::layer`, the way round in which the tests read.
trait LayerOn {
    fn layer_on<S>(self, service: S) -> watertight_http::Respond<S>;
}

impl LayerOn for RespondLayer {
    fn layer_on<S>(self, service: S) -> watertight_http::Respond<S> {
        ServiceBuilder::new().layer(self).service(service)
    }
}
