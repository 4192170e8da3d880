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
    /// It had no good answer until then.
    Hung(u64),
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
    const fn word(self) -> u64 {
        match self {
            Self::Ended(after) => after << 1,
            Self::Hung(after) => after << 1 | 1,
        }
    }

    /// Returns what it says of calls that take longer than `limit`.
    const fn speak(word: u64, limit: u64) -> Testimony {
        let after = word >> 1;
        match word & 1 {
            _ if after <= limit => Testimony::Unknown,
            0 => Testimony::Ends(after),
            _ => Testimony::Hangs,
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

    /// Returns when those have set out that took longer than `limit`, and what they say.
    pub(crate) fn longer_than(&self, limit: u64) -> impl Iterator<Item = (u64, Testimony)> {
        self.0.iter().filter_map(move |entry| {
            let late = entry.late.load(Ordering::Relaxed);
            let testimony = Late::speak(late, limit);
            (testimony != Testimony::Unknown)
                .then(|| (entry.since.load(Ordering::Relaxed), testimony))
        })
    }
}

/// Those of some that have set out last.
#[derive(Debug, Default)]
pub(crate) struct Last {
    /// From the last one on.
    testimonies: [(u64, Option<Testimony>); Self::MOST],
}

impl Last {
    /// One in 256 goes by the last of them.
    const MOST: usize = 8;

    pub(crate) fn add(&mut self, since: u64, testimony: Testimony) {
        let mut carried = (since, Some(testimony));
        for place in &mut self.testimonies {
            if place.1.is_none() || place.0 < carried.0 {
                mem::swap(place, &mut carried);
            }
        }
    }

    /// Returns what the one says that set out so many before the last, or the nearest to it.
    pub(crate) fn the_last_but(&self, back: usize) -> Testimony {
        let known = self.testimonies.iter().map_while(|(_, it)| *it);
        known.take(back + 1).last().unwrap_or(Testimony::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 100;

    fn late(after: u64, hangs: bool) -> Late {
        if hangs {
            Late::Hung(after)
        } else {
            Late::Ended(after)
        }
    }

    #[test]
    fn one_of_long_ago_takes_nobodys_place() {
        let heard = Heard::new();
        for since in 2..2 + MOST as u64 {
            heard.add(since, Late::Ended(200));
        }

        heard.add(1, Late::Hung(200));

        let mut testimonies = heard.longer_than(LIMIT);
        assert!(testimonies.all(|(_, testimony)| testimony == Testimony::Ends(200)));
    }

    proptest! {
        #[test]
        fn they_are_heard_the_last_but_that_set_out(
            calls in prop::collection::vec((1..1_000_u64, 50..200_u64, any::<bool>()), 0..40),
            back in 0..12_usize,
        ) {
            let heard = Heard::new();
            let mut known = Vec::new();
            for (n, (since, after, hangs)) in (0..).zip(calls) {
                // No two set out in the same moment.
                let since = since * 64 + n;
                heard.add(since, late(after, hangs));
                known.push((since, after, hangs));
            }
            known.sort_unstable();
            known.reverse();
            known.truncate(MOST);
            known.retain(|(_, after, _)| *after > LIMIT);

            let mut last = Last::default();
            heard.longer_than(LIMIT).for_each(|(since, it)| last.add(since, it));

            let back = back.min(known.len().saturating_sub(1)).min(Last::MOST - 1);
            let expected = match known.get(back) {
                None => Testimony::Unknown,
                Some((_, _, true)) => Testimony::Hangs,
                Some((_, after, false)) => Testimony::Ends(*after),
            };
            prop_assert_eq!(last.the_last_but(back), expected);
        }
    }
}
