use tokio::time::Instant;
use watertight_core::Key;

use super::span::{Now, Span};
use super::taken::Taken;
use super::two_counters::{Packing, TwoCounters};
use crate::decision::Meter;
use crate::tables::Tables;
use crate::words::{Unchanged, Words};
use crate::{Decision, Quota};

/// A sliding window of one quota, whose two counters are one word for every key.
#[derive(Debug)]
pub(crate) struct WordWindow<W> {
    span: Span,
    packing: Packing,
    words: W,
    /// The windows before this one, in which keys are still found that nobody has asked for since,
    /// the latest first.
    before: Vec<Past<W>>,
    /// What was taken before the quota was changed counts no more from then on.
    settled_at: Instant,
}

/// A window that another took the place of.
#[derive(Clone, Debug)]
struct Past<W> {
    span: Span,
    packing: Packing,
    words: W,
    changed_at: Instant,
}

impl<W: Words> WordWindow<W> {
    /// How many changes are remembered. A key that is not asked for in as many starts anew.
    const MOST: usize = 8;

    /// Makes the window of a valid quota, if its counters fit in a word. `words` are untouched, and
    /// of no other machine.
    pub(crate) fn new(quota: &Quota, words: W, epoch: Instant) -> Option<Self> {
        let span = Span::new(quota, 1, epoch);
        Some(Self {
            packing: Packing::of(&span)?,
            span,
            words,
            before: Vec::new(),
            settled_at: epoch,
        })
    }

    /// Makes the window of another quota, which takes the place of this one at `now`, if its
    /// counters fit. What was taken stays taken. `words` are new ones again.
    pub(crate) fn followed_by(&self, quota: &Quota, words: W, now: Instant) -> Option<Self> {
        let mut next = Self::new(quota, words, self.span.epoch())?;
        next.before.push(Past {
            span: self.span.clone(),
            packing: self.packing,
            words: self.words.clone(),
            changed_at: now,
        });
        if now < self.settled_at {
            let older = self.before.iter().take(Self::MOST - 1);
            next.before.extend(older.cloned());
        }
        next.settled_at = now + 2 * next.span.period();
        Some(next)
    }

    /// Returns how long it takes until nothing is left of what is in a word, in nanoseconds.
    #[inline]
    pub(crate) fn worth(&self, word: u64, now: Instant) -> u64 {
        let at = self.span.at(now);
        self.packing.unpack(word).falls_to(0, at, &self.span) - at
    }

    /// Returns the word of a key that nobody has asked for since the quota was changed.
    #[inline]
    fn fresh(&self, key: Option<Key>, now: Instant) -> u64 {
        if now >= self.settled_at || self.before.is_empty() {
            return 0;
        }
        self.packing.pack(inherited(&self.before, key, &self.span))
    }

    /// Makes of what was taken what `change` says, unless that is nothing.
    #[inline]
    fn update(
        &self,
        key: Option<Key>,
        now: Instant,
        mut change: impl FnMut(&mut TwoCounters, u64) -> bool,
    ) -> Result<u64, Unchanged> {
        let at = self.span.at(now);
        let fresh = self.fresh(key, now);
        let worth = |word| self.worth(word, now);
        self.words.update(key, 0, fresh, worth, |word| {
            let mut taken = self.packing.unpack(word);
            taken.advance(at, &self.span);
            change(&mut taken, at).then(|| self.packing.pack(taken))
        })
    }

    /// Takes `cost`, all of it or nothing.
    #[inline]
    fn take_all(&self, key: Option<Key>, cost: u64, now: Instant) -> Result<u64, Unchanged> {
        self.update(key, now, |taken, at| {
            let has = self.span.room(taken, at) >= cost;
            if has {
                taken.add(cost, &self.span, at);
            }
            has
        })
    }

    /// Says what becomes of a call of `cost` by the word of its key, and how the quota stands.
    #[inline]
    fn decide(&self, word: u64, cost: u64, now: Instant) -> Decision {
        let at = self.span.at(now);
        let mut taken = self.packing.unpack(word);
        taken.advance(at, &self.span);
        self.span.decide(&taken, cost, Now { at, asked: at })
    }

