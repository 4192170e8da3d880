use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use watertight::http::{ApiKey, HttpClassifier, RespondExt, TrustedProxies};
use watertight::prelude::*;
use watertight::{FailureKind, Outcome};

/// What a tenant may ask for, one that pays, and all of them together. It is of an hour, so that
/// nothing comes back while the example runs.
const FREE: Quota = Quota::per_hour(5);
const PRO: Quota = Quota::per_hour(20);
const TOTAL: Quota = Quota::per_hour(30);

/// What an address may ask for, and what a wrong key costs it besides.
const ADDRESS: Quota = Quota::per_hour(600);
const WRONG_KEY: u64 = 100;

/// Where the proxy is that says from which address a request comes.
const PROXIES: [&str; 1] = ["127.0.0.1"];

/// The plan of a tenant that has shown its key.
#[derive(Clone, Copy, Debug)]
struct Plan(&'static str);

/// Returns the plan that goes with a key. A real service asks its database.
fn plan(key: &str) -> Option<Plan> {
    match key {
        "acme-3f9c" | "initech-b21e" => Some(Plan("pro")),
        "globex-77a0" => Some(Plan("free")),
        _ => None,
    }
}

/// Serves reports.
///
/// A key has a quota of its own, so it has to be known to be one first: who makes keys up would have
/// a new quota with each. In front of that it is addresses that are limited, and who guesses keys
/// runs dry.
pub(crate) fn routes() -> Router {
    let tenants = TokenBucketLayer::builder("tenants", FREE)
        .http()
        .plan("pro", PRO)
        .plan_by(|request: &Request| Some(request.extensions().get::<Plan>()?.0))
        .key_by(ApiKey::x_api_key())
        .total(TOTAL)
        .announce(true)
        .build();

    let proxies = TrustedProxies::x_forwarded_for(PROXIES).expect("this is an address");
    let address = PeerKey::new()
        .peer(|it| Some(it.get::<ConnectInfo<SocketAddr>>()?.0))
        .behind(proxies);
    let wrong_key = |outcome: &Outcome| match outcome.as_failure() {
        Some(failure) if failure.kind == FailureKind::Client => WRONG_KEY,
        _ => 0,
    };
    let addresses = TokenBucketLayer::builder("addresses", ADDRESS)
        .http()
        .classify(HttpClassifier::new().failure([401]))
        .key_by(address)
        .penalty(wrong_key)
        .build();

    // What is added last is outermost.
    Router::new()
        .route("/report", get(async || "all is well\n"))
        .layer(tenants.respond())
        .layer(from_fn(let_in))
        .layer(addresses.respond())
}

/// Lets in who shows a key, and notes the plan that goes with it.
async fn let_in(mut request: Request, next: Next) -> Response {
    let key = request.headers().get("x-api-key");
    let Some(plan) = key.and_then(|key| plan(key.to_str().ok()?)) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    request.extensions_mut().insert(plan);
    next.run(request).await
}
