use std::fmt;
use std::pin::Pin;
use std::task::{self, Poll, ready};

use http::{Request, Response};
use pin_project::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use watertight_core::{Context, Scoped};

use crate::ScopedBody;
use crate::attempt::attempt;

/// Takes what a request says of itself into the [`Context`] of its call: server side, where it
/// comes in.
///
/// That is which attempt it is: `x-retry-attempt`, or `grpc-previous-rpc-attempts`, as
/// [`upstream_attempt`](Context::upstream_attempt). A retry layer below then makes no retries of
/// its own for a request that is one already, or three hops of three attempts each would make 27
/// calls at the bottom. A header that is no number is ignored. A client that lies takes retries
/// from nobody but itself.
///
/// The call, its future and the body of its response run in the context; what the service spawns,
/// or hands to a `Buffer`, does not. A request that says nothing costs the look at its headers.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower::BoxError> {
/// use std::convert::Infallible;
///
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use tower::{ServiceBuilder, ServiceExt};
/// use watertight_core::Context;
/// use watertight_http::InboundLayer;
/// # use bytes::Bytes;
///
/// let service = ServiceBuilder::new()
///     .layer(InboundLayer::new())
///     .service_fn(|_: Request<Empty<Bytes>>| async {
///         assert_eq!(Context::current().upstream_attempt, 2);
///         Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
///     });
///
/// let request = Request::builder().header("x-retry-attempt", "2");
/// service.oneshot(request.body(Empty::new())?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct InboundLayer {
    _settings: (),
}

impl InboundLayer {
    /// Creates the layer.
    #[must_use]
    pub const fn new() -> Self {
        Self { _settings: () }
    }
}

impl<S> Layer<S> for InboundLayer {
    type Service = Inbound<S>;

    fn layer(&self, inner: S) -> Inbound<S> {
        Inbound { inner }
    }
}

/// Sets the [`Context`] of the calls that come in. Made by [`InboundLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Inbound<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Inbound<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ScopedBody<R>>;
    type Error = S::Error;
    type Future = InboundFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let context = context(&request);
        let response = match &context {
            Some(context) => context.clone().call(&mut self.inner, request),
            None => Scoped::unscoped(self.inner.call(request)),
        };
        InboundFuture { response, context }
    }
}

/// Returns the context of a call, if its request says something.
fn context<B>(request: &Request<B>) -> Option<Context> {
    let attempt = attempt(request.headers());
    (attempt > 0).then(|| Context {
        upstream_attempt: attempt,
        ..Context::current()
    })
}

/// The future of a call to [`Inbound`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct InboundFuture<F> {
    #[pin]
    response: Scoped<F>,
    /// That of the body.
    context: Option<Context>,
}

impl<F, R, E> Future for InboundFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ScopedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(cx))?;
        let context = this.context.take();
        Poll::Ready(Ok(response.map(|body| match context {
            Some(context) => ScopedBody::new(body, context),
            None => ScopedBody::unscoped(body),
        })))
    }
}

impl<F> fmt::Debug for InboundFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body::{Body, Frame};
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    use watertight_core::Priority;

    use super::*;

    /// Says which attempt came in, and how urgent the call is, as seen at four times.
    #[derive(Clone)]
    struct Witness;

    fn seen() -> String {
        let context = Context::current();
        format!("{} {:?}", context.upstream_attempt, context.priority)
    }

    impl Service<Request<()>> for Witness {
        type Response = Response<Words>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Response<Words>, Infallible>>>>;

        fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            let in_call = seen();
            Box::pin(async {
                tokio::task::yield_now().await;
                Ok(Response::new(Words(vec![seen(), in_call])))
            })
        }
    }

    /// A body of these words, and one more that it sees itself.
    struct Words(Vec<String>);

    impl Body for Words {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let word = self.0.pop().map(|word| format!("{word}, {}; ", seen()));
            Poll::Ready(word.map(|word| Ok(Frame::data(word.into()))))
        }
    }

    async fn ask(header: (&str, &str)) -> String {
        let request = Request::builder().header(header.0, header.1).body(());
        let service = InboundLayer::new().layer(Witness);
        let response = service.oneshot(request.unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_attempt_is_seen_in_the_call_the_future_and_the_body() {
        let http = ask(("x-retry-attempt", "2")).await;
        let grpc = ask(("grpc-previous-rpc-attempts", "1")).await;

        assert_eq!(http, "2 Normal, 2 Normal; 2 Normal, 2 Normal; ");
        assert_eq!(grpc, "1 Normal, 1 Normal; 1 Normal, 1 Normal; ");
    }

    #[tokio::test]
    async fn what_is_no_attempt_is_ignored() {
        for value in ["0", "-1", "soon", "4294967296"] {
            let seen = ask(("x-retry-attempt", value)).await;
            assert_eq!(seen, "0 Normal, 0 Normal; 0 Normal, 0 Normal; ", "{value}");
        }
        assert!(context(&Request::new(())).is_none());
    }

    #[tokio::test]
    async fn what_is_set_around_it_stays() {
        let outer = Context {
            priority: Priority::Critical,
            ..Context::default()
        };

        let seen = outer.scope(ask(("x-retry-attempt", "2"))).await;

        assert_eq!(seen, "2 Critical, 2 Critical; 2 Critical, 2 Critical; ");
    }
}
