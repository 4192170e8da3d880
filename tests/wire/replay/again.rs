use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{BoxError, Service, ServiceExt};
use watertight_core::Repeat;

/// The least that a retry can be: up to three attempts, one at once after another, until an answer
/// does not say that the service is unavailable.
#[derive(Clone, Debug)]
pub(super) struct Again<S, R> {
    inner: S,
    repeat: R,
}

impl<S, R> Again<S, R> {
    pub(super) const fn new(repeat: R, inner: S) -> Self {
        Self { inner, repeat }
    }
}

const ATTEMPTS: usize = 3;

impl<S, R, B, Res> Service<Request<B>> for Again<S, R>
where
    R: Repeat<Request<B>, Request: Send, Kept: Send + Sync> + Clone + Send + Sync + 'static,
    S: Service<R::Request, Response = Response<Res>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Send + 'static,
    Res: Send,
{
    type Response = Response<Res>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Res>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { mut inner, repeat } = self.clone();
        Box::pin(async move {
            let (mut request, kept) = repeat.keep(request);
            for _ in 1..ATTEMPTS {
                let service = inner.ready().await.map_err(Into::into)?;
                let response = service.call(request).await.map_err(Into::into)?;
                let Some(kept) = kept.as_ref().filter(|_| is_unavailable(&response)) else {
                    return Ok(response);
                };
                repeat.cut_off(kept);
                match repeat.again(kept) {
                    Some(again) => request = again,
                    None => return Ok(response),
                }
            }
            drop(kept);
            let service = inner.ready().await.map_err(Into::into)?;
            service.call(request).await.map_err(Into::into)
        })
    }
}

fn is_unavailable<B>(response: &Response<B>) -> bool {
    let grpc = response.headers().get("grpc-status");
    response.status() == 503 || grpc.is_some_and(|status| status == "14")
}
