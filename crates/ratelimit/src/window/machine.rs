use tokio::time::Instant;
use watertight_core::Key;

use super::{Buckets, Log, Room, SlidingWindow, TwoCounters, Windows, WordWindow};
use crate::decision::Meter;
use crate::tables::Tables;
use crate::words::Words;
use crate::{Decision, Quotas};

/// The machine of a [`SlidingWindow`].
#[derive(Debug)]
pub(crate) enum Window<W> {
    /// Two counters of one quota, in a word.
    Word(WordWindow<W>),
    /// Two counters of several quotas, or too large ones.
    TwoCounters(Windows<TwoCounters>),
    Buckets(Windows<Buckets>),
    Log(Windows<Log>),
}

impl<W: Words> Window<W> {
    /// Makes the machine of a valid setting and quotas. `words` are untouched, and of no other
    /// machine; they are not needed by all.
    pub(crate) fn new(
        setting: SlidingWindow,
        quotas: &Quotas,
        words: W,
        room: Room,
        now: Instant,
    ) -> Self {
        let buckets = setting.buckets();
        match setting {
            SlidingWindow::Approximate => {
                let in_word = match quotas.as_slice() {
                    [quota] => WordWindow::new(quota, words, now),
                    _ => None,
                };
                match in_word {
                    Some(window) => Self::Word(window),
                    None => Self::TwoCounters(Windows::new(quotas, buckets, room, now)),
                }
            }
            SlidingWindow::Buckets(_) => Self::Buckets(Windows::new(quotas, buckets, room, now)),
            SlidingWindow::Exact => Self::Log(Windows::new(quotas, buckets, room, now)),
        }
    }

    /// Makes the machine of other settings and quotas, which take the place of these at `now`.
    ///
    /// What has been taken stays taken, unless it is now counted in another way.
    pub(crate) fn followed_by(
        &self,
        setting: SlidingWindow,
        quotas: &Quotas,
        words: W,
        room: Room,
        now: Instant,
    ) -> Self {
        let buckets = setting.buckets();
        let next = match (self, setting, quotas.as_slice()) {
            (Self::Word(window), SlidingWindow::Approximate, [quota]) => {
                let next = window.followed_by(quota, words.clone(), now);
                next.map(Self::Word)
            }
            (Self::TwoCounters(windows), SlidingWindow::Approximate, _) => {
                let next = windows.followed_by(quotas, buckets, room, now);
                Some(Self::TwoCounters(next))
            }
            (Self::Buckets(windows), SlidingWindow::Buckets(_), _) => {
                let next = windows.followed_by(quotas, buckets, room, now);
                Some(Self::Buckets(next))
            }
            (Self::Log(windows), SlidingWindow::Exact, _) => {
                Some(Self::Log(windows.followed_by(quotas, buckets, room, now)))
            }
            _ => None,
        };
        next.unwrap_or_else(|| Self::new(setting, quotas, words, room, now))
    }

    fn meter(&self) -> &dyn Meter
    where
        W: 'static,
    {
        match self {
            Self::Word(window) => window,
            Self::TwoCounters(windows) => windows,
            Self::Buckets(windows) => windows,
            Self::Log(windows) => windows,
        }
    }
}

impl Window<Tables> {
    /// Makes room for keys. A map of windows grows by itself.
    pub(crate) fn make_room(&self) {
        if let Self::Word(window) = self {
            window.make_room();
        }
    }

    /// Returns how many keys there are of which something is known. `None` if there are no keys.
    pub(crate) fn keys(&self, now: Instant) -> Option<usize> {
        match self {
            Self::Word(window) => window.keys(now),
            Self::TwoCounters(windows) => windows.keys(),
            Self::Buckets(windows) => windows.keys(),
            Self::Log(windows) => windows.keys(),
        }
    }

    /// Returns how many keys were forgotten for want of room. `None` if there are no keys.
    pub(crate) fn evicted(&self) -> Option<u64> {
        match self {
            Self::Word(window) => window.evicted(),
            Self::TwoCounters(windows) => windows.evicted(),
            Self::Buckets(windows) => windows.evicted(),
            Self::Log(windows) => windows.evicted(),
        }
    }
}

impl<W: Words + 'static> Meter for Window<W> {
    #[inline]
    fn take(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        match self {
            Self::Word(window) => window.take(key, cost, now),
            _ => self.meter().take(key, cost, now),
        }
    }

    fn pass(&self, key: Option<Key>, cost: u64, now: Instant) -> Result<(), Decision> {
        match self {
            Self::Word(window) => window.pass(key, cost, now),
            _ => self.meter().pass(key, cost, now),
        }
    }

    fn take_up_to(&self, key: Option<Key>, most: u64, now: Instant) -> (u64, Decision) {
        self.meter().take_up_to(key, most, now)
    }

    fn peek(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        self.meter().peek(key, cost, now)
    }

    fn give_back(&self, key: Option<Key>, cost: u64, now: Instant) {
        self.meter().give_back(key, cost, now);
    }

    fn charge(&self, key: Option<Key>, cost: u64, now: Instant) {
        self.meter().charge(key, cost, now);
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;
    use crate::Quota;
    use crate::window::model::ROOM;
    use crate::words::Direct;

    fn window(setting: SlidingWindow, quotas: impl Into<Quotas>) -> (Window<Direct>, Instant) {
        let (quotas, now) = (quotas.into(), Instant::now());
        assert_eq!(setting.validate(&quotas), Ok(()));
        (
            Window::new(setting, &quotas, Direct::new(1), ROOM, now),
            now,
        )
    }

    #[test]
    fn two_counters_are_in_a_word_where_they_are_of_one_quota_and_fit() {
        let quota = Quota::per_second(100);
        let in_word = |quotas: Quotas| {
            let (window, _) = window(SlidingWindow::Approximate, quotas);
            matches!(window, Window::Word(_))
        };

        assert!(in_word(quota.into()));
        assert!(!in_word(quota.and(Quota::per_hour(1_000))));
        assert!(!in_word(Quota::per_second(100_000).into()));
    }

    #[test]
    fn what_was_taken_stays_taken_as_long_as_it_is_counted_in_the_same_way() {
        use SlidingWindow::{Approximate, Buckets, Exact};

        let quota = Quota::per_minute(10);
        let large = Quota::per_minute(10_000_000);
        for (before, after, from, to, left) in [
            (Approximate, Approximate, quota, quota.into(), 4),
            (Approximate, Approximate, large, quota.into(), 4),
            (Approximate, Approximate, quota, large.into(), 10_000_000),
            (Buckets(5), Buckets(10), quota, quota.into(), 4),
            (Exact, Exact, quota, quota.and(Quota::per_hour(5)), 4),
            (Exact, Approximate, quota, quota.into(), 10),
        ] {
            let (window, now) = window(before, from);
            assert!(window.take(None, 6, now).admitted);

            let next = window.followed_by(after, &to, Direct::new(1), ROOM, now);

            let remaining = next.peek(None, 0, now).status.remaining;
            assert_eq!(remaining, left, "from {before:?} of {from:?} to {after:?}");
        }
    }
}
