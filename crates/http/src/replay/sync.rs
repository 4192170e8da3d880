//! What loom has its own of, under `--cfg watertight_loom`.

#[cfg(not(watertight_loom))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(watertight_loom)]
pub(super) use loom::sync::{Mutex, MutexGuard};
