//! The layers that ask Redis.

use tokio::time;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_core::{Key, Reason, Rejection};
use watertight_metrics::Registry;
use watertight_ratelimit::store::OnStoreFailure;
use watertight_ratelimit::{LeakyBucketLayer, Quota, SlidingWindowLayer, TokenBucketLayer};

use crate::harness::RedisServer;
use crate::stage::{PATIENT, TRIES, store};

async fn served(_: &'static str) -> Result<&'static str, BoxError> {
    Ok("served")
}

async fn call<S>(service: &mut S, tenant: &'static str) -> Result<(), Reason>
where
    S: Service<&'static str, Response = &'static str, Error = BoxError>,
{
    let ready = service.ready().await.expect("a service that is ready");
    match ready.call(tenant).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Rejection::find(&*error).expect("a rejection").reason()),
    }
}

#[tokio::test]
async fn two_layers_of_one_policy_are_one_limit_for_each_key() {
    let server = RedisServer::start();
    let layer = || {
        TokenBucketLayer::builder("api", Quota::per_hour(3))
            .key(|tenant: &&'static str| Key::of(*tenant))
            .store(store(&server))
            .store_timeout(PATIENT)
            .registry(&Registry::new())
            .build()
    };
    let (mut one, mut other) = (
        layer().layer(service_fn(served)),
        layer().layer(service_fn(served)),
    );

    assert_eq!(call(&mut one, "acme").await, Ok(()));
    assert_eq!(call(&mut other, "acme").await, Ok(()));
    assert_eq!(call(&mut one, "acme").await, Ok(()));
    assert_eq!(call(&mut other, "acme").await, Err(Reason::RateLimited));
    assert_eq!(call(&mut one, "acme").await, Err(Reason::RateLimited));
    assert_eq!(call(&mut other, "globex").await, Ok(()));
}

#[tokio::test]
async fn a_window_is_shared_too() {
    let server = RedisServer::start();
    let layer = || {
        SlidingWindowLayer::builder("api", Quota::per_hour(2))
            .exact()
            .store(store(&server))
            .store_timeout(PATIENT)
            .registry(&Registry::new())
            .build()
    };
    let (mut one, mut other) = (
        layer().layer(service_fn(served)),
        layer().layer(service_fn(served)),
    );

    assert_eq!(call(&mut one, "acme").await, Ok(()));
    assert_eq!(call(&mut other, "acme").await, Ok(()));
    assert_eq!(call(&mut one, "acme").await, Err(Reason::RateLimited));
}

#[tokio::test]
async fn two_layers_keep_one_pace() {
    let server = RedisServer::start();
    let quota = Quota::per_hour(10);
    let mailer = || {
        let layer = LeakyBucketLayer::builder("mailer", quota);
        let layer = layer.store(store(&server)).store_timeout(PATIENT);
        let layer = layer.registry(&Registry::new()).build();
        layer.layer(service_fn(served))
    };
    let (mut one, mut other) = (mailer(), mailer());

    assert_eq!(call(&mut one, "hello").await, Ok(()));
    assert_eq!(
        call(&mut other, "hello again").await,
        Err(Reason::RateLimited)
    );
}

#[tokio::test]
async fn a_call_waits_for_the_turn_that_redis_gave_it() {
    let server = RedisServer::start();
    let layer = LeakyBucketLayer::builder("mailer", Quota::per_second(1_000)).queue(5);
    let layer = layer.store(store(&server)).store_timeout(PATIENT);
    let mailer = layer
        .registry(&Registry::new())
        .build()
        .layer(service_fn(served));

    let calls = [(); 5].map(|()| mailer.clone().oneshot("hello"));
    for served in futures_util::future::join_all(calls).await {
        assert_eq!(served.expect("a turn"), "served");
    }
}

#[tokio::test]
async fn while_redis_hangs_the_layer_decides_as_it_was_told() {
    for (on_failure, expected) in [
        (OnStoreFailure::Allow, [Ok(()), Ok(())]),
        (OnStoreFailure::Refuse, [Err(Reason::NotReady); 2]),
        (
            OnStoreFailure::Local(0.5),
            [Ok(()), Err(Reason::RateLimited)],
        ),
    ] {
        let server = RedisServer::start();
        let store = store(&server);
        let layer = TokenBucketLayer::builder("api", Quota::per_hour(2))
            .store(store.clone())
            .on_store_failure(on_failure)
            .registry(&Registry::new())
            .build();
        let mut service = layer.layer(service_fn(served));

        server.freeze();
        for expected in expected {
            // It does not wait for a server that hangs.
            let call = time::timeout(PATIENT, call(&mut service, "acme"));
            assert_eq!(call.await, Ok(expected), "{on_failure:?}");
        }

        server.thaw();
        // It is well again when Redis refuses the third.
        let mut refused = false;
        for _ in 0..TRIES {
            store.breaker().reset();
            refused |= call(&mut service, "acme").await == Err(Reason::RateLimited);
        }
        assert!(refused, "{on_failure:?}");
    }
}
