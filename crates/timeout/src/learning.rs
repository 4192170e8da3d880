use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::nanos;

use crate::Adaptive;
use crate::explorers::{Explorers, Testimony};
use crate::recent::Recent;

/// What an adaptive timeout is learnt from. All times are in nanoseconds.
///
/// A call that is cut off counts as what the [`Explorers`] have met that took longer than the
/// limit as well: as long as that, where they were answered, and not at all where they hang. Where
/// none has, it counts as one that leaves the timeout as it is. So the quantiles are those of the
/// calls that end, whether they are cut off or not.
#[derive(Debug)]
pub(crate) struct Learning {
    recent: Recent,
    pub(crate) explorers: Explorers,
    /// How many will have been recorded, and what time it will be, when the timeout is looked at
    /// again.
    look_at_count: AtomicU64,
    look_at_time: AtomicU64,
    look_soon_at: AtomicU64,
}

/// So many calls may move the timeout.
const WORTH_A_LOOK: u64 = 64;
/// A look takes some microseconds.
const LOOK_EVERY: u64 = 2_000_000;
/// For how long figures may be old.
const STALE_AFTER: u64 = 200_000_000;

impl Learning {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            recent: Recent::new(start),
            explorers: Explorers::new(),
            look_at_count: AtomicU64::new(0),
            look_at_time: AtomicU64::new(0),
            look_soon_at: AtomicU64::new(0),
        }
    }

    /// Records what calls took that were answered. Returns true if it is time to
    /// [look](Self::timeout).
    pub(crate) fn record(
        &self,
        durations: impl IntoIterator<Item = Duration>,
        calls_each: u64,
        now: u64,
    ) -> bool {
        self.recent.record(durations, calls_each, now);
        let recorded = self.recent.recorded();
        let enough = recorded >= self.look_at_count.load(Ordering::Relaxed);
        (enough && now >= self.look_soon_at.load(Ordering::Relaxed))
            || now >= self.look_at_time.load(Ordering::Relaxed)
    }

    /// Records that a call was cut off at `limit`.
    pub(crate) fn cut(&self, limit: u64, multiplier: f64, calls_each: u64, now: u64) -> bool {
        let counts_as = match self.explorers.cut(limit, now) {
            Testimony::Ends(time) => Duration::from_nanos(time),
            Testimony::Hangs => return false,
            Testimony::Unknown => Duration::from_nanos(limit).div_f64(multiplier),
        };
        self.record([counts_as], calls_each, now)
    }

    /// Whether the warm-up is over.
    pub(crate) fn is_warm(&self, adaptive: &Adaptive) -> bool {
        self.recent.recorded() >= adaptive.warmup.into()
    }

    /// Returns the timeout that follows from what is known.
    pub(crate) fn timeout(&self, adaptive: &Adaptive, now: u64) -> Duration {
        self.looked(adaptive, now);
        if !self.is_warm(adaptive) {
            return adaptive.initial();
        }
        let usual = self.recent.quantile(adaptive.percentile);
        let kept = self.recent.quantile(1.0 - adaptive.max_cut);
        let usual = usual.map(|usual| multiplied(usual, adaptive.multiplier));
        let timeout = usual.max(kept).unwrap_or(adaptive.max);
        timeout.clamp(adaptive.min, adaptive.max)
    }

    /// Returns until when a thread may keep its samples to itself.
    pub(crate) fn due(&self, adaptive: &Adaptive, now: u64) -> u64 {
        if self.is_warm(adaptive) {
            now.saturating_add(STALE_AFTER)
        } else {
            now
        }
    }

    fn looked(&self, adaptive: &Adaptive, now: u64) {
        let recorded = self.recent.recorded();
        let next = (recorded + WORTH_A_LOOK).min(recorded.max(u64::from(adaptive.warmup) - 1) + 1);
        let next = if self.is_warm(adaptive) {
            recorded + WORTH_A_LOOK
        } else {
            next
        };
        self.look_at_count.store(next, Ordering::Relaxed);
        self.look_soon_at
            .store(now.saturating_add(LOOK_EVERY), Ordering::Relaxed);
        self.look_at_time
            .store(now.saturating_add(STALE_AFTER), Ordering::Relaxed);
    }
}

/// `time` so many times, which is finite and at least 1.
fn multiplied(time: Duration, times: f64) -> Duration {
    Duration::from_nanos((nanos(time) as f64 * times) as u64)
}
