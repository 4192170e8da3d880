//! Limits how much comes in a time, of all or of each client.
//!
//! One client that sends a hundred times what others do takes a hundred times their share, and in
//! the end what they need. A rate limit says how much may come, of all calls together, or of each
//! key, such as a tenant or an address, and refuses what is beyond that at once, with an error that
//! says when to ask again. There are three:
//!
//! | layer | bounds | for |
//! | --- | --- | --- |
//! | [`TokenBucketLayer`] | a rate, and a burst that a pause has saved up | the front door of a server; a client of a service with a quota |
//! | [`SlidingWindowLayer`] | what comes in a period, whenever that begins | a contract that says "so many an hour"; what its counts cost and how far they err is at [`SlidingWindow`] |
//! | [`LeakyBucketLayer`] | the pace: calls that come early wait for their turn | a service that takes no bursts |
//!
//! None of them bounds how many calls are in flight: calls that come at a modest rate and last for
//! ever are for a bulkhead.
//!
//! # Example
//!
//! Over HTTP, say so first, by `HttpExt` of `watertight-http`. Answers then can say how much is left:
//!
//! ```
//! use watertight_http::HttpExt;
//! use watertight_ratelimit::{Quota, TokenBucketLayer};
//!
//! let layer = TokenBucketLayer::builder("api", Quota::per_second(100))
//!     .http()
//!     .announce(true)
//!     .build();
//! # let _ = layer;
//! ```
//!
//! Here each tenant may send two at once, and one a second:
//!
//! ```
//! use std::time::Duration;
//!
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use watertight_core::{Key, Reason, Rejection};
//! use watertight_ratelimit::{Quota, TokenBucketLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let layer = TokenBucketLayer::builder("api", Quota::per_second(1))
//!     .burst(2)
//!     .key(|tenant: &&'static str| Key::of(*tenant))
//!     .build();
//! let mut api = ServiceBuilder::new()
//!     .layer(layer)
//!     .service_fn(|_: &'static str| async { Ok::<_, BoxError>("served") });
//!
//! assert_eq!(api.ready().await?.call("acme").await?, "served");
//! assert_eq!(api.ready().await?.call("acme").await?, "served");
//!
//! // The third call does not reach the service, and others do not notice.
//! let error = api.ready().await?.call("acme").await.unwrap_err();
//! let rejection = Rejection::find(&*error).unwrap();
//! assert_eq!(rejection.reason(), Reason::RateLimited);
//! assert_eq!(rejection.retry_after(), Some(Duration::from_secs(1)));
//! assert_eq!(api.ready().await?.call("globex").await?, "served");
//! # Ok(())
//! # }
//! ```
//!
//! Here calls start 100 ms apart, and up to twenty wait for that:
//!
//! ```
//! use std::time::Duration;
//!
//! use tokio::time::Instant;
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use watertight_ratelimit::{LeakyBucketLayer, Quota};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let mut mailer = ServiceBuilder::new()
//!     .layer(LeakyBucketLayer::builder("mailer", Quota::per_second(10)).queue(20).build())
//!     .service_fn(|_: &'static str| async { Ok::<_, BoxError>(Instant::now()) });
//!
//! let first = mailer.ready().await?.call("hello").await?;
//! let second = mailer.ready().await?.call("hello again").await?;
//! assert_eq!(second - first, Duration::from_millis(100));
//! # Ok(())
//! # }
//! ```
//!
//! # Quotas
//!
//! A [`Quota`] is a rate and a burst. Several have all to be met: ten a second *and* a thousand an
//! hour is `Quota::per_second(10).and(Quota::per_hour(1_000))`. A call takes its
//! [`cost`](RateLimitBuilder::cost) from each of them or from none: a call that is refused has taken
//! nothing. While it finds that out, another call may be refused for what it holds; none is ever let
//! pass beyond a quota. A leaky bucket has one quota, and a window no burst.
//!
//! [`plan`](RateLimitBuilder::plan) gives some calls other quotas, by what a closure says of them;
//! a key has a bucket of its own on each plan. [`total`](RateLimitBuilder::total) bounds what comes
//! of all keys together. [`penalty`](RateLimitBuilder::penalty) charges a call for how it ended:
//!
//! ```
//! use watertight_core::{FailureKind, Key, Outcome};
//! use watertight_http::{HttpClassifier, HttpExt};
//! use watertight_ratelimit::{Quota, TokenBucketLayer};
//! # use http::Request;
//!
//! let key = |request: &Request<String>| Some(Key::of(request.headers().get("x-api-key")?.as_bytes()));
//! // Who guesses passwords runs dry.
//! let guess = |outcome: &Outcome| match outcome.as_failure() {
//!     Some(failure) if failure.kind == FailureKind::Client => 10,
//!     _ => 0,
//! };
//!
//! let layer = TokenBucketLayer::builder("login", Quota::per_minute(60))
//!     .http()
//!     .classify(HttpClassifier::new().failure([401, 403]))
//!     .key(key)
//!     .penalty(guess)
//!     .build();
//! # let _ = layer;
//! ```
//!
//! # Keys
//!
//! With [`key`](RateLimitBuilder::key) each key has quotas of its own, in memory of a fixed size:
//! 24 bytes for each of [`max_keys`](RateLimitConfig::max_keys), quota and plan, taken when the
//! layer is made; with a store, when that first fails. A key that has got everything back is as good
//! as one that never came, and gives way for nothing.
//!
//! Windows that do not fit in a word, which [`SlidingWindow`] tells, are kept in a map
//! of so many keys. Where there are more keys than that,
//! [`when_full`](RateLimitBuilder::when_full) says who goes. A call in which no key is found is
//! refused, or what [`missing_key`](RateLimitBuilder::missing_key) says.
//!
//! Over HTTP, `watertight-http` has types that tell clients apart, for
//! [`key_by`](RateLimitBuilder::key_by): `PeerKey` by their address, also behind proxies that are
//! trusted, and `ApiKey` by the secret that they show. A secret has to be known to be one first: who
//! makes secrets up has a quota for each.
//!
//! # Many processes
//!
//! With a [`store`](RateLimitBuilder::store) the quotas are kept in one place for many processes. What
//! that costs, and what becomes of calls when the store fails, is at [`store`].
//!
//! # Order
//!
//! On a server outside of all that does work, so that a refused call costs next to nothing. On a
//! client inside retry, so that each attempt is counted, and outside the breaker, which does not
//! count a refusal in any case.
//!
//! # Readiness
//!
//! [`RateLimit`] and [`Pace`] are ready when the inner service is, and take nothing before they are
//! called. A call that has to wait leaves the instance that is ready to the next one: it takes a
//! clone along, and drives it to readiness when its turn has come.
//!
//! # Cancellation
//!
//! A call that is dropped has been made, and what it took stays taken. It is counted `cancelled`,
//! and has no penalty. One that is dropped while it waits has not: its turn is given back if no later
//! one depends on it, and what it took of the total in any case. A panic of the inner service is a failure, and goes on to the caller.
//!
//! # Errors
//!
//! A refused call fails with a [`Rejection`](watertight_core::Rejection):
//!
//! | reason | when |
//! | --- | --- |
//! | [`RateLimited`](watertight_core::Reason::RateLimited) | there is not as much left as it costs |
//! | [`DeadlineExceeded`](watertight_core::Reason::DeadlineExceeded) | its turn would come after its deadline |
//! | [`KeyMissing`](watertight_core::Reason::KeyMissing) | no key is found in it |
//! | [`NotReady`](watertight_core::Reason::NotReady) | the store has failed, with [`OnStoreFailure::Refuse`](store::OnStoreFailure::Refuse) |
//!
//! That of a limit has the [quota](watertight_core::Rejection::quota) that refused, and `retry_after`
//! is how long it takes until the same call could pass, none if it costs more than can ever be
//! there. Errors of the inner service pass untouched.
//!
//! The policies in a [`QuotaStatus`](watertight_core::QuotaStatus) are called `api`, `api/2` and so
//! on for the quotas of a layer `api`, `api/pro` for a plan and `api/total` for the total.
//!
//! # Sharing
//!
//! Without a store the quotas belong to the layer: all services that one layer or its clones make,
//! and all clones of those services, take from the same.
//!
//! # Cost
//!
//! A call that passes allocates nothing, takes no lock, reads the clock once, and once more for a
//! penalty; one that waits is allocated. A sliding window that does not fit in a word takes the lock
//! of its key, and is allocated when its key comes. That an answer tells how the limit stands, with
//! [`announce`](RateLimitBuilder::announce), takes longer than all the rest, and allocates.
//!
//! The clock is tokio's, which tests can pause: a fifth of what a call of a token bucket takes. There
//! is no faster one to choose, for it would win ten nanoseconds and stand in the way of those tests.
//!
//! # Defaults
//!
//! | setting | default |
//! | --- | --- |
//! | [`quotas`](RateLimitConfig::quotas) | required |
//! | [`burst`](Quota::burst), [`debt`](Quota::debt) | what comes in a period, as much as the burst |
//! | [`algorithm`](RateLimitConfig::algorithm) | [`SlidingWindow::Approximate`]; of [`LeakyBucket`]: queue 0, slack 0, no `max_wait` |
//! | [`plans`](RateLimitConfig::plans), [`total`](RateLimitConfig::total) | none |
//! | [`max_keys`](RateLimitConfig::max_keys), [`when_full`](RateLimitConfig::when_full) | 65,536, [`WhenFull::Evict`] |
//! | [`missing_key`](RateLimitConfig::missing_key) | [`MissingKey::Refuse`] |
//! | [`announce`](RateLimitConfig::announce) | false |
//! | [`store.timeout`](store::StoreConfig::timeout), [`store.on_failure`](store::StoreConfig::on_failure) | 50 ms, `Local(1.0)` |
//!
//! The reasons are at the constants of [`RateLimitConfig`] and [`StoreConfig`](store::StoreConfig).
//!
//! # Telemetry
//!
//! Metrics, with `layer` = `token_bucket`, `sliding_window` or `leaky_bucket`:
//! `watertight_calls_total`, `watertight_rejections_total`, `watertight_in_flight`, and
//! `watertight_utilization`, the share of the limit that has been taken; with keys that of the total,
//! if there is one, and `watertight_keys` and `watertight_keys_evicted_total`; of a leaky bucket
//! `watertight_queue_depth`. More is in [`RateLimitSnapshot`]. Refused calls are one event a second
//! for each reason.
//!
//! In [`Mode::Shadow`](watertight_core::Mode::Shadow) all is taken as if it were enforced. A call
//! that would be refused or have to wait passes at once, is counted as refused in shadow, and has no
//! penalty. Answers say nothing of the limit.

