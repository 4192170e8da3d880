use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::LIMIT;
use super::wakers::SharedWaker;

/// What the services of one layer share.
#[derive(Debug)]
pub(crate) struct Limit {
    free: AtomicUsize,
    pub(crate) refused: AtomicUsize,
    /// Whether the next `poll_ready` fails.
    pub(crate) broken: AtomicBool,
    twin: OnceLock<Arc<Self>>,
    pub(crate) waker: Arc<SharedWaker>,
}

impl Limit {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            free: AtomicUsize::new(places),
            refused: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            twin: OnceLock::new(),
            waker: Arc::default(),
        })
    }

    /// Returns a limit that has nothing to do with this one.
    pub(crate) fn twin(&self) -> Arc<Self> {
        Arc::clone(self.twin.get_or_init(|| Self::new(LIMIT)))
    }

    pub(crate) fn take(self: &Arc<Self>) -> Option<Permit> {
        self.free
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| {
                free.checked_sub(1)
            })
            .ok()?;
        Some(Permit(Some(Arc::clone(self))))
    }

    /// Takes up a permit that was lost.
    pub(crate) fn regain(self: &Arc<Self>) -> Permit {
        Permit(Some(Arc::clone(self)))
    }
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Option<Arc<Limit>>);

impl Permit {
    /// A permit for nothing.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn lose(&mut self) {
        self.0 = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(limit) = &self.0 {
            limit.free.fetch_add(1, Ordering::SeqCst);
        }
    }
}
