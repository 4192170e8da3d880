//! Rate limits that many processes share, kept in Redis or Valkey.
//!
//! A limit in the memory of a process is a limit for that process: ten of them behind a load balancer
//! let ten times as much pass. [`RedisStore`] keeps the quotas of a limit of `watertight-ratelimit` in
//! one place for all of them, for each of its three algorithms, and Redis decides on each call in one
//! step and one round trip.
//!
//! Use it where the sum matters: a quota that was sold, a service of others that counts all of us
//! together. It is no use for protecting one process from too much work, which that process knows
//! better and sooner: each decision costs a round trip, and something else that can fail.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use watertight_core::Key;
//! use watertight_ratelimit::store::OnStoreFailure;
//! use watertight_ratelimit::{Quota, TokenBucketLayer};
//! use watertight_redis::RedisStore;
//!
//! // It connects with the first call: Redis need not be there yet.
//! let limits = RedisStore::new("limits", "redis://:password@127.0.0.1:6379/0");
//!
//! let layer = TokenBucketLayer::builder("api", Quota::per_second(100))
//!     .key(|tenant: &&'static str| Key::of(*tenant))
//!     .store(limits.clone())
//!     .store_timeout(Duration::from_millis(50))
//!     .on_store_failure(OnStoreFailure::Local(0.1))
//!     .build();
//! # let _ = layer;
//!
//! let daily = TokenBucketLayer::builder("daily", Quota::per_day(10_000)).store(limits).build();
//! # let _ = daily;
//! ```
//!
//! A cluster is `RedisStore::cluster("limits", ["redis://10.0.0.1", "redis://10.0.0.2"])`.
//!
//! With the feature `tls` there is `rediss://`, by rustls. A server is trusted if the system trusts
//! who has signed its certificate, or if one of the `root_certificates` of the builder has; a
//! `client_certificate` says who we are. A program that has chosen no crypto provider for rustls by
//! the time the first such store is made gets `ring`.
//!
//! # When Redis cannot be reached
//!
//! A limit that is shared over a network cannot at once hold whatever happens and answer whatever
//! happens: while processes cannot reach the place where the count is, each either refuses what it
//! might have let pass, or lets pass what others let pass too. Which of these is a choice, and the
//! layer makes it by its `OnStoreFailure`:
//!
//! | | what passes | for |
//! | --- | --- | --- |
//! | `Allow` | everything | a limit that is for fairness, where a refusal costs more than an excess |
//! | `Refuse` | nothing | a limit that must hold: what it protects costs money, or breaks |
//! | `Local(share)` | a share of the quota in each process | the rest: with ten processes and a share of 0.1 about the limit holds |
//!
//! An order is not tried again where that could take something twice; only the client of a cluster
//! does so when a connection breaks, and errs to the safe side. After five failures in a row, or
//! when half of twenty orders fail, a breaker opens, and for a second and then ever longer, up to 10 s,
//! nothing is asked but by a few probes; a caller then waits for nothing. An order that has no answer
//! within the `store_timeout` of its layer is a failure like any other, however short that is; one
//! whose caller goes away before is none. Nobody has to do anything for the store to be used again. In
//! a cluster a row of failures does not count,
//! since those of one node are no reason to ask no other. The breaker stands in the registry under the
//! name of the store, and [`RedisStore::breaker`] is its handle.
//!
//! Also where nothing fails the limit holds only as far as Redis keeps what it was told:
//!
//! - Redis answers before its replicas have heard. What was taken just before a failover may be
//!   forgotten, and can be taken once more; for a bucket no more than its burst.
//! - Redis that starts again without what it knew starts with whole quotas. Keys that are evicted for
//!   want of memory are as good as whole too: set `maxmemory-policy` to `noeviction` or
//!   `volatile-ttl`, which takes those first that are nearly whole.
//! - A node of a cluster that is cut off from the others still answers for some seconds.
//!
//! # What is stored
//!
//! One key for each policy, key and algorithm: `watertight:{api:<hash>}:token`, where the hash is the
//! 128 bits of the [`Key`](watertight_core::Key), and nothing that clients send. Policies without keys
//! have `watertight:{api}:token`. The braces keep it on one node of a cluster; a limit without keys is
//! all on one node, which decides some ten thousand times a second.
//!
//! | algorithm | value | size |
//! | --- | --- | --- |
//! | token bucket, leaky bucket | a string: what is owed of each quota, and since when | 150 bytes a key |
//! | sliding window, approximate or in buckets | a string: the counters that are not 0 | 150 bytes, and 15 for each counter after the first |
//! | sliding window, exact | a hash: a log of what was taken | 40 to 90 bytes for each take of the period |
//!
//! A key expires when nothing depends on it any more: when the bucket is whole, or the window empty.
//! Only calls that take something write, but for those that come upon a log of which something has
//! left the period.
//!
//! # Cost
//!
//! A decision is one command, of 33 to 43 microseconds in the median where Redis is on the same
//! machine and both are busy; over a network it is the round trip that counts. An order allocates its
//! command, its answer and its future.
//!
//! # Precision
//!
//! The scripts reckon in whole numbers of microseconds and of parts of a token, without rounding, and
//! decide as the machines of one process do, of which a test makes sure. Redis counts in doubles, so
//! a few quotas are refused when a layer is made that fit in the memory of a process: a burst and
//! debt of 2^52 tokens together, a period of more than 71 years, an exact window of more than 10,000
//! tokens. A window whose buckets are not of whole microseconds is longer by less than a
//! microsecond for each.
//!
//! # Time
//!
//! It is the clock of Redis that counts; those of the processes may differ as they like. When it
//! steps back, or another server takes over whose clock is behind, nothing comes in until the time is
//! what it was.
//!
//! # Changes
//!
//! A bucket or window whose quota is changed finds what was taken of the quota with the same period,
//! as far as the new burst and debt allow. What is counted in another way, or over another period,
//! starts anew.
//!
//! # Cancellation
//!
//! An order that is dropped may have been carried out: what it took stays taken. It says nothing to
//! the breaker, but five in a row without an answer make the store connect anew.
//!
//! # Errors
//!
//! An [`Error`] says whether Redis [was not asked](Error::Open), [did not answer in
//! time](Error::TimedOut), which a layer counts as a timeout, [cannot be
//! reached](Error::Unreachable), [refuses](Error::Refused), has [a value that is not
//! ours](Error::Foreign) or [cannot keep such a quota](Error::Impossible). What becomes of the call is
//! up to the layer.
//!
//! # Defaults
//!
//! | setting | default |
//! | --- | --- |
//! | [`prefix`](RedisConfig::prefix) | `watertight` |
//! | [`connection_timeout`](RedisConfig::connection_timeout) | 500 ms |
//! | [`response_timeout`](RedisConfig::response_timeout) | 500 ms; the layer's own is 50 ms |
//! | [`breaker`](RedisConfig::breaker) | 5 failures in a row; half of 20 calls failed; open for 1 s to 10 s, jitter 0.3 |
//!
//! The reasons are at the constants of [`RedisConfig`].

mod acts;
#[cfg(test)]
mod against_machines;
mod bucket;
mod builder;
mod config;
mod counters;
mod decisions;
mod dial;
mod error;
#[cfg(test)]
#[path = "../tests/redis/harness.rs"]
mod harness;
mod link;
mod log;
mod numbers;
mod path;
mod question;
mod script;
#[cfg(test)]
mod scripted;
mod store;
#[cfg(feature = "tls")]
mod tls;
mod units;

pub use builder::RedisStoreBuilder;
pub use config::RedisConfig;
pub use error::{Cause, Error};
pub use store::{Asking, RedisStore};
