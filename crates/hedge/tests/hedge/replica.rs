use std::future::{pending, ready};

use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_core::{Always, Budget};
use watertight_hedge::{HedgeBuilder, HedgeLayer};
use watertight_metrics::Registry;

use crate::stage::DELAY;

fn builder() -> HedgeBuilder<watertight_core::ErrorsAreFailures, Always> {
    HedgeLayer::builder("search")
        .repeat(Always)
        .after(DELAY)
        .budget(Budget::unlimited())
        .registry(&Registry::new())
}

/// A service that cannot be cloned.
struct Stuck;

impl Service<u32> for Stuck {
    type Response = u32;
    type Error = BoxError;
    type Future = std::future::Pending<Result<u32, BoxError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        pending()
    }
}

#[tokio::test(start_paused = true)]
async fn hedges_may_go_to_another_service() {
    let replica = service_fn(|request: u32| ready(Ok::<_, BoxError>(request + 1)));
    let mut service = builder().to(replica).build().layer(Stuck);
    let mut call = spawn(service.call(1));
    assert_pending!(call.poll());

    advance(DELAY).await;

    assert_eq!(assert_ready_ok!(call.poll()), 2);
}

#[tokio::test(start_paused = true)]
async fn the_other_service_may_fail_in_its_own_way() {
    let broken = || std::io::Error::other("no route");
    let replica = service_fn(move |_: u32| ready(Err::<u32, _>(broken())));
    let first = |request: u32| async move {
        tokio::time::sleep(2 * DELAY).await;
        Err::<u32, BoxError>(format!("{request} is unknown").into())
    };
    let mut service = builder().to(replica).build().layer(service_fn(first));
    let mut call = spawn(service.call(1));
    assert_pending!(call.poll());
    advance(DELAY).await;
    assert_pending!(call.poll());

    advance(DELAY).await;

    assert_eq!(assert_ready_err!(call.poll()).to_string(), "1 is unknown");
}
