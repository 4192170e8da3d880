use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use watertight_core::{Entry as Kept, Used};

use super::span::{Now, Span};
use super::taken::Taken;
use crate::{Decision, Quotas, Status, WhenFull};

/// The quotas of a machine, and of which change of them they are.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    pub(super) all: Arc<[Span]>,
    pub(super) change: u64,
}

/// The windows of one key, one for each quota.
#[derive(Debug)]
pub(super) struct Entry<T> {
    windows: Mutex<KeyWindows<T>>,
    /// Whether it gives way while there is something in it.
    when_full: WhenFull,
    used: Used,
}

impl Spans {
    /// Makes the windows of valid quotas, each in so many buckets.
    pub(super) fn new(quotas: &Quotas, buckets: u32, epoch: Instant, change: u64) -> Self {
        let quotas = quotas.as_slice().iter();
        Self {
            all: quotas
                .map(|quota| Span::new(quota, buckets, epoch))
                .collect(),
            change,
        }
    }
}

impl<T: Taken> Entry<T> {
    pub(super) fn new(spans: &Spans, when_full: WhenFull) -> Self {
        Self::of(KeyWindows::new(spans), when_full)
    }

    pub(super) fn copy(&self, when_full: WhenFull) -> Self {
        Self::of(self.lock().clone(), when_full)
    }

    fn of(mut windows: KeyWindows<T>, when_full: WhenFull) -> Self {
        windows.make_room();
        Self {
            windows: Mutex::new(windows),
            when_full,
            used: Used::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, KeyWindows<T>> {
        // Nothing panics while it is locked.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is whole again first goes first.
impl<T: Taken> Kept for Entry<T> {
    fn worth(&self, now: Instant) -> Option<u64> {
        let left = self.lock().left(now);
        (left == 0 || self.when_full == WhenFull::Evict).then_some(left)
    }

    #[inline]
    fn used(&self) -> &Used {
        &self.used
    }
}

/// What has been taken of each quota.
#[derive(Clone, Debug)]
pub(super) struct KeyWindows<T> {
    spans: Spans,
    taken: Box<[T]>,
    /// The latest time that was seen, in nanoseconds since the epoch: here none comes before it.
    latest: u64,
}

impl<T: Taken> KeyWindows<T> {
    pub(super) fn new(spans: &Spans) -> Self {
        Self {
            spans: spans.clone(),
            taken: spans.all.iter().map(T::new).collect(),
            latest: 0,
        }
    }

    fn make_room(&mut self) {
        for (span, taken) in self.spans.all.iter().zip(&mut self.taken) {
            taken.make_room(span);
        }
    }

    /// Goes on to `now`, and to other quotas if there are newer ones.
    pub(super) fn at(&mut self, now: Instant, spans: &Spans) -> WindowsAt<'_, T> {
        if spans.change > self.spans.change {
            self.follow(spans);
        }
        let asked = self.spans.all.first().map_or(0, |span| span.at(now));
        self.latest = self.latest.max(asked);
        for (span, taken) in self.spans.all.iter().zip(&mut self.taken) {
            taken.advance(self.latest, span);
        }
        let at = self.latest;
        WindowsAt {
            windows: self,
            now: Now { at, asked },
        }
    }

    /// Takes other quotas for these. What was taken stays taken: of the quota of the same period,
    /// or else of the one in the same place.
    fn follow(&mut self, spans: &Spans) {
        let old = &self.spans.all;
        let carry = |(place, span): (usize, &Span)| {
            let of_period = old.iter().position(|old| old.period() == span.period());
            let place = of_period.unwrap_or(place);
            match (self.taken.get(place), old.get(place)) {
                (Some(taken), Some(old)) => taken.carried(self.latest, old, span),
                _ => T::new(span),
            }
        };
        self.taken = spans.all.iter().enumerate().map(carry).collect();
        self.spans = spans.clone();
        self.make_room();
    }

    /// Returns how long it takes until there is nothing in any window, in nanoseconds.
    fn left(&self, now: Instant) -> u64 {
        let spans = self.spans.all.iter();
        let left = spans.zip(&self.taken).map(|(span, taken)| {
            let now = span.at(now);
            taken.falls_to(0, now, span) - now
        });
        left.max().unwrap_or(0)
    }
}

/// KeyWindows as they are at one time.
#[derive(Debug)]
pub(super) struct WindowsAt<'a, T> {
    windows: &'a mut KeyWindows<T>,
    now: Now,
}

impl<T: Taken> WindowsAt<'_, T> {
    pub(super) fn take(&mut self, cost: u64) -> Decision {
        match self.pass(cost) {
            Ok(()) => self.decide(0),
            Err(refused) => refused,
        }
    }

    #[inline]
    pub(super) fn pass(&mut self, cost: u64) -> Result<(), Decision> {
        if self.room() < cost {
            return Err(self.decide(cost));
        }
        if cost > 0 {
            self.add(cost);
        }
        Ok(())
    }

    pub(super) fn take_up_to(&mut self, most: u64) -> (u64, Decision) {
        let taken = self.room().min(most);
        if taken == 0 {
            return (0, self.decide(most.min(1)));
        }
        self.add(taken);
        (taken, self.decide(0))
    }

    pub(super) fn give_back(&mut self, cost: u64) {
        let at = self.now.at;
        self.each_mut(|span, taken| taken.remove(cost, at, span));
    }

    pub(super) fn charge(&mut self, cost: u64) {
        let at = self.now.at;
        self.each_mut(|span, taken| {
            let charged = span.room_for_penalty(taken, at).min(cost);
            if charged > 0 {
                taken.add(charged, span, at);
            }
        });
    }

    /// Says what becomes of a call of `cost`, and how the quotas stand.
    pub(super) fn decide(&self, cost: u64) -> Decision {
        let decisions = self.each().enumerate().map(|(quota, (span, taken))| {
            let mut decision = span.decide(taken, cost, self.now);
            decision.status.quota = quota;
            decision
        });
        let nothing = || Decision::admitted(Status::default());
        decisions.reduce(stricter).unwrap_or_else(nothing)
    }

    /// Returns how much all windows have room for.
    fn room(&self) -> u64 {
        let room = self
            .each()
            .map(|(span, taken)| span.room(taken, self.now.at));
        room.min().unwrap_or(0)
    }

    fn add(&mut self, cost: u64) {
        let at = self.now.at;
        self.each_mut(|span, taken| taken.add(cost, span, at));
    }

    fn each(&self) -> impl Iterator<Item = (&Span, &T)> {
        self.windows.spans.all.iter().zip(&self.windows.taken)
    }

    fn each_mut(&mut self, change: impl Fn(&Span, &mut T)) {
        for (span, taken) in self.windows.spans.all.iter().zip(&mut self.windows.taken) {
            change(span, taken);
        }
    }
}

/// Returns what is decided if both have to be met, the first of equal ones.
fn stricter(first: Decision, second: Decision) -> Decision {
    if second.is_stricter_than(&first) {
        second
    } else {
        first
    }
}
