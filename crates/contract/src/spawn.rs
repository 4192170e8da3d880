use std::fmt;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use tower_layer::Layer;
pub use tower_service::Service;
pub use watertight_core::BoxError;

/// Makes a call through a layer, as a future that can be spawned: it compiles only if calls of the
/// layer's services can be made there, wherever the layer is in a stack.
///
/// That a response future is `Send` does not say it yet. In an async block the compiler has to show
/// it anew, with every lifetime left open, that of [`BoxError`]'s `'static` among them. It cannot
/// where the future is declared with `where S: Service<Req>`, for the sake of an `S::Future` in it,
/// and `S` is again a layer over a service with [`BoxError`]s: "implementation of `From` is not
/// general enough". A future that has a parameter of its own for each such type is free of this.
///
/// The macro takes the layer, which is put over such a stack, the request, and a closure that makes
/// the response of it. The future resolves to what the layer answers.
///
/// # Example
///
/// ```
/// use std::time::Duration;
///
/// use tower::timeout::TimeoutLayer;
/// use watertight_contract::spawnable;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let call = spawnable!(TimeoutLayer::new(Duration::from_secs(1)), 2, |n| n + 1);
///
/// assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
/// # });
/// ```
///
/// The future of this layer cannot be spawned:
///
/// ```compile_fail
/// # use std::pin::Pin;
/// # use std::task::{Context, Poll};
/// #
/// # use tower::layer::layer_fn;
/// # use tower::{BoxError, Service};
/// # use watertight_contract::spawnable;
/// #
/// struct PassFuture<S, Req>
/// where
///     S: Service<Req>,
/// {
///     inner: Pin<Box<S::Future>>,
/// }
/// #
/// # impl<S, Req> Future for PassFuture<S, Req>
/// # where
/// #     S: Service<Req>,
/// # {
/// #     type Output = Result<S::Response, S::Error>;
/// #
/// #     fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
/// #         self.inner.as_mut().poll(cx)
/// #     }
/// # }
/// #
/// # struct Pass<S>(S);
/// #
/// # impl<S, Req> Service<Req> for Pass<S>
/// # where
/// #     S: Service<Req, Error = BoxError>,
/// # {
/// #     type Response = S::Response;
/// #     type Error = BoxError;
/// #     type Future = PassFuture<S, Req>;
/// #
/// #     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
/// #         self.0.poll_ready(cx)
/// #     }
/// #
/// #     fn call(&mut self, request: Req) -> Self::Future {
/// #         PassFuture { inner: Box::pin(self.0.call(request)) }
/// #     }
/// # }
///
/// let call = spawnable!(layer_fn(Pass), 2, |n: u32| n + 1);
/// ```
#[macro_export]
macro_rules! spawnable {
    ($layer:expr, $request:expr, $answer:expr $(,)?) => {{
        use $crate::spawn::{
            BoxError, Layer, Leaf, Middle, Service, can_be_spawned, poll_ready, type_of,
        };

        let leaf = Leaf::<_, _, BoxError>::new($answer);
        let mut service = Layer::layer(&$layer, Middle::new(leaf));
        let request = $request;
        let of = type_of(&request);
        can_be_spawned(async move {
            ::std::future::poll_fn(|cx| poll_ready(of, &mut service, cx)).await?;
            Service::call(&mut service, request).await
        })
    }};
}

/// Returns what can be spawned.
pub fn can_be_spawned<F: Future + Send + 'static>(call: F) -> F {
    call
}

/// Remembers of which type a request is.
#[must_use]
pub const fn type_of<Req>(_: &Req) -> PhantomData<fn(Req)> {
    PhantomData
}

/// Drives `service` to readiness for requests of a type.
///
/// # Errors
///
/// Those of the service.
pub fn poll_ready<S, Req>(
    _: PhantomData<fn(Req)>,
    service: &mut S,
    cx: &mut Context<'_>,
) -> Poll<Result<(), S::Error>>
where
    S: Service<Req>,
{
    service.poll_ready(cx)
}

/// The service at the end of a stack. Its error is in its type, as with a service that is boxed or
/// made of a closure.
pub struct Leaf<Req, Res, E> {
    answer: fn(Req) -> Res,
    error: PhantomData<fn() -> E>,
}

impl<Req, Res, E> Leaf<Req, Res, E> {
    /// Answers every request so.
    pub const fn new(answer: fn(Req) -> Res) -> Self {
        Self {
            answer,
            error: PhantomData,
        }
    }
}

impl<Req, Res, E> Service<Req> for Leaf<Req, Res, E> {
    type Response = Res;
    type Error = E;
    type Future = Ready<Result<Res, E>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        ready(Ok((self.answer)(request)))
    }
}

impl<Req, Res, E> Clone for Leaf<Req, Res, E> {
    fn clone(&self) -> Self {
        Self::new(self.answer)
    }
}

impl<Req, Res, E> fmt::Debug for Leaf<Req, Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").finish_non_exhaustive()
    }
}

/// A service between the layer and the end of the stack, as most layers make it: whatever error the
/// inner service has becomes a [`BoxError`].
#[derive(Clone, Debug)]
pub struct Middle<S> {
    inner: S,
}

impl<S> Middle<S> {
    /// Passes all calls on to `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, Req> Service<Req> for Middle<S>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = MiddleFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        MiddleFuture(self.inner.call(request))
    }
}

/// The future of a call to [`Middle`].
#[derive(Debug)]
pub struct MiddleFuture<F>(F);

impl<F, Res, E> Future for MiddleFuture<F>
where
    F: Future<Output = Result<Res, E>> + Unpin,
    E: Into<BoxError>,
{
    type Output = Result<Res, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(Into::into)
    }
}
