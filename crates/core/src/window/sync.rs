//! The atomics that loom has its own of, under `--cfg watertight_loom`.

#[cfg(not(watertight_loom))]
pub(crate) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

#[cfg(watertight_loom)]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};
