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
        let ahead = self.next.load(Ordering::Relaxed).saturating_sub(number);
        // Nobody waits for the turn that was his while fewer explored.
        (ahead == 0 || ahead > every) && self.pass(number, every)
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
    fn where_more_explore_than_before_they_do_so_at_once() {
        for before in [1_000, u64::MAX] {
            let turns = Turns::default();
            assert_eq!((0..10).filter(|it| turns.is_up(*it, before)).count(), 0);

            let explore = (10..1_010).filter(|number| turns.is_up(*number, 100));

            assert_eq!(explore.count(), 10, "{before}");
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
