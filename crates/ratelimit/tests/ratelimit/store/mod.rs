//! Limits whose quotas are kept in a store.

mod calls;
mod cancellation;
mod contract;
mod deadline;
mod failure;
mod fake;
mod handle;
mod lease;
mod local;
mod shadow;
