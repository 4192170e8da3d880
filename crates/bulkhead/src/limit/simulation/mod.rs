//! A service with workers and a queue, and a limit in front of it, on simulated time.

mod gathered;
mod overload;
mod robustness;
mod server;
