use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Key, Keyed, Padded};

use super::entry::{Entry, KeyWindows, Spans, WindowsAt};
use super::span::Span;
use super::taken::Taken;
use crate::decision::Meter;
use crate::{Decision, Quotas, Status, WhenFull};

/// Sliding windows: one for each quota, and of each for every key that there is a place for.
///
/// A decision takes the lock of its key, and where there are keys that of a shard of their map, unless
/// the thread remembers the key.
#[derive(Debug)]
pub(crate) struct Windows<T> {
    spans: Spans,
    /// Those of the calls without a key.
    alone: Arc<Padded<Entry<T>>>,
    places: Arc<Places<T>>,
    epoch: Instant,
}

/// How many keys there may be, and what becomes of one more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Room {
    pub(crate) max_keys: usize,
    pub(crate) when_full: WhenFull,
}

#[derive(Debug)]
struct Places<T> {
    /// Made with the first key.
    entries: OnceLock<Keyed<Entry<T>>>,
    room: Room,
    /// After how long an entry that nobody uses is forgotten: it is whole by then.
    idle: Duration,
}

impl<T: Taken> Windows<T> {
    /// Makes the windows of valid quotas, each in so many buckets.
    pub(crate) fn new(quotas: &Quotas, buckets: u32, room: Room, epoch: Instant) -> Self {
        let spans = Spans::new(quotas, buckets, epoch, 0);
        Self {
            alone: Arc::new(Padded(Entry::new(&spans, WhenFull::Evict))),
            places: Arc::new(Places::new(room, &spans)),
            spans,
            epoch,
        }
    }

    /// Makes the windows of other quotas, which take the place of these at `now`.
    ///
    /// What has been taken stays taken, of the quota of the same period, or else of the one in the
    /// same place.
    pub(crate) fn followed_by(
        &self,
        quotas: &Quotas,
        buckets: u32,
        room: Room,
        now: Instant,
    ) -> Self {
        let spans = Spans::new(quotas, buckets, self.epoch, self.spans.change + 1);
        let places = if room == self.places.room && self.places.idle >= rest(&spans) {
            Arc::clone(&self.places)
        } else {
            // What is taken while they move counts no more, but only then.
            Arc::new(self.places.moved(room, &spans, now))
        };
        Self {
            alone: Arc::clone(&self.alone),
            spans,
            places,
            epoch: self.epoch,
        }
    }

    /// Returns how many keys have an entry. `None` if there are no keys.
    pub(crate) fn keys(&self) -> Option<usize> {
        self.places.entries.get().map(Keyed::len)
    }

    /// Returns how many keys were forgotten for want of room. `None` if there are no keys.
    pub(crate) fn evicted(&self) -> Option<u64> {
        self.places.entries.get().map(Keyed::evicted)
    }

