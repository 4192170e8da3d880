use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much is kept of one body, and of all that share a total.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The most bytes of one body.
    pub(crate) body: usize,
    pub(crate) total: Arc<Total>,
}

impl Limits {
    /// The same for a body of which nothing is kept.
    pub(super) fn nothing(&self) -> Self {
        Self {
            body: 0,
            total: Arc::clone(&self.total),
        }
    }
}

/// The bytes that are kept of all bodies together.
#[derive(Debug)]
pub(crate) struct Total {
    max: usize,
    kept: AtomicUsize,
}

impl Total {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            max,
            kept: AtomicUsize::new(0),
        }
    }

    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    /// Takes room for so many bytes, if there is as much.
    fn take(&self, bytes: usize) -> bool {
        let taken = |kept: usize| kept.checked_add(bytes).filter(|kept| *kept <= self.max);
        self.kept
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.kept.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The room that the kept part of one body takes. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    limits: Limits,
    taken: usize,
}

impl Room {
    /// What the smallest chunk counts: a chunk takes more memory than its bytes.
    const LEAST: usize = 64;

    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, taken: 0 }
    }

    /// How much of the room a chunk of so many bytes takes.
    pub(super) fn of(bytes: usize) -> usize {
        bytes.max(Self::LEAST)
    }

    /// Takes so much more, if neither limit is in the way.
    pub(super) fn take(&mut self, more: usize) -> bool {
        let fits = self.limits.body - self.taken >= more && self.limits.total.take(more);
        if fits {
            self.taken += more;
        }
        fits
    }

    /// Gives back a part of what was taken.
    pub(super) fn give_back(&mut self, part: usize) {
        self.taken -= part;
        self.limits.total.give_back(part);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.limits.total.give_back(self.taken);
    }
}
