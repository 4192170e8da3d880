//! A client that obeys servers.

mod behaviour;
mod contract;
mod our_own;
