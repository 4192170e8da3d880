//! Attempts of one call, and what becomes of them when its time is up.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};
use tower::{BoxError, Service, ServiceBuilder};
use watertight_core::{Always, Budget, Reason, Rejection};
use watertight_hedge::HedgeLayer;
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;
use watertight_timeout::TimeoutLayer;

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_timeout_drops_all_that_are_in_flight() {
    let registry = Registry::new();
    let in_flight = Arc::new(());
    let place = Arc::downgrade(&in_flight);
    let timeout = TimeoutLayer::builder("whole").limit(100 * MS);
    let retry = RetryLayer::builder("search").repeat(Always);
    let hedge = HedgeLayer::builder("search").repeat(Always);
    let hedge = hedge.after(10 * MS).max_hedges(2);
    let timeout = timeout.registry(&registry).build();
    let handle = timeout.handle();
    let mut search = ServiceBuilder::new()
        .layer(timeout)
        .layer(retry.registry(&registry).build())
        .layer(
            hedge
                .budget(Budget::unlimited())
                .registry(&registry)
                .build(),
        )
        .service_fn(move |()| {
            let place = place.upgrade();
            async move {
                let _place = place;
                pending::<Result<(), BoxError>>().await
            }
        });
    let mut call = spawn(search.call(()));
    for _ in 0..99 {
        assert_pending!(call.poll());
        advance(MS).await;
    }
    assert_eq!(Arc::strong_count(&in_flight) - 1, 3);

    advance(2 * MS).await;
    let error = assert_ready!(call.poll()).unwrap_err();

    assert_eq!(Rejection::find(&*error).unwrap().reason(), Reason::TimedOut);
    assert_eq!(Arc::strong_count(&in_flight) - 1, 0);
    assert_eq!(handle.snapshot().timed_out, 1);
}
