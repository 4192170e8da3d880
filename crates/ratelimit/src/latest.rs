use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Guard};

/// What can be replaced as a whole while others look at it.
///
/// To look costs next to nothing as long as nobody has replaced anything, which in most processes
/// nobody ever does. What was there first is kept for that.
#[derive(Debug)]
pub(crate) struct Latest<T> {
    first: Arc<T>,
    later: ArcSwap<T>,
    is_replaced: AtomicBool,
}

/// A look at the latest.
pub(crate) enum Look<'a, T> {
    First(&'a T),
    Later(Guard<Arc<T>>),
}

impl<T> Latest<T> {
    pub(crate) fn new(first: T) -> Self {
        let first = Arc::new(first);
        Self {
            later: ArcSwap::new(Arc::clone(&first)),
            first,
            is_replaced: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(crate) fn load(&self) -> Look<'_, T> {
        // It is replaced before it is said to be, so that who is told finds it.
        if self.is_replaced.load(Ordering::Acquire) {
            Look::Later(self.later.load())
        } else {
            Look::First(&self.first)
        }
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        self.later.load_full()
    }

    pub(crate) fn store(&self, next: T) {
        self.later.store(Arc::new(next));
        self.is_replaced.store(true, Ordering::Release);
    }
}

impl<T> Deref for Look<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::First(first) => first,
            Self::Later(later) => later,
        }
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_looks_keeps_what_he_sees_and_the_next_sees_what_is_new() {
        let latest = Latest::new(1);
        let look = latest.load();

        for next in 2..=3 {
            latest.store(next);
            assert_eq!(*latest.load(), next);
            assert_eq!(*latest.load_full(), next);
        }

        assert_eq!(*look, 1);
    }
}
