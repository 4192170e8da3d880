//! A client that obeys, in front of a rate limit of ours.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use watertight_http::{HttpExt, ObeyServerLayer, RespondLayer};
use watertight_metrics::Registry;
use watertight_ratelimit::{Quota, TokenBucketLayer};

/// What became of the calls of all workers.
#[derive(Debug, Default)]
struct Seen {
    served: u32,
    refused: u32,
}

/// Lets `workers` call a service of `quota` for a minute, each again and again.
async fn play(quota: Quota, workers: u32) -> Seen {
    let registry = Registry::new();
    let limit = TokenBucketLayer::builder("api", quota)
        .http()
        .announce(true)
        .registry(&registry)
        .build();
    let service = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(limit)
        .service(service_fn(|_: Request<()>| async {
            sleep(Duration::from_millis(20)).await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
    let client = ObeyServerLayer::builder("api")
        .max_wait(Duration::from_secs(120))
        .registry(&registry)
        .build();
    let client = ServiceBuilder::new().layer(client).service(service);
    // From here on the limit is known.
    client.clone().oneshot(Request::new(())).await.unwrap();

    let end = Instant::now() + Duration::from_secs(60);
    let mut working = JoinSet::new();
    for _ in 0..workers {
        let client = client.clone();
        working.spawn(async move {
            let mut seen = Seen::default();
            while Instant::now() < end {
                let answer = client.clone().oneshot(Request::new(())).await.unwrap();
                if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                    seen.refused += 1;
                } else if Instant::now() < end {
                    seen.served += 1;
                }
            }
            seen
        });
    }
    let all = working.join_all().await;
    all.iter().fold(Seen::default(), |sum, seen| Seen {
        served: sum.served + seen.served,
        refused: sum.refused + seen.refused,
    })
}

#[tokio::test(start_paused = true)]
async fn it_is_not_refused_and_uses_what_there_is() {
    for (quota, per_minute) in [
        (Quota::per_second(10), 600),
        (Quota::per_second(100), 6_000),
        (Quota::per_minute(60), 60),
    ] {
        for workers in [3, 40] {
            let seen = play(quota, workers).await;

            assert_eq!(seen.refused, 0, "{quota:?}, {workers}: {seen:?}");
            assert!(seen.served >= per_minute * 9 / 10, "{quota:?}: {seen:?}");
        }
    }
}
