//! What becomes of orders while Redis fails, and when it is well again.

use std::time::Duration;

use tokio::time;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use watertight_breaker::State;
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, OnStoreFailure, Rule, Store};
use watertight_ratelimit::{Quota, Quotas, SlidingWindow, TokenBucketLayer};
use watertight_redis::{Error, RedisConfig, RedisStore};

use crate::harness::{RedisServer, query};
use crate::stage::{TRIES, ask, builder, remaining, store, take, take_at_last};

async fn served((): ()) -> Result<(), BoxError> {
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_said_and_can_be_put_right() {
    let server = RedisServer::start_with(&["--requirepass", "right"]);
    let url = |password| format!("redis://:{password}@127.0.0.1:{}", server.port());
    let store = builder(url("wrong")).build();

    let error = take(&store).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
    assert!(!format!("{error:?} {error} {store:?}").contains("wrong"));
    assert!(error.to_string().contains("Password"), "{error}");

    let client = redis::Client::open(url("right")).unwrap();
    let mut connection = client.get_connection().unwrap();
    let () = query(&mut connection, &["CONFIG", "SET", "requirepass", "wrong"]);
    assert_eq!(remaining(&take_at_last(&store).await), 99);
}

#[tokio::test]
async fn redis_without_memory_refuses_and_serves_again_when_it_has_some() {
    let server = RedisServer::start();
    let store = store(&server);
    take(&store).await.unwrap();

    let () = query(&mut server.connect(), &["CONFIG", "SET", "maxmemory", "1"]);
    let error = take(&store).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");

    let () = query(&mut server.connect(), &["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(remaining(&take_at_last(&store).await), 98);
}

#[test]
fn a_store_can_be_made_without_a_runtime_and_before_redis_is_there() {
    let mut server = RedisServer::start();
    server.kill();
    let store = store(&server);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for _ in 0..RedisConfig::CONSECUTIVE_FAILURES {
            let error = take(&store).await.unwrap_err();
            assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
        }
        let error = take(&store).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Open {
                    retry_after: Some(_)
                }
            ),
            "{error:?}"
        );

        server.restart();
        assert_eq!(remaining(&take_at_last(&store).await), 99);
    });
}

#[tokio::test]
async fn redis_that_was_killed_and_started_again_is_used_again() {
    let mut server = RedisServer::start();
    let store = store(&server);
    take(&store).await.unwrap();

    server.kill();
    let error = take(&store).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");

    server.restart();
    let answer = take(&store).await.unwrap();
    assert_eq!(remaining(&answer), 99, "what redis knew is lost");
}

#[tokio::test]
async fn redis_that_hangs_is_left_alone_however_short_it_is_waited_for() {
    let server = RedisServer::start();
    let store = store(&server);
    take(&store).await.unwrap();
    for timeout in [1, 20, 60].map(Duration::from_millis) {
        let layer = TokenBucketLayer::builder("api", Quota::per_second(100))
            .store(store.clone())
            .store_timeout(timeout)
            .on_store_failure(OnStoreFailure::Allow)
            .registry(&Registry::new())
            .build();
        let api = layer.layer(service_fn(served));

        server.freeze();
        let mut calls = 0;
        while store.breaker().state() == State::Closed && calls < TRIES {
            api.clone().oneshot(()).await.unwrap();
            calls += 1;
        }
        assert_eq!(calls, 5, "each call that has waited is a failure");
        let since = layer.handle().snapshot();
        assert_eq!((since.timed_out, since.failed), (5, 0));
        api.oneshot(()).await.unwrap();
        assert_eq!(layer.handle().snapshot().failed, 1, "it waits for nothing");

        server.thaw();
        take_at_last(&store).await;
    }
}

#[tokio::test]
async fn an_order_whose_caller_goes_away_is_no_failure() {
    let server = RedisServer::start();
    let store = store(&server);
    take(&store).await.unwrap();

    server.freeze();
    for _ in 0..TRIES {
        let asking = time::timeout(Duration::from_millis(1), take(&store));
        asking.await.unwrap_err();
    }
    assert_eq!(store.breaker().state(), State::Closed);

    server.thaw();
    take_at_last(&store).await;
}

#[tokio::test]
async fn redis_that_does_not_answer_in_time_is_a_failure() {
    let server = RedisServer::start();
    let store = builder(server.url())
        .response_timeout(Duration::from_millis(20))
        .build();
    let connected = take_at_last(&store).await;
    assert!(connected.decision.admitted);

    server.freeze();
    let error = take(&store).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut), "{error:?}");
    server.thaw();
}

#[tokio::test]
async fn an_order_with_numbers_that_redis_cannot_count_is_refused_and_names_them() {
    let store = RedisStore::builder("limits", "redis://127.0.0.1:1")
        .registry(&Registry::new())
        .build();
    let burst = Quota::per_second(1_000_000_000).burst(1 << 53);
    let period = Quota::new(1, Duration::from_secs(80 * 365 * 86_400));
    let log = Quota::per_minute(10_001);
    let [burst, period, log] = [burst, period, log].map(Quotas::from);

    for (rule, field) in [
        (Rule::TokenBucket(&burst), "quota.burst + debt"),
        (Rule::TokenBucket(&period), "quota.period"),
        (
            Rule::SlidingWindow(&log, SlidingWindow::Exact),
            "quota.tokens",
        ),
    ] {
        let error = ask(&store, rule, Act::Take(1)).await.unwrap_err();
        let Error::Impossible(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.field(), field);
        assert_eq!(store.check(&rule), Err(error));
    }
    assert_eq!(store.breaker().state(), State::Closed);
}

#[test]
fn a_url_that_cannot_be_is_refused_without_showing_it() {
    let error = RedisStore::builder("limits", "http://:secret@host")
        .try_build()
        .unwrap_err();

    assert_eq!(error.field(), "url");
    assert!(!error.to_string().contains("secret"), "{error}");
}
