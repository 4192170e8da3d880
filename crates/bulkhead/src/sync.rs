//! What loom has its own of, under `--cfg watertight_loom`.

use std::sync::{LockResult, PoisonError};

#[cfg(not(watertight_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicI64};

#[cfg(watertight_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicI64};

/// Takes what a lock guards also after a panic: nothing of ours panics half-way.
pub(crate) fn unpoisoned<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
