//! How large a bulkhead and its queue have to be, from what is known of its calls.
//!
//! How many slots a service needs follows from how often it is called and how long a call takes,
//! and from how much waiting, or refusing, its callers bear: the arithmetic of telephone exchanges.
//! [`recommend`] does it backwards, from a [`Target`] to the settings, and [`Demand::forecast`]
//! forwards.
//!
//! ```
//! use std::time::Duration;
//! use watertight_bulkhead::sizing::{Demand, Target, recommend};
//!
//! // 200 calls a second of 100 ms, with a standard deviation of 50 ms.
//! let demand = Demand::new(200.0, Duration::from_millis(100)).variation(0.5);
//! let target = Target::Wait { percentile: 0.99, at_most: Duration::from_millis(50) };
//!
//! let recommended = recommend(&demand, target)?;
//! assert_eq!(recommended.limit, 25);
//!
//! let config = recommended.config();
//! assert!(config.validate().is_ok());
//! # Ok::<(), watertight_core::ConfigError>(())
//! ```
//!
//! # What it rests on
//!
//! Calls come independently of each other, at one rate (a Poisson stream), and are served in the
//! order in which they come. Take the rate of the busiest minute, not that of the day. Calls that
//! come in bursts, or that are retried, wait longer than forecast.
//!
//! | figure | formula | exact |
//! | --- | --- | --- |
//! | calls in flight | Little: rate x service time | always |
//! | refused without a queue | Erlang B | whatever the variation |
//! | have to wait | Erlang C | for one slot, or a variation of 1 |
//! | mean wait and queue | Pollaczek-Khinchine; with more slots, Allen-Cunneen | for one slot, or a variation of 1 |
//! | percentiles of the wait | an exponential tail with that mean | for a variation of 1 |
//!
//! The variation of a service time is its standard deviation over its mean: 0 if all calls take
//! equally long, 1 for exponential times, and more where some take very long.

mod demand;
mod erlang;
mod forecast;
mod recommendation;
mod target;

pub use demand::Demand;
pub use erlang::{erlang_b, erlang_c, mean_wait};
pub use forecast::Forecast;
pub use recommendation::{Recommendation, recommend};
pub use target::Target;