    #[cold]
    fn refused(&self, unchanged: Unchanged, cost: u64, now: Instant) -> Decision {
        match unchanged {
            Unchanged::Word(word) => self.decide(word, cost, now),
            // What fills it is whole after two periods.
            Unchanged::NoRoom => self.span.no_room(2 * self.span.period()),
        }
    }
}

impl WordWindow<Tables> {
    /// Makes room for keys.
    pub(crate) fn make_room(&self) {
        self.words.make();
    }

    /// Returns how many keys have something to get back. `None` if there are no keys.
    pub(crate) fn keys(&self, now: Instant) -> Option<usize> {
        self.words.len(0, |word| self.worth(word, now))
    }

    /// Returns how many keys were forgotten before they had. `None` if there are no keys.
    pub(crate) fn evicted(&self) -> Option<u64> {
        self.words.evicted()
    }
}

impl<W: Words> Meter for WordWindow<W> {
    #[inline]
    fn take(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        if cost == 0 {
            return self.peek(key, cost, now);
        }
        match self.take_all(key, cost, now) {
            Ok(word) => self.decide(word, 0, now),
            Err(unchanged) => self.refused(unchanged, cost, now),
        }
    }

    #[inline]
    fn pass(&self, key: Option<Key>, cost: u64, now: Instant) -> Result<(), Decision> {
        match self.take_all(key, cost, now) {
            Ok(_) => Ok(()),
            Err(unchanged) => self.refused(unchanged, cost, now).passed(),
        }
    }

    fn take_up_to(&self, key: Option<Key>, most: u64, now: Instant) -> (u64, Decision) {
        let mut here = 0;
        let updated = self.update(key, now, |taken, at| {
            here = self.span.room(taken, at).min(most);
            taken.add(here, &self.span, at);
            here > 0
        });
        match updated {
            Ok(word) => (here, self.decide(word, 0, now)),
            Err(unchanged) => (0, self.refused(unchanged, most.min(1), now)),
        }
    }

    fn peek(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        let word = match self.words.word(key, 0) {
            0 => self.fresh(key, now),
            word => word,
        };
        self.decide(word, cost, now)
    }

    fn give_back(&self, key: Option<Key>, cost: u64, now: Instant) {
        // A key for which there is no room has nothing to be given back.
        let given_back = self.update(key, now, |taken, at| {
            let before = *taken;
            taken.remove(cost, at, &self.span);
            *taken != before
        });
        if given_back.is_ok() && now < self.settled_at {
            // A key that is whole gives way, and would be found there again as it was.
            self.before
                .iter()
                .for_each(|past| past.words.forget(key, 0));
        }
    }

    fn charge(&self, key: Option<Key>, cost: u64, now: Instant) {
        // A key for which there is no room gets nothing anyhow.
        let _ = self.update(key, now, |taken, at| {
            let charged = self.span.room_for_penalty(taken, at).min(cost);
            taken.add(charged, &self.span, at);
            charged > 0
        });
    }
}

