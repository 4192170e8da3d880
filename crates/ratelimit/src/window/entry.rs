use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::Entry as Kept;

use super::span::Span;
use super::taken::Taken;
use crate::Decision;

/// The quotas of a machine, and of which change of them they are.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    pub(super) all: Arc<[Span]>,
    pub(super) change: u64,
}

/// The windows of one key, one for each quota.
#[derive(Debug)]
pub(super) struct Entry<T> {
    windows: Mutex<Windows<T>>,
    /// Whether it may be forgotten while there is something in it.
    may_go: bool,
}

impl<T: Taken> Entry<T> {
    pub(super) fn new(spans: &Spans, may_go: bool) -> Self {
        Self {
            windows: Mutex::new(Windows::new(spans)),
            may_go,
        }
    }

    pub(super) fn copy(&self) -> Self {
        Self {
            windows: Mutex::new(self.lock().clone()),
            may_go: self.may_go,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Windows<T>> {
        // Nothing panics while it is locked.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is whole again first goes first.
impl<T: Taken> Kept for Entry<T> {
    fn worth(&self, now: Instant) -> Option<u64> {
        let left = self.lock().left(now);
        (left == 0 || self.may_go).then_some(left)
    }
}

/// What has been taken of each quota.
#[derive(Clone, Debug)]
pub(super) struct Windows<T> {
    spans: Spans,
    taken: Box<[T]>,
    /// The latest time that was seen, in nanoseconds since the epoch: here none comes before it.
    latest: u64,
}

impl<T: Taken> Windows<T> {
    pub(super) fn new(spans: &Spans) -> Self {
        Self {
            spans: spans.clone(),
            taken: spans.all.iter().map(T::new).collect(),
            latest: 0,
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
        WindowsAt {
            windows: self,
            asked,
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

/// Windows as they are at one time.
#[derive(Debug)]
pub(super) struct WindowsAt<'a, T> {
    windows: &'a mut Windows<T>,
    /// What the caller's clock says, which may have stepped back.
    asked: u64,
}

impl<T: Taken> WindowsAt<'_, T> {
    pub(super) fn take(&mut self, cost: u64) -> Decision {
        if cost == 0 || self.room() < cost {
            return self.decide(cost);
        }
        self.add(cost);
        self.decide(0)
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
        let at = self.windows.latest;
        for (span, taken) in self.windows.spans.all.iter().zip(&mut self.windows.taken) {
            taken.remove(cost, at, span);
        }
    }

    pub(super) fn charge(&mut self, cost: u64) {
        let at = self.windows.latest;
        for (span, taken) in self.windows.spans.all.iter().zip(&mut self.windows.taken) {
            let room = span.most().saturating_sub(taken.used(at, span));
            if room > 0 && cost > 0 {
                taken.add(cost.min(room), span, at);
            }
        }
    }

    /// Says what becomes of a call of `cost`, and how the quotas stand.
    pub(super) fn decide(&self, cost: u64) -> Decision {
        let Windows { taken, latest, .. } = &*self.windows;
        let mut tightest = None;
        let mut longest: Option<(Duration, Decision)> = None;
        for (quota, (span, taken)) in self.windows.spans.all.iter().zip(taken).enumerate() {
            let used = taken.used(*latest, span);
            let status = || span.status(used, self.until(taken.falls_to(0, *latest, span)), quota);
            let remaining = span.limit.saturating_sub(used);
            if tightest.is_none_or(|(least, _)| remaining < least) {
                tightest = Some((remaining, status()));
            }
            if remaining >= cost {
                continue;
            }
            let wait = (span.limit.checked_sub(cost))
                .map(|most| self.until(taken.falls_to(most, *latest, span)));
            let order = wait.unwrap_or(Duration::MAX);
            if longest.is_none_or(|(longest, _)| order > longest) {
                longest = Some((order, Decision::refused(status(), wait)));
            }
        }
        match (longest, tightest) {
            (Some((_, refused)), _) => refused,
            (None, tightest) => {
                Decision::admitted(tightest.map(|(_, status)| status).unwrap_or_default())
            }
        }
    }

    /// Returns how much all windows have room for.
    fn room(&self) -> u64 {
        let at = self.windows.latest;
        let spans = self.windows.spans.all.iter().zip(&self.windows.taken);
        let room = spans.map(|(span, taken)| span.limit.saturating_sub(taken.used(at, span)));
        room.min().unwrap_or(0)
    }

    fn add(&mut self, cost: u64) {
        let at = self.windows.latest;
        for (span, taken) in self.windows.spans.all.iter().zip(&mut self.windows.taken) {
            taken.add(cost, span, at);
        }
    }

    fn until(&self, at: u64) -> Duration {
        Duration::from_nanos(at.saturating_sub(self.asked))
    }
}
