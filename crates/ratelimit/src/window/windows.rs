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
/// A decision takes the lock of its key, and of a shard of the map if there are keys.
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
