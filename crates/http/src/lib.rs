//! What HTTP and gRPC mean to watertight layers.
//!
//! The layers of the family know services, not protocols: what a 503 is, where a gRPC stream says
//! that it failed, and what a client sees when a call is refused, is all here. One word on a
//! builder says that the layer stands over HTTP or gRPC ([`HttpExt`]), and one around a layer lets
//! it go straight into a server ([`RespondExt`]).
//!
//! # Example
//!
//! A rate limit refuses a request, and the client is told in the language that it speaks:
//!
//! ```
//! use std::time::Duration;
//!
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Empty;
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//! use watertight_core::{Name, Reason, Rejection};
//! use watertight_http::RespondLayer;
//! # use bytes::Bytes;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let service = ServiceBuilder::new()
//!     .layer(RespondLayer::new())
//!     .service_fn(|_: Request<Empty<Bytes>>| async {
//!         let refused = Rejection::new(Reason::RateLimited, Name::new("api"));
//!         let refused = refused.with_retry_after(Duration::from_millis(1200));
//!         Err::<Response<Empty<Bytes>>, BoxError>(refused.into())
//!     });
//!
//! let answer = service.oneshot(Request::new(Empty::new())).await?;
//! assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
//! assert_eq!(answer.headers()["retry-after"], "2");
//! # Ok(())
//! # }
//! ```
//!
//! # Classifiers
//!
//! [`HttpClassifier`] goes by the status, [`GrpcClassifier`] by the `grpc-status` wherever it is;
//! their pages have the tables. Both take a [`Rejection`](watertight_core::Rejection) for what it
//! says, and a connection that was refused for a request that can be sent again.
//!
//! # Sending again
//!
//! [`HttpRepeat`] says which requests a retry or a hedge may send twice, and how their bodies are
//! replayed. [`HttpNotes`] marks the answers of which a retry layer has had enough, and reads such
//! marks. [`InboundLayer`], in a server, lets the layers below know that a request is a retry
//! already, so that retries of retries do not pile up.
//!
//! # When a call is over
//!
//! By default it is over at the head of the response. With [`AtBodyEnd`], which `.grpc()` sets, it
//! lasts until the body does: a permit is held for as long as a stream runs, and a failure in the
//! trailers is a failure. The call ends when the client has read the body to its end, or drops it;
//! while the client holds it unread, the call is in flight.
//!
//! A circuit breaker does not wait for that where the head tells enough: the page of [`AtBodyEnd`]
//! says when it votes.
//!
//! # Order
//!
//! [`RespondLayer`] is the outermost of our layers, since it leaves no error for those above it.
//!
//! Our layers ask nothing of a body but that it is one, so layers that change bodies, such as
//! compression, go on either side of them. Those that are outside of [`RespondLayer`] see its answers
//! too.
//!
//! What translates gRPC-Web goes between our layers and the network: outside of them in a server,
//! inside of them in a client. gRPC-Web sends the trailers as data, where nobody looks for a status:
//! a layer that sees it untranslated learns of no failure but those that are in the head or break
//! the body off, and of no success that has a message. A breaker there seldom opens, and once it has
//! opened no probe closes it again.
//!
//! # Errors
//!
//! [`RespondLayer`] has none: its error is [`Infallible`](std::convert::Infallible), as axum and
//! tonic want it. With [`only_rejections`](RespondLayer::only_rejections) other errors of the inner
//! service pass as they are.
//!
//! # Keys
//!
//! Layers that tell clients apart take one of these by `key_by`, each for itself or with others
//! ([`ClientKey`]):
//!
//! | by | tells apart |
//! | --- | --- |
//! | [`PeerKey`] | addresses, also behind [`TrustedProxies`] |
//! | [`HeaderKey`] | what a gateway writes in a header |
//! | [`ApiKey`] | the secrets that clients show |
//! | [`PathKey`] | what is asked for, by templates such as `/users/{id}` |
//!
//! In a request that is malformed they find no key, and it is for the layer to say what becomes of
//! that: a rate limit refuses it, if not told otherwise.
//!
//! # Context
//!
//! [`InboundLayer`] sets a [`Context`](watertight_core::Context) from what a request says, and
//! [`ScopedBody`] takes one into the body of a response.
//!
//! # Rate limits
//!
//! A rate limit over HTTP can say on its answers how it stands ([`RateLimitNotes`]), and
//! [`RespondLayer`] says the same where it refuses. In a client, [`ObeyServerLayer`] reads what
//! servers say so, and keeps to it. [`RateLimitStatus`], [`RateLimitPolicy`] and
//! [`LegacyRateLimit`] read single headers.
//!
//! # Time
//!
//! [`HttpDeadlines`] is how layers of deadlines read and write how long a caller waits. A timeout
//! ends with the head of a response: [`ResponseBodyTimeoutLayer`] goes on with its body, and
//! [`RequestBodyTimeoutLayer`] looks after the body that goes out. Both count, and have handles, as
//! [`BodyTimeoutLayer`] says.

mod attempt;
mod body_end;
mod classify;
mod client_key;
mod deadline;
mod ext;
mod grpc_code;
mod inbound;
mod notes;
mod protocol;
mod rate_limit;
mod repeat;
mod replay;
mod respond;
mod retry_after;
mod scoped_body;
mod timed_body;

pub use body_end::{AtBodyEnd, TrackedBody};
pub use classify::{GrpcClassifier, HttpClassifier};
pub use client_key::{
    And, ApiKey, ClientKey, HeaderKey, Or, PathKey, Peer, PeerKey, TrustedProxies,
};
pub use deadline::HttpDeadlines;
pub use ext::{Grpc, Http, HttpExt};
pub use grpc_code::GrpcCode;
pub use inbound::{Inbound, InboundFuture, InboundLayer};
pub use notes::HttpNotes;
pub use rate_limit::{
    ByHost, LegacyRateLimit, LegacyReset, ObeyServer, ObeyServerBuilder, ObeyServerConfig,
    ObeyServerExt, ObeyServerFuture, ObeyServerHandle, ObeyServerLayer, ObeyServerSnapshot,
    QuotaUnit, RateLimitNotes, RateLimitPolicy, RateLimitStatus,
};
pub use repeat::{HeadOnly, HttpRepeat, KeptHeadOnly, KeptRequest, SameBody};
pub use replay::{ReplayBody, ReplayError};
pub use respond::{
    AllErrors, AnswerBody, Cause, Covers, OnlyRejections, Respond, RespondExt, RespondLayer,
    RespondedLayer, ResponseFuture,
};
pub use retry_after::retry_after;
pub use scoped_body::ScopedBody;
pub use timed_body::{
    BodyTimeoutBuilder, BodyTimeoutConfig, BodyTimeoutHandle, BodyTimeoutLayer,
    BodyTimeoutSnapshot, RequestBodies, RequestBodyTimeout, RequestBodyTimeoutFuture,
    RequestBodyTimeoutHandle, RequestBodyTimeoutLayer, ResponseBodies, ResponseBodyTimeout,
    ResponseBodyTimeoutFuture, ResponseBodyTimeoutHandle, ResponseBodyTimeoutLayer, Side,
    TimedBody, UploadBody,
};
