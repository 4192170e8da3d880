//! The suite of tests that every watertight layer passes, for your own Tower layers too.
//!
//! What breaks a Tower layer in production is seldom its purpose. It is a clone that was never
//! polled ready, a permit that is gone when a caller hangs up, a waker that was thrown away, state
//! that turns out to be one per route. [`Contract`] plays such things to a layer, around an inner
//! service that it controls to the poll, and says which [`Rule`] is broken and what was seen.
//!
//! It needs no network and no time: a rule runs on a runtime of its own, with a paused clock.
//!
//! # Example
//!
//! ```
//! use std::task::{Context, Poll};
//!
//! use tower::{BoxError, Layer, Service};
//! use watertight_contract::Contract;
//!
//! /// Passes all calls. Yours does more.
//! #[derive(Clone)]
//! struct PassLayer;
//!
//! impl<S> Layer<S> for PassLayer {
//!     type Service = Pass<S>;
//!
//!     fn layer(&self, inner: S) -> Pass<S> {
//!         Pass { inner }
//!     }
//! }
//!
//! #[derive(Clone)]
//! struct Pass<S> {
//!     inner: S,
//! }
//!
//! impl<S, Req> Service<Req> for Pass<S>
//! where
//!     S: Service<Req, Error = BoxError>,
//! {
//!     type Response = S::Response;
//!     type Error = BoxError;
//!     type Future = S::Future;
//!
//!     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
//!         self.inner.poll_ready(cx)
//!     }
//!
//!     fn call(&mut self, request: Req) -> S::Future {
//!         self.inner.call(request)
//!     }
//! }
//!
//! // In a test:
//! Contract::new(|| PassLayer)
//!     .never_refuses("it passes all calls")
//!     .check();
//! ```
//!
//! A layer that clones too much is told so:
//!
//! ```text
//! my_crate::PassLayer does not keep the contract: 1 of 25 rules
//!
//! CallsReadyInstance
//!     rule: only an instance that was polled ready is called
//!     seen: 9 calls of instances not ready, with a service that is called again and again
//! ```
//!
//! # The layer under test
//!
//! Build it so that, at a clock that stands still, it has room for two calls at once and for some
//! thousands one after another, of which at most every tenth fails: rules that need failures mix
//! nine successes with each. A limit on calls in flight has to be below 100, or a call that keeps
//! its permit is not noticed.
//!
//! Time passes, up to an hour, only when a rule waits for the end of a call that waits for the
//! clock: a repeating layer has its backoff.
//!
//! # Refusals
//!
//! What services share shows when the layer refuses. Say what makes it:
//!
//! | a layer that | says |
//! | --- | --- |
//! | opens after 20 failures | `.refuses_after(20, Answer::Error)` |
//! | admits 50 calls at once | `.refuses_after(50, Answer::Pending)` |
//! | admits 10,000 calls a second | `.refuses_after(10_000, Answer::Response)` |
//! | never refuses | `.never_refuses("why")` |
//!
//! A call is refused when its future fails and the inner service was not called.
//!
//! # Exceptions
//!
//! A layer with a reason to break a rule says so where it is checked, with
//! [`except`](Contract::except): a fallback eats inner errors, a hedge calls twice. An exception
//! that turns out not to be needed breaks the contract too, as `#[expect]` does for lints.
//!
//! # Spawned calls
//!
//! [`spawnable!`] checks the one rule that needs a compiler: a call can be made in a task of its own.
//!
//! # Allocations
//!
//! Allocations are counted on the thread of the test, after a warm-up, by the global allocator
//! that [allocation-counter](https://docs.rs/allocation-counter) installs in the test binary. A
//! binary has only one: keep the test apart from one that has its own.

mod contract;
mod control;
mod exhaustion;
mod probe;
mod report;
mod rule;
mod rules;
#[doc(hidden)]
pub mod spawn;
mod stage;
mod waiter;

pub use contract::Contract;
pub use exhaustion::Answer;
pub use probe::{Probe, ProbeError, ProbeFuture, Request, Response};
pub use report::{Finding, Report, Verdict};
pub use rule::Rule;
