use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use tokio::time::Instant;

use crate::Padded;

/// What a [`Keyed`](crate::Keyed) map holds for each key.
pub trait Entry: Send + Sync + 'static {
    /// What would be lost if the entry were forgotten: 0 for nothing (an idle closed breaker), and
    /// the more the dearer. `None` if it must not be forgotten (an open breaker).
    ///
    /// It is asked under the lock of a shard: it must be quick, and not use the map. If it panics,
    /// the entry stays, and so does the map.
    fn worth(&self, now: Instant) -> Option<u64>;

    /// Returns the entry's own mark of use.
    fn used(&self) -> &Used;
}

impl<T: Entry> Entry for Padded<T> {
    fn worth(&self, now: Instant) -> Option<u64> {
        (**self).worth(now)
    }

    #[inline]
    fn used(&self) -> &Used {
        (**self).used()
    }
}

/// Returns whether nobody but the caller holds `part`, as an [`Entry`] does that lends a part of
/// itself out. If so, all is seen that those did to it who held it: so it is to be asked first, and
/// then what the part carries.
#[must_use]
pub fn is_held_once<T>(part: &Arc<T>) -> bool {
    let is_held_once = Arc::strong_count(part) == 1;
    // The count alone may be news of a release, and what came before that still on its way.
    fence(Ordering::Acquire);
    is_held_once
}

/// A mark by which a [`Keyed`](crate::Keyed) map knows that an [`Entry`] has been used.
///
/// It is in the entry because a thread that has found it of late finds it again without the map.
#[derive(Debug, Default)]
pub struct Used(AtomicBool);

impl Used {
    /// Sets the mark. An entry in use is marked already, most of the time: then threads that share
    /// it only read.
    #[inline]
    pub(super) fn set(&self) {
        if !self.is_set() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
