//! A hyper client that comes when a server says that it may.

use axum::Router;
use axum::routing::get as on_get;
use http::StatusCode;
use tower::{ServiceBuilder, ServiceExt};
use watertight_core::{Reason, Rejection};
use watertight_http::{
    HttpExt, LegacyReset, ObeyServer, ObeyServerBuilder, ObeyServerLayer, RespondExt,
};
use watertight_metrics::Registry;
use watertight_ratelimit::{Quota, TokenBucketLayer};

use crate::server::{Counter, Server, bounded};
use crate::web::{self, HttpClient, client, get};

type Client = ObeyServer<HttpClient>;

/// Holds calls when nothing is left, and not before.
fn obedient() -> ObeyServerBuilder {
    let builder = ObeyServerLayer::builder("upstream").spread_below(0.0);
    builder.registry(&Registry::new())
}

fn above_hyper(builder: ObeyServerBuilder) -> Client {
    let stack = ServiceBuilder::new().layer(builder.build());
    stack.service(client())
}

/// Returns the status of an answer, or why there is none. Who is refused is told when to come.
async fn call(client: &Client, server: &Server) -> Result<StatusCode, Reason> {
    match client.clone().oneshot(get(&server.uri("/"))).await {
        Ok(answer) => Ok(answer.status()),
        Err(error) => {
            let rejection = Rejection::find(&*error).expect("a rejection");
            assert!(rejection.retry_after().is_some());
            Err(rejection.reason())
        }
    }
}

/// A server with a limit of ours, which is told of in all answers. Counts what comes, before the
/// limit.
async fn limited(quota: Quota, asked: &Counter) -> Server {
    let limit = TokenBucketLayer::builder("door", quota).announce(true);
    let limit = limit.registry(&Registry::new()).http().build().respond();
    let router = Router::new().route("/", on_get(async || "hello"));
    counted(router.layer(limit), asked).await
}

async fn counted(router: Router, asked: &Counter) -> Server {
    let asked = asked.clone();
    let count = move |request: axum::extract::Request| {
        asked.count();
        request
    };
    web::axum(router.layer(tower::util::MapRequestLayer::new(count))).await
}

/// A server that has so many answers, and says in headers of these names how many are left.
async fn with_headers(names: [&'static str; 3], answers: usize, asked: &Counter) -> Server {
    let given = Counter::default();
    let answer = async move || {
        given.count();
        let left = answers.saturating_sub(given.get());
        let [limit, remaining, reset] = names;
        [
            (limit, answers.to_string()),
            (remaining, left.to_string()),
            (reset, "3600".to_owned()),
        ]
    };
    counted(Router::new().route("/", on_get(answer)), asked).await
}

#[tokio::test]
async fn a_server_is_not_asked_for_more_than_it_says_there_is() {
    bounded(async {
        let asked = Counter::default();
        let server = limited(Quota::per_day(3), &asked).await;
        let client = above_hyper(obedient());

        for _ in 0..3 {
            assert_eq!(call(&client, &server).await, Ok(StatusCode::OK));
        }
        for _ in 0..2 {
            assert_eq!(call(&client, &server).await, Err(Reason::RateLimited));
        }

        assert_eq!(asked.get(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_comes_as_it_is_told_is_never_refused() {
    bounded(async {
        let asked = Counter::default();
        let server = limited(Quota::per_second(2), &asked).await;
        let client = above_hyper(obedient());

        for _ in 0..4 {
            assert_eq!(call(&client, &server).await, Ok(StatusCode::OK));
        }

        assert_eq!(asked.get(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_holds_the_calls_to_the_server_that_refused() {
    bounded(async {
        let asked = Counter::default();
        let server = limited(Quota::per_day(1), &asked).await;
        let other = limited(Quota::per_day(1), &Counter::default()).await;
        let (first, second) = (above_hyper(obedient()), above_hyper(obedient()));
        assert_eq!(call(&first, &server).await, Ok(StatusCode::OK));

        // It has not heard what the first was told.
        let refused = call(&second, &server).await;
        assert_eq!(refused, Ok(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(call(&second, &server).await, Err(Reason::RateLimited));

        assert_eq!(asked.get(), 2);
        assert_eq!(call(&second, &other).await, Ok(StatusCode::OK));
    })
    .await;
}

#[tokio::test]
async fn headers_of_early_drafts_are_read_and_those_of_no_draft_when_it_is_said_how() {
    let early = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];
    let custom = [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ];
    bounded(async {
        for (names, client, expected) in [
            (early, obedient(), 2),
            (custom, obedient().legacy(LegacyReset::Seconds), 2),
            (custom, obedient(), 4),
        ] {
            let asked = Counter::default();
            let server = with_headers(names, 2, &asked).await;
            let client = above_hyper(client);

            for call_number in 1..=4 {
                let answer = call(&client, &server).await;
                assert_eq!(answer.is_ok(), call_number <= expected, "{names:?}");
            }

            assert_eq!(asked.get(), expected, "{names:?}");
        }
    })
    .await;
}
