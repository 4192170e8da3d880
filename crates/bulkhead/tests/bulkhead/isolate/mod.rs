//! How an isolating layer behaves.

mod cancellation;
mod contract;
mod crossing;
mod handle;
mod mode;
mod queue;
mod stage;
mod threads;
