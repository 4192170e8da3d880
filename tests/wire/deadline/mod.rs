//! Deadlines over real sockets.

mod bodies;
mod hops;
mod phases;
mod short;
mod work;
