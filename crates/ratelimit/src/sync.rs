//! What loom has its own of, under `--cfg watertight_loom`.

#[cfg(not(watertight_loom))]
pub(crate) use std::sync::atomic::AtomicU64;

#[cfg(watertight_loom)]
pub(crate) use loom::sync::atomic::AtomicU64;
