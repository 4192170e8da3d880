//! A bulkhead for Tower services: bounds how many calls are in flight.
#![allow(dead_code, unused_imports, reason = "the layer is made of it")]

mod order;
mod queue;
mod slots;
mod sync;

pub use order::Order;
