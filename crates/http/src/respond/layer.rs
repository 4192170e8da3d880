use tower_layer::Layer;

use super::answer::Style;
use super::covers::{AllErrors, Covers, OnlyRejections};
use super::service::Respond;
use crate::LegacyReset;

/// Closes a stack: turns the errors that come up into answers.
///
/// It goes outermost. [`RespondExt::respond`] puts it around a layer in one word, which is what
/// hosts that take one layer at a time need.
///
/// The answer is of the request's kind. Where the request's content type is `application/grpc`,
/// `application/grpc-web` or `application/grpc-web-text`, with whatever suffix (`+proto`), it is a
/// gRPC status without messages: HTTP 200 with `grpc-status`, `grpc-message` and,
/// where it is known when to come again, `grpc-retry-pushback-ms`. Everywhere else it has the HTTP
/// status, a `Retry-After` in whole seconds, rounded up and never 0, and an
/// `application/problem+json` body (RFC 9457) with the members `type`, `title`, `status`, `detail`,
/// and where they apply `reason`, `retry_after_ms` and `name`.
///
/// | error | HTTP | gRPC |
/// | --- | --- | --- |
/// | a [`Rejection`](watertight_core::Rejection), or one that caused it | as its [`Reason`](watertight_core::Reason) says | as its reason says |
/// | any other | 500 | INTERNAL |
/// | any other, with [`gateway`](Self::gateway) | 502 | UNAVAILABLE |
///
/// A rate limit that refused says how it stands, over both: `RateLimit` and `RateLimit-Policy` as
/// [`RateLimitNotes`](crate::RateLimitNotes) has them, with a `t` that is never later than the
/// `Retry-After`. Over HTTP its problem is of the type
/// `https://iana.org/assignments/http-problem-types#quota-exceeded`, with the policy in
/// `violated-policies`.
///
/// Of an error that is not ours nothing is told to the client. The error that was answered, ours or
/// not, goes up in the [extensions](http::Response::extensions) of the response as
/// [`Cause`](super::Cause), for whoever writes the log. The name of the layer that refused is told
/// with [`expose_names`](Self::expose_names) alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct RespondLayer<T = AllErrors> {
    style: Style,
    covers: T,
}

impl RespondLayer {
    /// Creates the layer that answers every error: its own error is
    /// [`Infallible`](std::convert::Infallible).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers [`Rejection`](watertight_core::Rejection)s only, for clients: other errors stay
    /// errors.
    #[must_use]
    pub fn only_rejections(self) -> RespondLayer<OnlyRejections> {
        RespondLayer {
            style: self.style,
            covers: OnlyRejections,
        }
    }
}

impl<T> RespondLayer<T> {
    /// Answers other errors as a gateway does, 502 and UNAVAILABLE: for a server that only passes
    /// on what others say.
    #[must_use]
    pub fn gateway(mut self) -> Self {
        self.style.gateway = true;
        self
    }

    /// Tells clients the name of the layer instance that refused. It is not told by default: names
    /// show how a service is built inside. A policy of a rate limit goes by another name then: see
    /// [`RateLimitNotes`](crate::RateLimitNotes).
    #[must_use]
    pub fn expose_names(mut self, expose: bool) -> Self {
        self.style.wording.names = expose;
        self
    }

    /// Writes the `X-RateLimit-*` of a rate limit that refused as well: see
    /// [`RateLimitNotes::legacy`](crate::RateLimitNotes::legacy).
    #[must_use]
    pub fn legacy_rate_limit(mut self, reset: LegacyReset) -> Self {
        self.style.wording.legacy = Some(reset);
        self
    }
}

impl<S, T: Covers> Layer<S> for RespondLayer<T> {
    type Service = Respond<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Respond::new(inner, self.style, self.covers)
    }
}

/// A layer with a [`RespondLayer`] around it. Made by [`RespondExt`].
#[derive(Clone, Copy, Debug)]
pub struct RespondedLayer<L, T = AllErrors> {
    layer: L,
    respond: RespondLayer<T>,
}

impl<L, T> RespondedLayer<L, T> {
    /// Answers other errors as a gateway does: see [`RespondLayer::gateway`].
    #[must_use]
    pub fn gateway(mut self) -> Self {
        self.respond = self.respond.gateway();
        self
    }

    /// Tells clients the name of the layer instance that refused: see
    /// [`RespondLayer::expose_names`].
    #[must_use]
    pub fn expose_names(mut self, expose: bool) -> Self {
        self.respond = self.respond.expose_names(expose);
        self
    }

    /// Writes `X-RateLimit-*` as well: see [`RespondLayer::legacy_rate_limit`].
    #[must_use]
    pub fn legacy_rate_limit(mut self, reset: LegacyReset) -> Self {
        self.respond = self.respond.legacy_rate_limit(reset);
        self
    }
}

impl<S, L, T> Layer<S> for RespondedLayer<L, T>
where
    L: Layer<S>,
    T: Covers,
{
    type Service = Respond<L::Service, T>;

    fn layer(&self, inner: S) -> Self::Service {
        self.respond.layer(self.layer.layer(inner))
    }
}

/// Puts a [`RespondLayer`] around any layer, so that it goes straight into a host.
///
/// ```
/// use tower::ServiceBuilder;
/// use tower::timeout::TimeoutLayer;
/// use watertight_http::RespondExt;
/// # use std::time::Duration;
///
/// let alone = TimeoutLayer::new(Duration::from_secs(1)).respond();
/// let stack = ServiceBuilder::new()
///     .concurrency_limit(10)
///     .timeout(Duration::from_secs(1))
///     .into_inner()
///     .respond()
///     .gateway();
/// ```
///
/// `axum::Router::layer` and `MethodRouter::layer` do not compile without it around a layer that
/// can refuse; **`tonic::transport::Server::layer` does, and then breaks the stream at run time**:
/// the client sees INTERNAL with a text about HTTP/2 in place of the status.
pub trait RespondExt: Sized {
    /// Turns all errors into answers, for servers.
    fn respond(self) -> RespondedLayer<Self> {
        RespondedLayer {
            layer: self,
            respond: RespondLayer::new(),
        }
    }

    /// Turns [`Rejection`](watertight_core::Rejection)s into answers and leaves other errors alone,
    /// for clients.
    fn respond_rejections(self) -> RespondedLayer<Self, OnlyRejections> {
        RespondedLayer {
            layer: self,
            respond: RespondLayer::new().only_rejections(),
        }
    }
}

impl<L> RespondExt for L {}
