//! Quotas that many processes share, in a place of their own.
//!
//! A limit in the process lets n processes pass n times as much. With a [`Store`] they take from one
//! quota:
//!
//! ```
//! use std::time::Duration;
//!
//! use watertight_ratelimit::store::{OnStoreFailure, Store};
//! use watertight_ratelimit::{Quota, TokenBucketLayer};
//!
//! fn limit(store: impl Store) {
//!     let layer = TokenBucketLayer::builder("api", Quota::per_second(100))
//!         .store(store)
//!         .store_timeout(Duration::from_millis(20))
//!         .on_store_failure(OnStoreFailure::Local(0.25))
//!         .build();
//!     # let _ = layer;
//! }
//! ```
//!
//! `watertight-redis` has stores. What a layer says of [quotas](crate#quotas), keys, plans, order and
//! errors holds with a store too; this page has what does not.
//!
//! # Consistency
//!
//! One store decides on all calls, one after another: no more passes than the quotas say. That has a
//! price: each call waits a round trip, and where the store cannot be reached there is no decision. It
//! is for [`OnStoreFailure`] to choose then between what is *consistent*, which is to refuse, and what
//! is *available*, which is to allow, or to have each process limit by itself. After that, the process
//! knows nothing of what the store has counted, and the store nothing of what has passed.
//!
//! [`lease`](crate::RateLimitBuilder::lease) makes the round trips few, and gives up exactness for it:
//! what that comes to is at [`Leased`].
//!
//! The [`total`](crate::RateLimitBuilder::total) stays in each process, which it protects, and is
//! asked first.
//!
//! # Failures
//!
//! The store has failed if it says so, or does not answer within
//! [`store_timeout`](crate::RateLimitBuilder::store_timeout). It is counted in [`StoredSnapshot`], is
//! one event a second, and says nothing of the next call, which asks again: so it is over when the
//! store answers. A store that takes long to fail has every call wait for the timeout, so it is the
//! store that should have a breaker. Each [order](Order::timeout) says how long it is waited for, so
//! that a store can tell what has failed from what its caller has left. A panic of the store goes on to the caller.
//!
//! # Readiness
//!
//! A store that answers at once, as a lease does, has the instance called that is ready. A call that
//! waits for it leaves that to the next one, and takes a clone along, as one does that waits for its
//! turn.
//!
//! # Deadlines
//!
//! A call waits for the store no longer than until its
//! [deadline](watertight_core::Context::deadline), and is then refused with
//! [`Reason::DeadlineExceeded`](watertight_core::Reason::DeadlineExceeded). What the store takes for
//! it after all is given back by a task as below. So is a turn that begins after the deadline by the
//! time that it is known here.
//!
//! # Cancellation
//!
//! A call that is dropped before the store has answered leaves what that may have taken: to give back
//! what was perhaps never taken could let more pass than there is. One that is dropped later and has
//! not been made, for its turn has not come or the service is not ready, gives back what it took. Of
//! the total it is always given back.
//!
//! # Penalties
//!
//! No answer waits for a [penalty](crate::RateLimitBuilder::penalty), nor for what is given back. They
//! are sent by a task of their own each, on the runtime that the call ends on; a call without a penalty
//! starts none. There are at most 1,024 of these at a time: what is more is not sent, nor what ends
//! outside of a runtime, and is counted as untold. If the store fails a penalty is lost, or with
//! [`OnStoreFailure::Local`] charged in this process.
//!
//! # Modes
//!
//! In [`Mode::Shadow`](watertight_core::Mode::Shadow) the store is asked, but no call waits for it:
//! what it says later is counted by a task as above, and a call that has passed before that is counted
//! by its outcome too, and pays its penalty.

mod builder;
mod contract;
mod error;
mod future;
mod handle;
mod inquiry;
mod keeper;
mod lease;
mod limits;
mod order;
mod place;
mod question;
mod service;
mod setting;
mod share;
mod snapshot;
mod waiting;

pub use contract::Store;
pub use error::StoreError;
pub use future::StoredFuture;
pub use handle::StoredHandle;
pub use lease::{LeaseError, Leased, LeasedAsking};
pub use order::{Act, Answer, Order, Rule};
pub use place::{InProcess, InStore};
pub use service::Stored;
pub use setting::{OnStoreFailure, StoreConfig};
pub use snapshot::StoredSnapshot;

pub(crate) use keeper::Keeper;
pub(crate) use share::Share;
