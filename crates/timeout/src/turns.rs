use std::sync::atomic::{AtomicU64, Ordering};

/// Whose turn it is to explore, of the calls that a thread numbers.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The number of the call that explores next. 0 before the first call.
    next: AtomicU64,
}

impl Turns {
    /// Returns whether it is the turn of the call of this number, if one in `every` explores.
    #[inline]
    pub(crate) fn is_up(&self, number: u64, every: u64) -> bool {
        number >= self.next.load(Ordering::Relaxed) && self.pass(number, every)
    }

    #[cold]
    fn pass(&self, number: u64, every: u64) -> bool {
        // The first waits for half of its turn: it may be that few calls ever come this way.
        let next = number.saturating_add(every);
        let first = self.next.swap(next, Ordering::Relaxed) == 0 && every > 1;
        if first {
            let half = number.saturating_add(every / 2);
            self.next.store(half, Ordering::Relaxed);
        }
        !first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_in_so_many_explores() {
        for every in [1, 2, 100] {
            let turns = Turns::default();

            let explore = (0..1_000).filter(|number| turns.is_up(*number, every));

            assert_eq!(explore.count() as u64, 1_000 / every, "{every}");
        }
    }

    #[test]
    fn hardly_ever_is_never() {
        let turns = Turns::default();
        turns.is_up(0, 100);

        let explore = (1..=1_000).filter(|number| turns.is_up(*number, u64::MAX));

        // Whose turn it is already.
        assert_eq!(explore.count(), 1);
    }
}
