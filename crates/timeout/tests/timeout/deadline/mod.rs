//! Deadlines that come in, and that are passed on.

mod body;
mod contract;
mod exceeded;
mod handle;
mod hops;
mod inbound;
mod mode;
mod propagate;
mod spared;
mod stage;
