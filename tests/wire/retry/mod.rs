//! Retries over real sockets.

mod hops;
