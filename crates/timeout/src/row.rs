use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

/// The calls that were cut off since an answer was heard of.
///
/// A few are the tail of a service that is well. Where many are cut off in a row, something has
/// happened of which those who explored before know nothing: what they say of the first few must
/// not count either.
#[derive(Debug)]
pub(crate) struct Row {
    length: AtomicU64,
    /// When it began, in nanoseconds.
    since: AtomicU64,
    /// As what the first of them count, in nanoseconds. 0 is none.
    held: [AtomicU64; LONG],
}

/// A row of so many is a long one.
const LONG: usize = 4;

/// The place of a call in the row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// It is one of a few.
    Early(usize),
    /// It is one of many, the first of which was cut off at this time.
    Late(u64),
}

impl Row {
    pub(crate) fn new() -> Self {
        Self {
            length: AtomicU64::new(0),
            since: AtomicU64::new(0),
            held: array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Adds a call that is cut off now.
    pub(crate) fn add(&self, now: u64) -> Place {
        let place = self.length.fetch_add(1, Ordering::Relaxed) as usize;
        if place == 0 {
            self.since.store(now, Ordering::Relaxed);
        }
        if place < LONG {
            return Place::Early(place);
        }
        if place == LONG {
            self.held().for_each(drop);
        }
        Place::Late(self.since.load(Ordering::Relaxed))
    }

    /// Holds as what an early call counts until an answer is heard of.
    pub(crate) fn hold(&self, place: usize, nanos: u64) {
        self.held[place].store(nanos, Ordering::Relaxed);
    }

    /// Takes note of an answer, which ends the row. Returns what was held.
    pub(crate) fn end(&self) -> impl Iterator<Item = u64> {
        let held = if self.length.load(Ordering::Relaxed) == 0 {
            None
        } else {
            self.length.store(0, Ordering::Relaxed);
            Some(self.held())
        };
        held.into_iter().flatten()
    }

    fn held(&self) -> impl Iterator<Item = u64> {
        let held = self.held.iter().map(|it| it.swap(0, Ordering::Relaxed));
        held.filter(|nanos| *nanos > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_one_counts_when_an_answer_is_heard_of() {
        let row = Row::new();
        for nanos in 1..=3 {
            let Place::Early(place) = row.add(0) else {
                panic!("it is short");
            };
            row.hold(place, nanos);
        }

        assert_eq!(row.end().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(row.end().count(), 0);
        assert_eq!(row.add(0), Place::Early(0));
    }

    #[test]
    fn a_long_one_counts_by_those_who_have_set_out_since_it_began() {
        let row = Row::new();
        for place in 0..LONG {
            assert_eq!(row.add(7), Place::Early(place));
            row.hold(place, 1);
        }

        assert_eq!(row.add(9), Place::Late(7));
        assert_eq!(row.end().count(), 0);
    }
}
