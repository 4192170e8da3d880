//! When a service is ready.

use std::pin::pin;

use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service};
use tower_test::mock;
use watertight_ratelimit::Quota;

use crate::stage::bucket;

#[tokio::test(start_paused = true)]
async fn is_ready_when_the_inner_service_is_and_takes_nothing_for_it() {
    let layer = bucket(Quota::per_second(10)).build();
    let (inner, handle) = mock::pair::<(), ()>();
    let mut api = layer.layer(inner);
    let mut handle = pin!(handle);

    handle.as_mut().allow(0);
    assert_pending!(spawn(()).enter(|cx, _| api.poll_ready(cx)));
    handle.as_mut().allow(1);
    assert_ready_ok!(spawn(()).enter(|cx, _| api.poll_ready(cx)));

    assert_eq!(layer.handle().snapshot().status.remaining, 10);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_service_is_returned_as_it_is() {
    let (inner, mut handle) = mock::pair::<(), ()>();
    let mut api = bucket(Quota::per_second(10)).build().layer(inner);

    handle.send_error("gone");

    let error = assert_ready_err!(spawn(()).enter(|cx, _| api.poll_ready(cx)));
    assert_eq!(error.to_string(), "gone");
}
