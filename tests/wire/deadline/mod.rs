//! Deadlines over real sockets.

mod bodies;
mod hops;
mod work;
