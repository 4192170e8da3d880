//! The layers that limit how long bodies take. When a body is too slow is shown beside them.

mod contract;
mod handle;
mod mode;
mod stage;
