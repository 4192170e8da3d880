use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use crate::Padded;

/// What a [`Keyed`](crate::Keyed) map holds for each key.
pub trait Entry: Send + Sync + 'static {
    /// What would be lost if the entry were forgotten: 0 for nothing (an idle closed breaker), and
    /// the more the dearer. `None` if it must not be forgotten (an open breaker).
    ///
    /// It is asked under the lock of a shard: it must be quick, and not use the map.
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
