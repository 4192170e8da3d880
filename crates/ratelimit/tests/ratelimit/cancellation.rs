//! Calls that end otherwise.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio_test::assert_ready;
use tokio_test::task::spawn;
use tower::{BoxError, Layer, Service, service_fn};
use watertight_metrics::Registry;
use watertight_ratelimit::Quota;

use crate::stage::{Echo, bucket, counted};

#[tokio::test(start_paused = true)]
async fn a_dropped_call_has_been_made_and_is_cancelled() {
    let registry = Registry::new();
    let layer = bucket(Quota::per_second(10))
        .penalty(|_| 5)
        .registry(&registry)
        .build();
    let mut api = layer.layer(service_fn(|()| {
        std::future::pending::<Result<(), BoxError>>()
    }));

    let call = api.call(());
    assert_eq!(layer.handle().snapshot().in_flight, 1);
    drop(call);

    let counted = counted(&registry);
    assert_eq!((counted.calls.cancelled, counted.calls.failure), (1, 0));
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.in_flight, snapshot.status.remaining), (0, 9));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_and_goes_on() {
    let registry = Registry::new();
    let layer = bucket(Quota::per_second(10))
        .penalty(|_| 5)
        .registry(&registry)
        .build();
    let mut api = layer.layer(service_fn(|()| async {
        if true {
            panic!("in the service");
        }
        Ok::<_, BoxError>(())
    }));

    let panicked = catch_unwind(AssertUnwindSafe(|| spawn(api.call(())).poll()));

    let said = panicked.unwrap_err();
    assert_eq!(said.downcast_ref(), Some(&"in the service"));
    assert_eq!(counted(&registry).calls.failure, 1);
    assert_eq!(layer.handle().snapshot().status.remaining, 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_penalty_panics_is_counted_once() {
    let registry = Registry::new();
    let layer = bucket(Quota::per_second(10)).penalty(|_| panic!("in the penalty"));
    let mut api = layer.registry(&registry).build().layer(Echo);

    let panicked = catch_unwind(AssertUnwindSafe(|| spawn(api.call(())).poll()));

    assert!(panicked.is_err());
    let calls = counted(&registry).calls;
    assert_eq!((calls.success, calls.failure, calls.cancelled), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_service_comes_out_as_it_went_in() {
    let registry = Registry::new();
    let layer = bucket(Quota::per_second(10)).registry(&registry).build();
    let mut api = layer.layer(service_fn(|()| async {
        Err::<(), BoxError>("reset".into())
    }));

    let error = assert_ready!(spawn(api.call(())).poll()).unwrap_err();

    assert_eq!(error.to_string(), "reset");
    assert_eq!(counted(&registry).calls.failure, 1);
}