/// Returns what was taken of `key` by what was `before`, the latest first, as it is in `span`.
#[cold]
fn inherited<W: Words>(before: &[Past<W>], key: Option<Key>, span: &Span) -> TwoCounters {
    let Some((past, older)) = before.split_first() else {
        return TwoCounters::new(span);
    };
    let mut taken = match past.words.word(key, 0) {
        0 => inherited(older, key, &past.span),
        word => past.packing.unpack(word),
    };
    let changed_at = past.span.at(past.changed_at);
    taken.advance(changed_at, &past.span);
    taken.carried(changed_at, &past.span, span)
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::words::Direct;

    const SECOND: Duration = Duration::from_secs(1);

    fn window(quota: Quota) -> (WordWindow<Direct>, Instant) {
        let epoch = Instant::now();
        let window = WordWindow::new(&quota, Direct::new(1), epoch);
        (window.expect("it fits"), epoch)
    }

    fn remaining(window: &WordWindow<Direct>, now: Instant) -> u64 {
        window.peek(None, 0, now).status.remaining
    }

    /// The example that the way of counting became known by: 42 in the minute before, 18 in the 15
    /// seconds of the present one, and so 42 x 45 / 60 + 18 = 49.5.
    #[test]
    fn the_period_before_fades_as_the_present_one_goes_on() {
        let (window, epoch) = window(Quota::per_minute(50));
        assert!(window.take(None, 42, epoch + SECOND).admitted);
        let now = epoch + 75 * SECOND;
        assert!(window.take(None, 18, now).admitted);

        assert_eq!(remaining(&window, now), 0);
        let refused = window.take(None, 1, now);
        assert_eq!(refused.retry_after, Some(Duration::from_nanos(714_285_715)));
        assert_eq!(refused.status.reset, 105 * SECOND);
    }

    #[test]
    fn counters_that_do_not_fit_in_a_word_are_not_put_there() {
        for (quota, fits) in [
            (Quota::per_second(65_535).debt(0), true),
            (Quota::per_second(65_536).debt(0), false),
            (Quota::per_second(32_768), false),
            (Quota::per_day(10_000_000).debt(0), true),
            (Quota::new(1, Duration::from_nanos(1)), false),
            (Quota::new(1 << 22, Quota::MAX_PERIOD), true),
        ] {
            let window = WordWindow::new(&quota, Direct::new(1), Instant::now());
            assert_eq!(window.is_some(), fits, "{quota:?}");
        }
    }

    #[test]
    fn a_time_that_steps_back_creates_nothing_and_loses_nothing() {
        let (window, epoch) = window(Quota::per_minute(10));
        let now = epoch + 90 * SECOND;
        window.take(None, 4, now);

        assert_eq!(remaining(&window, epoch), 6);
        assert!(window.take(None, 6, epoch).admitted);
        assert!(!window.take(None, 1, epoch).admitted);

        assert_eq!(remaining(&window, now), 0);
        assert_eq!(remaining(&window, epoch + 180 * SECOND), 10);
    }

    #[test]
    fn what_was_taken_stays_taken_when_the_quota_changes() {
        for (quota, left) in [
            (Quota::per_minute(10), 4),
            (Quota::per_minute(100), 94),
            (Quota::per_minute(5), 0),
            (Quota::per_hour(10), 4),
            (Quota::per_second(10), 4),
        ] {
            let (before, epoch) = window(Quota::per_minute(10));
            let now = epoch + 10 * SECOND;
            before.take(None, 6, now);

            let window = before.followed_by(&quota, Direct::new(1), now);
            let window = window.expect("it fits");

            assert_eq!(remaining(&window, now), left, "{quota:?}");
            let whole = now + 2 * quota.period();
            assert_eq!(remaining(&window, whole), quota.tokens());
        }
    }

    #[test]
    fn what_had_faded_when_the_quota_changed_is_not_taken_over() {
        let (before, epoch) = window(Quota::per_second(10));
        before.take(None, 6, epoch);

        let now = epoch + 10 * SECOND;
        let window = before.followed_by(&Quota::per_hour(10), Direct::new(1), now);

        assert_eq!(remaining(&window.expect("it fits"), now), 10);
    }

    #[test]
    fn a_key_is_found_behind_several_changes() {
        let (window, epoch) = window(Quota::per_hour(10));
        window.take(None, 6, epoch);

        let mut next = window;
        for minute in 1..=5 {
            let now = epoch + minute * 60 * SECOND;
            let followed = next.followed_by(&Quota::per_hour(10), Direct::new(1), now);
            next = followed.expect("it fits");
        }
        let now = epoch + 301 * SECOND;
        assert!(!next.take(None, 5, now).admitted);
        assert!(next.take(None, 4, now).admitted);

        next.give_back(None, 2, now);
        assert_eq!(remaining(&next, now), 2);
    }
}
