//! Tower layers that keep a service working while the things it depends on fail.
//!
//! Each pattern is a crate of its own, and this one has them all under one name: the layers in
//! [`prelude`], all that belongs to a pattern in its module, and the words that they share here.
//!
//! # Example
//!
//! A service that fails is left alone for a while. `.http()` comes first, since it says what an answer
//! means: without it a 503 is an answer like any other.
//!
//! ```
//! # #[cfg(all(feature = "breaker", feature = "http"))]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), watertight::BoxError> {
//! use std::time::Duration;
//!
//! use http::{Request, Response, StatusCode};
//! use watertight::breaker::State;
//! use watertight::prelude::*;
//! use watertight::{BoxError, Reason, Rejection};
//!
//! let breaker = BreakerLayer::builder("payments")
//!     .http()
//!     .consecutive_failures(2)
//!     .open_for(Duration::from_secs(30))
//!     .build();
//! let handle = breaker.handle();
//! let mut payments = ServiceBuilder::new()
//!     .layer(breaker)
//!     .service_fn(|_: Request<&'static str>| async {
//!         let mut response = Response::new("down for maintenance");
//!         *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//!         Ok::<_, BoxError>(response)
//!     });
//!
//! // Two answers pass as they are, and are failures all the same.
//! for _ in 0..2 {
//!     let response = payments.ready().await?.call(Request::new("pay")).await?;
//!     assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
//! }
//! assert_eq!(handle.state(), State::Open);
//!
//! // The third call is refused, and does not reach the service.
//! let error = payments.ready().await?.call(Request::new("pay")).await.unwrap_err();
//! let rejection = Rejection::find(&*error).unwrap();
//! assert_eq!(rejection.reason(), Reason::CircuitOpen);
//! assert_eq!(rejection.retry_after(), Some(Duration::from_secs(30)));
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "breaker", feature = "http")))]
//! # fn main() {}
//! ```
//!
//! # Order
//!
//! From the outside in: what serves an answer for another, what limits the whole call, what
//! repeats it, what limits how often attempts are made, what counts each of them, what limits how
//! many there are at a time and how long each may take, and what tells the next service of the
//! deadline. The page of each layer says why it
//! stands where it does.
//!
//! In a server the rate limit comes first, since a call that it refuses should cost nothing. Then
//! comes the deadline, and then what bounds how many calls are worked on, so that nobody waits there
//! for longer than its caller does.
//!
//! # Features
//!
//! | feature | what it brings | by default |
//! | --- | --- | --- |
//! | `breaker` | [`breaker`]: stops calling what fails | yes |
//! | `bulkhead` | [`bulkhead`]: bounds how many calls are in flight | yes |
//! | `hedge` | [`hedge`]: sends a slow call a second time | yes |
//! | `http` | [`http`]: what HTTP and gRPC mean | yes |
//! | `ratelimit` | [`ratelimit`]: bounds how much comes in a time, of all or of each client | yes |
//! | `retry` | [`retry`]: calls again what fails, within a budget | yes |
//! | `timeout` | [`timeout`]: ends calls that take too long, and hands deadlines on | yes |
//! | `redis` | [`redis`]: rate limits that many processes share, kept in Redis or Valkey | no |
//! | `redis-tls` | `redis`, also on encrypted connections: `rediss://` | no |
//! | `serde` | settings that can be read from a file, such as `BreakerConfig` | no |

#[cfg(feature = "breaker")]
#[doc(inline)]
pub use watertight_breaker as breaker;
#[cfg(feature = "bulkhead")]
#[doc(inline)]
pub use watertight_bulkhead as bulkhead;
#[doc(inline)]
pub use watertight_core::*;
#[cfg(feature = "hedge")]
#[doc(inline)]
pub use watertight_hedge as hedge;
#[cfg(feature = "http")]
#[doc(inline)]
pub use watertight_http as http;
#[doc(inline)]
pub use watertight_metrics as metrics;
#[cfg(feature = "ratelimit")]
#[doc(inline)]
pub use watertight_ratelimit as ratelimit;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use watertight_redis as redis;
#[cfg(feature = "retry")]
#[doc(inline)]
pub use watertight_retry as retry;
#[cfg(feature = "timeout")]
#[doc(inline)]
pub use watertight_timeout as timeout;

pub mod prelude;

#[cfg(all(
    doctest,
    feature = "breaker",
    feature = "bulkhead",
    feature = "http",
    feature = "ratelimit",
    feature = "retry",
    feature = "timeout"
))]
#[doc = include_str!("../../../README.md")]
struct Readme;