mod algorithm;
mod builder;
mod call;
mod config;
mod counts;
mod decision;
mod demand;
mod front;
mod future;
mod gcra;
mod handle;
mod latest;
mod layer;
mod leaky;
mod limits;
mod machine;
mod missing_key;
#[cfg(all(test, not(watertight_loom)))]
mod model;
mod noting;
mod pace;
mod past;
mod penalty;
mod policy;
mod quota;
mod quotas;
mod rules;
mod service;
mod shared;
mod snapshot;
pub mod store;
mod sync;
mod table;
mod tables;
mod ticks;
mod token_bucket;
mod total;
mod verdict;
mod way;
mod window;
mod words;

pub use algorithm::{Algorithm, AnyAlgorithm, TokenBucket};
pub use builder::RateLimitBuilder;
pub use call::RateLimitCall;
pub use config::{LeakyBucketConfig, RateLimitConfig, SlidingWindowConfig, TokenBucketConfig};
pub use decision::{Decision, Status};
pub use demand::{Demand, OneEach, Planned, Priced};
pub use future::ResponseFuture;
pub use handle::{LeakyBucketHandle, RateLimitHandle, SlidingWindowHandle, TokenBucketHandle};
pub use layer::{LeakyBucketLayer, RateLimitLayer, SlidingWindowLayer, TokenBucketLayer};
pub use leaky::LeakyBucket;
pub use missing_key::MissingKey;
pub use pace::{Pace, PacedFuture};
pub use penalty::{NoPenalty, Penalty, PenaltyFn};
pub use quota::Quota;
pub use quotas::Quotas;
pub use rules::Rules;
pub use service::RateLimit;
pub use snapshot::RateLimitSnapshot;
pub use table::WhenFull;
pub use window::SlidingWindow;
