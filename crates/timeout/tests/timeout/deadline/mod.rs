//! Deadlines that come in, and that are passed on.

mod body;
mod contract;
mod handle;
mod hops;
mod inbound;
mod mode;
mod propagate;
mod spared;
mod stage;
