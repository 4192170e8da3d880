//! The words that all watertight layers share.
//!
//! Every pattern of the family is a machine and a thin Tower layer around it, and they speak of
//! calls in the same words, which are defined here once:
//!
//! - [`Rejection`]: what a layer says when *it* ends a call, with its [`Reason`].
//! - [`Outcome`]: what an answer means, as a [`Classify`] decides.
//! - [`Context`]: what a call carries down: deadline, [`Priority`], attempt, [`IdempotencyKey`].
//!
//! Under them are the parts that more than one machine is made of: the [`Window`] of the last
//! calls, the [`Quantile`] of recent durations, the [`Budget`] that bounds extra work, the [`Keyed`]
//! map of bounded size, the [`Stripes`] that let threads count without meeting; and the hooks by which a layer is taught a
//! protocol: [`Finish`], [`Note`], [`Repeat`], [`KeyBy`], [`ReadDeadline`], and the setters such as [`SetClassifier`].
//!
//! # For writers of layers
//!
//! A layer follows each call as a [`Call`] inside a [`Tracked`] future. That gives it, for
//! nothing, what is easy to get wrong: a panic counts as one failure, a dropped future as
//! cancelled, a [`Rejection`] from below never votes ([`judge`]), and the call may end with the
//! body of its response.

mod backoff;
mod budget;
mod causes;
mod classify;
mod config_error;
mod context;
mod counters;
mod deadlines;
mod exhausted;
mod finish;
mod hops;
mod idempotency_key;
mod key;
mod keyed;
mod latency;
mod mode;
mod name;
mod nanos;
mod note;
mod outcome;
mod reason;
mod rejection;
mod repeat;
mod set;
mod stripes;
mod tracked;
mod window;

pub use backoff::{Backoff, Delays, Jitter};
pub use budget::{Budget, BudgetCall};
pub use causes::causes;
pub use classify::{Classify, ClassifyFn, End, ErrorsAreFailures, judge, judge_end};
pub use config_error::ConfigError;
pub use context::{Context, Priority, Scoped};
pub use counters::Counters;
pub use deadlines::{
    ReadDeadline, ReadDeadlineFn, SaysExceeded, ScopeResponse, Undeclared, WriteDeadline,
    WriteDeadlineFn,
};
pub use exhausted::RetriesExhausted;
pub use finish::{AtResponse, Call, Finish};
pub use hops::Hops;
pub use idempotency_key::{IdempotencyKey, InvalidIdempotencyKey};
pub use key::{Key, KeyBy, KeyFn, KeyHasher, KeyPart, Labelled, Unkeyed};
pub use keyed::{Entry, Keyed, Mixer, Secret, Used, is_held_once};
pub use latency::{Histogram, Pick, Quantile, Samples};
pub use mode::Mode;
pub use name::Name;
pub use nanos::nanos;
pub use note::{Note, Served, Signs, Unnoted};
pub use outcome::{Failure, FailureKind, Outcome};
pub use reason::Reason;
pub use rejection::{QuotaStatus, Rejection};
pub use repeat::{Always, Never, Repeat, RepeatIf, Undecided};
pub use set::{SetClassifier, SetDeadlines, SetFinish, SetNotes, SetRepeat};
pub use stripes::{Padded, Stripes, stripe_count, thread_number};
pub use tracked::{Tracked, fail_on_panic};
pub use window::{Pending, Record, Recorded, Run, Standing, Tally, Window};

/// The error of every layer, as tower's own middleware has it.
///
/// In an async block that is spawned, call a stack by `ready().await?.call(request).await`. The
/// future of tower's `oneshot` is not known to be `Send` there if a layer is over a service with this
/// error, whoever made them: "implementation of `From` is not general enough".
pub type BoxError = Box<DynError>;

/// What is in a [`BoxError`].
pub type DynError = dyn std::error::Error + Send + Sync + 'static;
