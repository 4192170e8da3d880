//! What our layers cost, beside their peers, in one run.
//!
//! | binary | shows |
//! | --- | --- |
//! | `watertight-benches` | nanoseconds a call and how two threads scale; with `--workers`, how two workers of one runtime do; with `--stalls`, how long single checks of new keys take; with `--row`, one row alone, for a profiler |
//! | `allocations` | heap allocations and bytes a call |
//!
//! `cargo xtask bench` runs both and adds exact counts: instructions, locked instructions and clock
//! reads a call. Allocations have a binary of their own because an allocator that counts takes as
//! long again as one that does not.
//!
//! # How it is measured
//!
//! The inner service echoes a `u64`, from a future that is ready at once or, for `pend`, at its
//! second poll. A call is `service.ready().await?.call(n).await` on a current-thread runtime with
//! the clock on, in an `unconstrained` loop, so that tokio's cooperative yield is in no figure.
//!
//! A row and the bare service run turn about in batches of 0.4 ms, all rows a round, in an order
//! that is swapped every round; a figure is the median of the differences. So a slow phase of the
//! machine hits all rows alike. Differences below 3 ns are the layout of the code.
//!
//! # Adding a row
//!
//! A [`Row`] is a name and a function that makes a layer; it stands in the [`Family`] of its
//! pattern, in the file of [`rows`] of that name.

mod echo;
mod peers;
mod quartiles;
mod row;
mod stalls;
mod subject;
mod table;
mod threads;
mod turns;

pub mod rows;

pub use echo::{Echo, Echoed};
pub use quartiles::Quartiles;
pub use row::{Family, Limits, Path, Row, Wraps};
pub use stalls::Stalls;
pub use subject::{Subject, runtime};
pub use table::Table;
pub use threads::{Scaling, Threads, scaling};
pub use turns::{Turn, Turns};
