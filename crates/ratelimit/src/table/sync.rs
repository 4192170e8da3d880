//! What loom has its own of, under `--cfg watertight_loom`.

#[cfg(not(watertight_loom))]
pub(super) use std::sync::atomic::{AtomicU64, fence};

#[cfg(watertight_loom)]
pub(super) use loom::sync::atomic::{AtomicU64, fence};
