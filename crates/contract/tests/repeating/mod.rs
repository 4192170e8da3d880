//! A layer that calls again what has failed, after a pause: its futures do more than one thing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tower::{BoxError, Layer, Service, ServiceExt};
use watertight_contract::{Probe, Request, Response};

/// What it does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lapse {
    None,
    SkipsReadiness,
    KeepsPermitInBackoff,
}

#[derive(Clone, Debug)]
pub(crate) struct RepeatingLayer {
    lapse: Lapse,
    permits: Arc<Semaphore>,
}

impl RepeatingLayer {
    pub(crate) fn new(lapse: Lapse) -> Self {
        Self {
            lapse,
            permits: Arc::new(Semaphore::new(10)),
        }
    }
}

impl Layer<Probe> for RepeatingLayer {
    type Service = Repeating;

    fn layer(&self, inner: Probe) -> Repeating {
        Repeating {
            inner,
            layer: self.clone(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Repeating {
    inner: Probe,
    layer: RepeatingLayer,
}

impl Service<Request> for Repeating {
    type Response = Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let RepeatingLayer { lapse, permits } = self.layer.clone();
        let mut again = self.inner.clone();
        let first = self.inner.call(request);
        Box::pin(async move {
            let permit = permits.acquire().await?;
            let Err(_) = first.await else {
                return Ok(Response { id: request.id });
            };
            if lapse == Lapse::KeepsPermitInBackoff {
                permit.forget();
                sleep(Duration::from_millis(100)).await;
                permits.add_permits(1);
            } else {
                sleep(Duration::from_millis(100)).await;
                drop(permit);
            }
            if lapse != Lapse::SkipsReadiness {
                again.ready().await?;
            }
            again.call(request).await
        })
    }
}
