use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Counters, Mode, Name, Outcome, Reason};
use watertight_metrics::{CallCounts, InstanceSnapshot, Latency, LatencySnapshot, Reporter};

/// How often each thing has happened.
///
/// It lives until the last call has ended, which may outlive all services of its layer.
#[derive(Debug)]
pub(crate) struct Counts {
    kind: &'static str,
    name: Name,
    reporter: Reporter,
    counters: Counters<{ Count::ALL }>,
    /// How many calls wait for their turns.
    waiting: AtomicUsize,
    /// How long they do. Made with the first.
    waits: OnceLock<Latency>,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Success,
    Failure,
    Ignored,
    Cancelled,
    /// Refused by the limit.
    Limited,
    /// Refused for a deadline.
    TooLate,
    /// Refused for want of a key.
    KeyMissing,
    /// Refused because the store did not answer.
    NotReady,
    /// Would have been refused, or would have had to wait, but for [`Mode::Shadow`].
    LimitedInShadow,
    /// Would have been refused for a deadline.
    TooLateInShadow,
    /// Would have been refused for want of a key.
    KeyMissingInShadow,
    /// Would have been refused because the store did not answer.
    NotReadyInShadow,
    /// The store could not do what it was asked.
    StoreFailed,
    /// The store did not answer in time.
    StoreTimedOut,
    /// What the store was to be told was not, for there was too much of it.
    Untold,
}

impl Count {
    const ALL: usize = 15;

    const REFUSED: [(Reason, Mode, Self); 8] = [
        (Reason::RateLimited, Mode::Enforce, Self::Limited),
        (Reason::DeadlineExceeded, Mode::Enforce, Self::TooLate),
        (Reason::KeyMissing, Mode::Enforce, Self::KeyMissing),
        (Reason::NotReady, Mode::Enforce, Self::NotReady),
        (Reason::RateLimited, Mode::Shadow, Self::LimitedInShadow),
        (
            Reason::DeadlineExceeded,
            Mode::Shadow,
            Self::TooLateInShadow,
        ),
        (Reason::KeyMissing, Mode::Shadow, Self::KeyMissingInShadow),
        (Reason::NotReady, Mode::Shadow, Self::NotReadyInShadow),
    ];

    pub(crate) const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Failure(_) => Self::Failure,
            Outcome::Ignored => Self::Ignored,
        }
    }

    fn of_refusal(reason: Reason, mode: Mode) -> Self {
        let refused = Self::REFUSED.iter();
        let mut found = refused.filter(|(of, in_mode, _)| (*of, *in_mode) == (reason, mode));
        found.next().map_or(Self::Limited, |(_, _, count)| *count)
    }
}

impl Counts {
    pub(crate) fn new(kind: &'static str, name: Name, reporter: Reporter) -> Self {
        Self {
            kind,
            name,
            reporter,
            counters: Counters::new(),
            waiting: AtomicUsize::new(0),
            waits: OnceLock::new(),
        }
    }

    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) const fn name(&self) -> Name {
        self.name
    }

    #[inline]
    pub(crate) fn add(&self, count: Count) {
        self.counters.add(count as usize, 1);
    }

    /// Counts a refused call, or one that would have been.
    pub(crate) fn refused(&self, reason: Reason, mode: Mode) {
        self.add(Count::of_refusal(reason, mode));
    }

    /// Counts a call that begins to wait.
    pub(crate) fn waits(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that waits no longer.
    pub(crate) fn waits_no_longer(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes how long a call has waited for its turn.
    pub(crate) fn waited(&self, time: Duration, now: Instant) {
        let waits = self.waits.get_or_init(|| Latency::new(now));
        waits.record(time, now);
    }

    /// Returns how many calls wait for their turns.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns how long calls wait for their turns, of those that have to.
    pub(crate) fn queue_wait(&self, now: Instant) -> Option<LatencySnapshot> {
        self.waits.get().map(|waits| waits.snapshot(now))
    }

    /// Returns a snapshot of what has been counted.
    pub(crate) fn snapshot(&self) -> InstanceSnapshot {
        let mut snapshot = InstanceSnapshot::new(self.kind, self.name);
        snapshot.calls = CallCounts {
            success: self.total(Count::Success),
            failure: self.total(Count::Failure),
            ignored: self.total(Count::Ignored),
            cancelled: self.total(Count::Cancelled),
            ..CallCounts::default()
        };
        snapshot.set_rejections(
            Count::REFUSED.map(|(reason, mode, count)| (reason, mode, self.total(count))),
        );
        snapshot
    }

    /// Hands over what has been counted when the layer goes, with all that it knows. What comes
    /// later follows.
    pub(crate) fn retire(&self, last: InstanceSnapshot) {
        self.reporter.retired(last);
    }

    /// Returns how often something was counted.
    pub(crate) fn total(&self, count: Count) -> u64 {
        self.counters.total(count as usize)
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.reporter.retired(self.snapshot());
    }
}
