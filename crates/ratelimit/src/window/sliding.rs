use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Key, Keyed, Padded};

use super::entry::{Entry, Spans, Windows, WindowsAt};
use super::span::Span;
use super::taken::Taken;
use crate::decision::Meter;
use crate::{Decision, Quotas};

/// Sliding windows: one for each quota, and of each for every key that there is a place for.
///
/// A decision takes the lock of its key, and of a shard of the map if there are keys.
#[derive(Debug)]
pub(crate) struct SlidingWindow<T> {
    spans: Spans,
    places: Places<T>,
    epoch: Instant,
}

/// How many keys there may be, and what becomes of one more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Room {
    pub(crate) max_keys: usize,
    /// Whether the key that is whole again first gives way. Otherwise only one that is whole does,
    /// and where there is none, the new key is refused.
    pub(crate) evicts: bool,
}

#[derive(Clone, Debug)]
enum Places<T> {
    Direct(Arc<Padded<Entry<T>>>),
    Keyed {
        entries: Arc<Keyed<Entry<T>>>,
        room: Room,
        /// After how long an entry that nobody uses is forgotten: it is whole by then.
        idle: Duration,
    },
}

impl<T: Taken> SlidingWindow<T> {
    /// Makes the windows of valid quotas, each in so many buckets, for each of the keys that there
    /// is `room` for, or for all calls together.
    pub(crate) fn new(quotas: &Quotas, buckets: u32, room: Option<Room>, epoch: Instant) -> Self {
        let spans = Spans {
            all: spans(quotas, buckets, epoch),
            change: 0,
        };
        Self {
            places: match room {
                None => Places::Direct(Arc::new(Padded(Entry::new(&spans, true)))),
                Some(room) => Places::keyed(room, &spans, Entry::new(&spans, false)),
            },
            spans,
            epoch,
        }
    }

    /// Makes the windows of other quotas, which take the place of these at `now`.
    ///
    /// What has been taken stays taken, of the quota of the same period, or else of the one in the
    /// same place.
    pub(crate) fn followed_by(&self, quotas: &Quotas, buckets: u32, now: Instant) -> Self {
        let spans = Spans {
            all: spans(quotas, buckets, self.epoch),
            change: self.spans.change + 1,
        };
        let mut places = self.places.clone();
        if let Places::Keyed {
            entries,
            room,
            idle,
        } = &self.places
            && *idle < rest(&spans)
        {
            // What is taken while they move counts no more, but only then.
            places = Places::keyed(*room, &spans, entries.overflow().copy());
            entries.for_each(|key, entry| places.insert(key, entry, now));
        }
        Self {
            spans,
            places,
            epoch: self.epoch,
        }
    }

    /// Returns how many keys have an entry.
    pub(crate) fn keys(&self) -> usize {
        match &self.places {
            Places::Direct(_) => 0,
            Places::Keyed { entries, .. } => entries.len(),
        }
    }

    /// Returns how many keys have given way to new ones before they were forgotten for their age.
    pub(crate) fn evicted(&self) -> u64 {
        match &self.places {
            Places::Direct(_) => 0,
            Places::Keyed { entries, .. } => entries.evicted(),
        }
    }

    /// Returns what `look` makes of the windows of `key`, or of untouched ones: it does not make an
    /// entry.
    fn look<R>(
        &self,
        key: Option<Key>,
        now: Instant,
        look: impl FnOnce(&mut WindowsAt<'_, T>) -> R,
    ) -> R {
        match (&self.places, key) {
            (Places::Keyed { entries, .. }, Some(key)) => match entries.get(key) {
                Some(entry) => look(&mut entry.lock().at(now, &self.spans)),
                None => look(&mut Windows::new(&self.spans).at(now, &self.spans)),
            },
            (Places::Keyed { entries, .. }, None) => {
                look(&mut entries.overflow().lock().at(now, &self.spans))
            }
            (Places::Direct(entry), _) => look(&mut entry.lock().at(now, &self.spans)),
        }
    }

    /// Returns what `change` makes of the windows of `key`. `None`: there is no room for it.
    fn update<R>(
        &self,
        key: Option<Key>,
        now: Instant,
        change: impl FnOnce(&mut WindowsAt<'_, T>) -> R,
    ) -> Option<R> {
        let (Places::Keyed { entries, room, .. }, Some(key)) = (&self.places, key) else {
            return Some(self.look(key, now, change));
        };
        let fresh = || Entry::new(&self.spans, room.evicts);
        let entry = entries.get_or_insert(key, || now, fresh);
        if !room.evicts && Arc::ptr_eq(&entry, entries.overflow()) {
            return None;
        }
        Some(change(&mut entry.lock().at(now, &self.spans)))
    }

    /// Refuses a call for whose key there is no room.
    #[cold]
    fn no_room(&self, now: Instant) -> Decision {
        let untouched = Windows::<T>::new(&self.spans).at(now, &self.spans).decide(0);
        let mut status = untouched.status;
        status.remaining = 0;
        status.reset = status.window;
        Decision::refused(status, Some(status.reset))
    }
}

impl<T: Taken> Places<T> {
    /// Makes places for keys. Calls that have none share the `overflow`.
    fn keyed(room: Room, spans: &Spans, overflow: Entry<T>) -> Self {
        let idle = rest(spans);
        Self::Keyed {
            entries: Arc::new(Keyed::new(room.max_keys, idle, Arc::new(overflow))),
            room,
            idle,
        }
    }

    fn insert(&self, key: Key, entry: &Entry<T>, now: Instant) {
        if let Self::Keyed { entries, .. } = self {
            entries.get_or_insert(key, || now, || entry.copy());
        }
    }
}

fn spans(quotas: &Quotas, buckets: u32, epoch: Instant) -> Arc<[Span]> {
    let quotas = quotas.as_slice().iter();
    quotas.map(|quota| Span::new(quota, buckets, epoch)).collect()
}

/// Returns how long it takes at most until windows that nobody uses are whole.
fn rest(spans: &Spans) -> Duration {
    let longest = spans.all.iter().map(Span::period).max();
    2 * longest.unwrap_or_default()
}

impl<T: Taken> Meter for SlidingWindow<T> {
    #[inline]
    fn take(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        if cost == 0 {
            return self.peek(key, cost, now);
        }
        self.update(key, now, |windows| windows.take(cost))
            .unwrap_or_else(|| self.no_room(now))
    }

    fn take_up_to(&self, key: Option<Key>, most: u64, now: Instant) -> (u64, Decision) {
        self.update(key, now, |windows| windows.take_up_to(most))
            .unwrap_or_else(|| (0, self.no_room(now)))
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