    /// Returns what `look` makes of the windows of `key`, or of untouched ones: it does not make an
    /// entry.
    fn look<R>(
        &self,
        key: Option<Key>,
        now: Instant,
        look: impl FnOnce(&mut WindowsAt<'_, T>) -> R,
    ) -> R {
        let Some(key) = key else {
            return look(&mut self.alone.lock().at(now, &self.spans));
        };
        let entries = self.places.entries.get();
        match entries.and_then(|entries| entries.get(key)) {
            Some(entry) => look(&mut entry.lock().at(now, &self.spans)),
            None => look(&mut KeyWindows::new(&self.spans).at(now, &self.spans)),
        }
    }

    /// Returns what `change` makes of the windows of `key`. `None`: there is no room for it.
    fn update<R>(
        &self,
        key: Option<Key>,
        now: Instant,
        change: impl FnOnce(&mut WindowsAt<'_, T>) -> R,
    ) -> Option<R> {
        let Some(key) = key else {
            return Some(self.look(key, now, change));
        };
        let entries = self.places.entries(&self.spans);
        let when_full = self.places.room.when_full;
        let fresh = || Entry::new(&self.spans, when_full);
        let entry = entries.get_or_insert(key, || now, fresh);
        if when_full == WhenFull::Refuse && Arc::ptr_eq(&entry, entries.overflow()) {
            return None;
        }
        Some(change(&mut entry.lock().at(now, &self.spans)))
    }

    /// Refuses a call for whose key there is no room. What takes it is whole after a rest.
    #[cold]
    fn no_room(&self) -> Decision {
        let longest = self.spans.all.iter().max_by_key(|span| span.period());
        match longest {
            Some(span) => span.no_room(rest(&self.spans)),
            None => Decision::refused(Status::default(), None),
        }
    }
}

impl<T: Taken> Places<T> {
    fn new(room: Room, spans: &Spans) -> Self {
        Self {
            entries: OnceLock::new(),
            room,
            idle: rest(spans),
        }
    }

    fn entries(&self, spans: &Spans) -> &Keyed<Entry<T>> {
        self.entries.get_or_init(|| {
            let overflow = Arc::new(Entry::new(spans, WhenFull::Evict));
            Keyed::new(self.room.max_keys, self.idle, overflow)
        })
    }

    /// Makes other places for the same keys.
    fn moved(&self, room: Room, spans: &Spans, now: Instant) -> Self {
        let places = Self::new(room, spans);
        if let Some(entries) = self.entries.get() {
            let moved = places.entries(spans);
            entries.for_each(|key, entry| {
                moved.get_or_insert(key, || now, || entry.copy(room.when_full));
            });
        }
        places
    }
}

/// Returns how long it takes at most until windows that nobody uses are whole.
fn rest(spans: &Spans) -> Duration {
    let longest = spans.all.iter().map(Span::period).max();
    2 * longest.unwrap_or_default()
}

impl<T: Taken> Meter for Windows<T> {
    #[inline]
    fn take(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        if cost == 0 {
            return self.peek(key, cost, now);
        }
        self.update(key, now, |windows| windows.take(cost))
            .unwrap_or_else(|| self.no_room())
    }

    #[inline]
    fn pass(&self, key: Option<Key>, cost: u64, now: Instant) -> Result<(), Decision> {
        if cost == 0 {
            return Ok(());
        }
        self.update(key, now, |windows| windows.pass(cost))
            .unwrap_or_else(|| self.no_room().passed())
    }

    fn take_up_to(&self, key: Option<Key>, most: u64, now: Instant) -> (u64, Decision) {
        self.update(key, now, |windows| windows.take_up_to(most))
            .unwrap_or_else(|| (0, self.no_room()))
    }

    fn peek(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        self.look(key, now, |windows| windows.decide(cost))
    }

    fn give_back(&self, key: Option<Key>, cost: u64, now: Instant) {
        self.look(key, now, |windows| windows.give_back(cost));
    }

    fn charge(&self, key: Option<Key>, cost: u64, now: Instant) {
        // A key for which there is no room gets nothing anyhow.
        let _ = self.update(key, now, |windows| windows.charge(cost));
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::thread;

    use super::*;
    use crate::Quota;
    use crate::window::{Buckets, Log, TwoCounters};

    const SECOND: Duration = Duration::from_secs(1);

    fn room(max_keys: usize, when_full: WhenFull) -> Room {
        Room {
            max_keys,
            when_full,
        }
    }

    fn logs(quotas: impl Into<Quotas>, room: Room) -> (Windows<Log>, Instant) {
        let epoch = Instant::now();
        (Windows::new(&quotas.into(), 1, room, epoch), epoch)
    }

    fn key(number: u64) -> Option<Key> {
        Some(Key::of(number))
    }

    fn remaining<T: Taken>(windows: &Windows<T>, key: Option<Key>, now: Instant) -> u64 {
        windows.peek(key, 0, now).status.remaining
    }

    #[test]
    fn each_key_has_its_own_and_the_calls_without_one_share_theirs() {
        let (windows, now) = logs(Quota::per_second(2), room(10, WhenFull::Evict));

        for key in [key(1), key(2), None] {
            assert_eq!(windows.take_up_to(key, 5, now).0, 2);
            assert!(!windows.take(key, 1, now).admitted);
        }
        assert_eq!(windows.keys(), Some(2));
    }

    #[test]
    fn a_look_makes_no_entry() {
        let (windows, now) = logs(Quota::per_second(2), room(10, WhenFull::Evict));

        assert_eq!(remaining(&windows, key(1), now), 2);
        assert!(windows.take(key(1), 0, now).admitted);
        windows.give_back(key(1), 1, now);

        assert_eq!(windows.keys(), None);
    }

    #[test]
    fn a_call_takes_from_all_quotas_or_from_none() {
        let quotas = Quota::per_second(2).and(Quota::per_minute(3));
        let (windows, now) = logs(quotas, room(10, WhenFull::Evict));
        assert!(windows.take(None, 2, now).admitted);

        let too_fast = windows.take(None, 1, now);
        assert_eq!(
            (too_fast.status.quota, too_fast.retry_after),
            (0, Some(SECOND))
        );

        let now = now + SECOND;
        let too_much = windows.take(None, 2, now);
        assert_eq!(too_much.status.quota, 1);
        assert_eq!(too_much.retry_after, Some(59 * SECOND));
        let last = windows.take(None, 1, now);
        assert!(last.admitted);
        assert_eq!((last.status.quota, last.status.remaining), (1, 0));
        assert_eq!(windows.take(None, 3, now).retry_after, None);
    }

    #[test]
    fn the_key_that_is_whole_again_first_gives_way() {
        let (windows, now) = logs(Quota::per_minute(2), room(2, WhenFull::Evict));
        windows.take(key(1), 2, now + SECOND);
        windows.take(key(2), 2, now);

        let now = now + 2 * SECOND;
        assert!(windows.take(key(3), 1, now).admitted);

        assert_eq!(remaining(&windows, key(1), now), 0);
        assert_eq!(remaining(&windows, key(2), now), 2);
        assert_eq!(windows.evicted(), Some(1));
    }

    #[test]
    fn a_key_for_which_there_is_no_room_can_be_refused() {
        let (windows, now) = logs(Quota::per_minute(2), room(1, WhenFull::Refuse));
        windows.take(key(1), 1, now);

        let refused = windows.take(key(2), 1, now);
        assert_eq!(refused.retry_after, Some(120 * SECOND));
        assert_eq!(windows.take_up_to(key(2), 1, now).0, 0);
        windows.charge(key(2), 1, now);

        assert!(windows.take(key(2), 1, now + 60 * SECOND).admitted);
        assert_eq!(windows.keys(), Some(1));
    }

    #[test]
    fn a_key_that_nobody_uses_is_forgotten() {
        let (windows, now) = logs(Quota::per_second(2), room(100, WhenFull::Evict));
        for number in 0..50 {
            windows.take(key(number), 1, now);
        }

        let later = now + 10 * SECOND;
        for number in 100..150 {
            windows.take(key(number), 1, later);
        }

        assert!(windows.keys() < Some(60), "{:?}", windows.keys());
        assert_eq!(windows.evicted(), Some(0));
    }

    #[test]
    fn a_key_is_not_forgotten_before_it_is_whole() {
        let epoch = Instant::now();
        let quota = Quota::per_minute(10).into();
        let windows = Windows::<TwoCounters>::new(&quota, 1, room(100, WhenFull::Evict), epoch);
        windows.take(key(1), 10, epoch);

        let later = epoch + 90 * SECOND;
        for number in 100..150 {
            windows.take(key(number), 1, later);
        }

        assert_eq!(remaining(&windows, key(1), later), 5);
    }

    #[test]
    fn another_room_is_made_when_quotas_change() {
        let quota = Quota::per_minute(10);
        let (windows, now) = logs(quota, room(1, WhenFull::Evict));
        windows.take(key(1), 10, now);

        let windows = windows.followed_by(&quota.into(), 1, room(50, WhenFull::Refuse), now);
        for number in 2..40 {
            assert!(windows.take(key(number), 1, now).admitted);
        }

        assert_eq!(remaining(&windows, key(1), now), 0);
        assert_eq!(windows.keys(), Some(39));
    }

    #[test]
    fn a_penalty_lasts_for_a_period_and_is_bounded() {
        let quota = Quota::per_minute(10).debt(5);
        let (windows, now) = logs(quota, room(1, WhenFull::Evict));
        windows.take(None, 4, now);

        windows.charge(None, 100, now + SECOND);

        let refused = windows.take(None, 1, now + 2 * SECOND);
        assert_eq!(refused.retry_after, Some(59 * SECOND));
        windows.give_back(None, 6, now + 2 * SECOND);
        assert_eq!(remaining(&windows, None, now + 2 * SECOND), 1);
    }

    #[test]
    fn a_time_that_steps_back_creates_nothing_and_loses_nothing() {
        let (windows, epoch) = logs(Quota::per_minute(10), room(1, WhenFull::Evict));
        let now = epoch + 300 * SECOND;
        windows.take(None, 4, now);

        for (back, left) in [(epoch, 6), (epoch + 200 * SECOND, 3)] {
            assert_eq!(remaining(&windows, None, back), left);
            assert_eq!(windows.take_up_to(None, 3, back).0, 3);
            let reset = windows.peek(None, 0, back).status.reset;
            assert_eq!(back + reset, now + 60 * SECOND);
        }

        assert_eq!(remaining(&windows, None, now), 0);
        assert_eq!(remaining(&windows, None, now + 60 * SECOND), 10);
    }

    #[test]
    fn what_was_taken_stays_taken_when_the_quotas_change() {
        let (before, now) = logs(Quota::per_minute(10), room(10, WhenFull::Evict));
        before.take(key(1), 4, now);
        before.take(None, 3, now);
        let later = now + 30 * SECOND;

        let quotas = Quota::per_second(5)
            .and(Quota::per_minute(20))
            .and(Quota::per_hour(100));
        let windows = before.followed_by(&quotas, 1, room(10, WhenFull::Evict), later);

        assert_eq!(windows.peek(key(1), 16, later).retry_after, None);
        let at_rate = windows.take(key(1), 5, later);
        assert!(at_rate.admitted);
        let now = later + SECOND;
        assert_eq!(windows.take_up_to(key(1), 5, now).0, 5);
        let now = now + SECOND;
        assert_eq!(windows.take_up_to(key(1), 5, now).0, 5);
        let now = now + SECOND;
        assert_eq!(windows.take_up_to(key(1), 5, now).0, 1);
        assert_eq!(remaining(&windows, None, later), 5);
    }

    #[test]
    fn a_call_that_still_has_the_old_quotas_takes_from_the_new_ones() {
        let (before, now) = logs(Quota::per_minute(10), room(10, WhenFull::Evict));
        before.take(key(1), 4, now);
        let room = room(10, WhenFull::Evict);
        let windows = before.followed_by(&Quota::per_minute(6).into(), 1, room, now);
        windows.take(key(1), 1, now);

        assert!(!before.take(key(1), 2, now).admitted);
        assert!(before.take(key(1), 1, now).admitted);

        assert_eq!(remaining(&windows, key(1), now), 0);
    }

    #[test]
    fn keys_move_where_there_is_other_room_or_a_longer_period() {
        let (before, now) = logs(Quota::per_minute(10), room(10, WhenFull::Evict));
        before.take(key(1), 4, now);

        for (quota, max_keys) in [(Quota::per_minute(10), 20), (Quota::per_day(10), 10)] {
            let room = room(max_keys, WhenFull::Evict);
            let windows = before.followed_by(&quota.into(), 1, room, now);
            assert_eq!(remaining(&windows, key(1), now), 6);
            assert_eq!(windows.keys(), Some(1));
        }
    }

    #[test]
    fn a_key_is_remembered_for_as_long_as_the_new_period_is() {
        let room = room(100, WhenFull::Evict);
        let (before, now) = logs(Quota::per_minute(10), room);
        before.take(key(1), 4, now);
        let windows = before.followed_by(&Quota::per_day(10).into(), 1, room, now);

        let later = now + 3_600 * SECOND;
        for number in 2..40 {
            windows.take(key(number), 1, later);
        }

        assert_eq!(remaining(&windows, key(1), later), 6);
    }

    #[test]
    fn other_buckets_hold_what_these_held() {
        let now = Instant::now();
        let quotas = Quota::per_minute(100).into();
        let room = room(10, WhenFull::Evict);
        let before = Windows::<Buckets>::new(&quotas, 10, room, now);
        for second in 0..6 {
            before.take(None, 10, now + second * 10 * SECOND);
        }

        let windows = before.followed_by(&quotas, 60, room, now + 50 * SECOND);

        let left = |second| remaining(&windows, None, now + second * SECOND);
        assert_eq!([50, 80, 110, 120].map(left), [40, 60, 90, 100]);
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let (windows, now) = logs(Quota::per_minute(10_000), room(10, WhenFull::Evict));

        let taken: u64 = thread::scope(|scope| {
            let take = || {
                let takes = (0..5_000).map(|_| windows.take(key(1), 1, now));
                takes.filter(|decision| decision.admitted).count() as u64
            };
            let threads = [(); 4].map(|()| scope.spawn(take));
            threads
                .map(|thread| thread.join().unwrap())
                .into_iter()
                .sum()
        });

        assert_eq!(taken, 10_000);
    }
}
