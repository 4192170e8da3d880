//! Calls that are made in the tasks of others.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::routing::get;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use watertight_breaker::BreakerLayer;
use watertight_bulkhead::BulkheadLayer;
use watertight_core::Always;
use watertight_hedge::HedgeLayer;
use watertight_metrics::Registry;
use watertight_ratelimit::{LeakyBucketLayer, Quota};
use watertight_retry::RetryLayer;
use watertight_timeout::TimeoutLayer;

#[tokio::test(start_paused = true)]
async fn a_handler_calls_a_boxed_service_through_all_layers() {
    let registry = Registry::new();
    let timeout = TimeoutLayer::builder("shop").limit(Duration::from_secs(1));
    let retry = RetryLayer::builder("shop").repeat(Always);
    let hedge = HedgeLayer::builder("shop").repeat(Always);
    let pace = LeakyBucketLayer::builder("shop", Quota::per_second(1));
    let bulkhead = BulkheadLayer::builder("shop", 1);
    let breaker = BreakerLayer::builder("shop");
    let shop = service_fn(|n: u32| async move { Ok::<_, BoxError>(n + 1) });
    let shop = ServiceBuilder::new()
        .layer(timeout.registry(&registry).build())
        .layer(retry.registry(&registry).build())
        .layer(hedge.registry(&registry).build())
        .layer(pace.registry(&registry).build())
        .layer(bulkhead.registry(&registry).build())
        .layer(breaker.registry(&registry).build())
        .service(BoxCloneSyncService::new(shop));
    let handler = move || {
        let mut shop = shop.clone();
        async move {
            let shop = shop.ready().await.unwrap();
            shop.call(2).await.unwrap().to_string()
        }
    };
    let app = Router::new().route("/", get(handler));

    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();

    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(body, "3");
}
