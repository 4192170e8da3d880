use std::sync::atomic::{AtomicU64, Ordering};

/// The least that a figure has been for a while: one that has risen for a moment has not risen.
#[derive(Debug)]
pub(crate) struct Lasting {
    /// The least of this period, and of the one before it.
    least: AtomicU64,
    before: AtomicU64,
    /// When the period ends.
    until: AtomicU64,
}

impl Lasting {
    pub(crate) const fn new() -> Self {
        Self {
            least: AtomicU64::new(u64::MAX),
            before: AtomicU64::new(u64::MAX),
            until: AtomicU64::new(0),
        }
    }

    /// Adds a figure. Returns the least one of the last `period` at least, and of twice that at
    /// most.
    pub(crate) fn add(&self, figure: u64, now: u64, period: u64) -> u64 {
        let until = self.until.load(Ordering::Relaxed);
        if now >= until && self.begins(until, now + period) {
            let least = self.least.swap(u64::MAX, Ordering::Relaxed);
            self.before.store(least, Ordering::Relaxed);
        }
        let least = self.least.fetch_min(figure, Ordering::Relaxed).min(figure);
        least.min(self.before.load(Ordering::Relaxed))
    }

    /// Whether it is this thread that begins the next period.
    fn begins(&self, until: u64, next: u64) -> bool {
        self.until
            .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_when_all_have_been_higher_for_long() {
        let lasting = Lasting::new();
        assert_eq!(lasting.add(5, 0, 10), 5);
        assert_eq!(lasting.add(9, 1, 10), 5);
        assert_eq!(lasting.add(8, 10, 10), 5);
        assert_eq!(lasting.add(9, 19, 10), 5);

        assert_eq!(lasting.add(9, 20, 10), 8);
        assert_eq!(lasting.add(9, 30, 10), 9);
    }

    #[test]
    fn sinks_at_once() {
        let lasting = Lasting::new();
        lasting.add(5, 0, 10);

        assert_eq!(lasting.add(3, 1, 10), 3);
    }
}
