use std::array;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is known of the calls that take longer than a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Testimony {
    /// They end after this time.
    Ends(u64),
    /// They do not end, as far as anybody has waited.
    Hangs,
    /// Nobody has seen any.
    Unknown,
}

/// What became of a call that took longer than the limit of its time. All times are in nanoseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Late {
    /// It was answered after this time.
    Ended(u64),
    /// It had no good answer until then, which is as long as it could be waited for.
    Hung(u64),
    /// Its caller went away then.
    GivenUp(u64),
}

/// The calls that set out last, of those that are known to have taken longer than the limit.
///
/// Those that did not say nothing. They are a hundred times as many, and would leave these no room.
/// Two that come in the same moment may mix their figures up, and never make one up.
#[derive(Debug)]
pub(crate) struct Heard([Entry; MOST]);

/// More than enough: half of what they say is what the last one does.
const MOST: usize = 16;

#[derive(Debug, Default)]
struct Entry {
    /// When it set out. 0 is none.
    since: AtomicU64,
    /// What became of it.
    late: AtomicU64,
}

impl Late {
    pub(crate) const fn after(self) -> u64 {
        match self {
            Self::Ended(after) | Self::Hung(after) | Self::GivenUp(after) => after,
        }
    }

    const fn word(self) -> u64 {
        let kind = match self {
            Self::Ended(_) => 0,
            Self::Hung(_) => 1,
            Self::GivenUp(_) => 2,
        };
        self.after() << 2 | kind
    }

    const fn of_word(word: u64) -> Self {
        let after = word >> 2;
        match word & 3 {
            0 => Self::Ended(after),
            1 => Self::Hung(after),
            _ => Self::GivenUp(after),
        }
    }
}

impl Heard {
    pub(crate) fn new() -> Self {
        Self(array::from_fn(|_| Entry::default()))
    }

    /// Adds one that has set out at this time, in place of the one that has done so first.
    pub(crate) fn add(&self, since: u64, late: Late) {
        let at = |entry: &&Entry| entry.since.load(Ordering::Relaxed);
        if let Some(first) = self.0.iter().min_by_key(at)
            && at(&first) <= since
        {
            first.since.store(since, Ordering::Relaxed);
            first.late.store(late.word(), Ordering::Relaxed);
        }
    }

    /// Returns when those have set out that took longer than `limit`, and what became of them.
    pub(crate) fn longer_than(&self, limit: u64) -> impl Iterator<Item = (u64, Late)> {
        self.0.iter().filter_map(move |entry| {
            let late = Late::of_word(entry.late.load(Ordering::Relaxed));
            (late.after() > limit).then(|| (entry.since.load(Ordering::Relaxed), late))
        })
    }
}

/// Those of some that have set out last.
#[derive(Debug, Default)]
pub(crate) struct Last {
    /// From the last one on.
    late: [(u64, Option<Late>); Self::MOST],
}

impl Last {
    /// One in 256 goes by the last of them.
    const MOST: usize = 8;

    pub(crate) fn add(&mut self, since: u64, late: Late) {
        let mut carried = (since, Some(late));
        for place in &mut self.late {
            if place.1.is_none() || place.0 < carried.0 {
                mem::swap(place, &mut carried);
            }
        }
    }

    /// Returns the one that set out so many before the last, or the nearest to it.
    pub(crate) fn the_last_but(&self, back: usize) -> Option<Late> {
        let known = self.late.iter().map_while(|(_, it)| *it);
        known.take(back.saturating_add(1)).last()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 100;

    fn late(after: u64, kind: u8) -> Late {
        match kind {
            0 => Late::Ended(after),
            1 => Late::Hung(after),
            _ => Late::GivenUp(after),
        }
    }

    #[test]
    fn one_of_long_ago_takes_nobodys_place() {
        let heard = Heard::new();
        for since in 2..2 + MOST as u64 {
            heard.add(since, Late::Ended(200));
        }

        heard.add(1, Late::Hung(200));

        let mut all = heard.longer_than(LIMIT);
        assert!(all.all(|(_, late)| late == Late::Ended(200)));
    }

    proptest! {
        #[test]
        fn they_are_heard_the_last_but_that_set_out(
            calls in prop::collection::vec((1..1_000_u64, 50..200_u64, 0..3_u8), 0..40),
            back in 0..12_usize,
        ) {
            let heard = Heard::new();
            let mut known = Vec::new();
            for (n, (since, after, kind)) in (0..).zip(calls) {
                // No two set out in the same moment.
                let since = since * 64 + n;
                heard.add(since, late(after, kind));
                known.push((since, after, kind));
            }
            known.sort_unstable();
            known.reverse();
            known.truncate(MOST);
            known.retain(|(_, after, _)| *after > LIMIT);

            let mut last = Last::default();
            heard.longer_than(LIMIT).for_each(|(since, it)| last.add(since, it));

            let back = back.min(known.len().saturating_sub(1)).min(Last::MOST - 1);
            let expected = known.get(back).map(|(_, after, kind)| late(*after, *kind));
            prop_assert_eq!(last.the_last_but(back), expected);
        }
    }
}
