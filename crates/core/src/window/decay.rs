use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::time::Duration;

use tokio::time::Instant;

use super::run::FailureRun;
use super::standing::{Record, Recorded, Run, Standing, THOUSAND};
use super::sync::{AtomicU32, AtomicU64};
use crate::nanos;

/// All calls, each counting half as much with every half-life that has passed since.
///
/// Time is in ticks, of which a half-life has [`TICKS`]. A new generation is a leap in their
/// numbers.
#[derive(Debug)]
pub(super) struct Decaying {
    epoch: Instant,
    half_life: u64,
    generation: AtomicU32,
    /// The generation that ticks are counted from.
    first: u32,
    run: FailureRun,
    calls: Fading,
    weight: Fading,
    slow: Fading,
}

const TICKS: u64 = 256;

/// How far a generation leaps. What is so old counts nothing any more.
const LEAP: u32 = 1 << 15;

/// How much later than a tick a sum may be to be told from an earlier one. The larger part of all
/// ticks is for earlier ones, since a window may be idle for long.
const LATEST: u32 = 1 << 24;

impl Decaying {
    pub(super) fn new(half_life: Duration, generation: u32, epoch: Instant) -> Self {
        Self {
            epoch,
            half_life: nanos(half_life).max(1),
            generation: AtomicU32::new(generation),
            first: generation,
            run: FailureRun::new(generation),
            calls: Fading::default(),
            weight: Fading::default(),
            slow: Fading::default(),
        }
    }

    pub(super) fn begin(&self, generation: u32, now: Instant) {
        self.generation.store(generation, Release);
        self.run.begin(generation);
        let tick = self.tick(generation, now);
        for fading in [&self.calls, &self.weight, &self.slow] {
            fading.empty(tick);
        }
    }

    pub(super) fn record(&self, generation: u32, record: &Record, now: Instant) -> Recorded {
        if self.generation.load(Acquire) != generation {
            return Recorded::Stale;
        }
        let tick = self.tick(generation, now);
        let weight = record.thousandths() as f32 / THOUSAND as f32;
        let slow = f32::from(u8::from(record.slow));
        let counted =
            self.calls.add(tick, 1.0) && self.weight.add(tick, weight) && self.slow.add(tick, slow);
        if !counted {
            return Recorded::Stale;
        }
        match record.run {
            Run::Extend => self.run.extend(generation),
            Run::Break => self.run.cut(generation),
            Run::Keep => {}
        }
        Recorded::Standing(self.standing(now))
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        let tick = self.tick(self.generation.load(Acquire), now);
        let exact = self.calls.at(tick);
        let calls = exact.round();
        let scaled = |part: f64| {
            if calls > 0.0 {
                part / exact * calls
            } else {
                0.0
            }
        };
        Standing {
            calls: calls as u64,
            failures: (scaled(self.weight.at(tick)) * THOUSAND).round() / THOUSAND,
            slow: scaled(self.slow.at(tick)).round() as u64,
            consecutive_failures: self.run.count(),
        }
    }

    fn tick(&self, generation: u32, now: Instant) -> u32 {
        let elapsed = nanos(now.saturating_duration_since(self.epoch));
        let ticks = u128::from(elapsed) * u128::from(TICKS) / u128::from(self.half_life);
        let leaps = generation.wrapping_sub(self.first).wrapping_mul(LEAP);
        (ticks as u32).wrapping_add(leaps)
    }
}

/// A sum that fades, and the tick that it stands at.
#[derive(Debug, Default)]
struct Fading(AtomicU64);

impl Fading {
    /// Adds `count`. Returns false if the sum is of a later generation. A tick that is only a
    /// little earlier than the sum's counts as the same.
    fn add(&self, tick: u32, count: f32) -> bool {
        if count == 0.0 {
            return true;
        }
        let added = |word| match ahead(word, tick) {
            Some(ahead) if ahead > LEAP / 2 => None,
            Some(_) => Some(word_of(at(word), sum(word) + count)),
            None => Some(word_of(
                tick,
                (faded_to(word, tick) + f64::from(count)) as f32,
            )),
        };
        self.0.fetch_update(AcqRel, Acquire, added).is_ok()
    }

    fn at(&self, tick: u32) -> f64 {
        faded_to(self.0.load(Acquire), tick)
    }

    fn empty(&self, tick: u32) {
        self.0.store(word_of(tick, 0.0), Release);
    }
}

/// Returns what is left of the sum at `tick`.
fn faded_to(word: u64, tick: u32) -> f64 {
    let ticks = match ahead(word, tick) {
        Some(_) => 0,
        None => tick.wrapping_sub(at(word)),
    };
    f64::from(sum(word)) * (-f64::from(ticks) / TICKS as f64).exp2()
}

/// Returns by how much the sum of `word` is ahead of `tick`, if it is.
fn ahead(word: u64, tick: u32) -> Option<u32> {
    let ahead = at(word).wrapping_sub(tick);
    (0 < ahead && ahead < LATEST).then_some(ahead)
}

fn word_of(tick: u32, sum: f32) -> u64 {
    u64::from(tick) << 32 | u64::from(sum.to_bits())
}

fn sum(word: u64) -> f32 {
    f32::from_bits(word as u32)
}

fn at(word: u64) -> u32 {
    (word >> 32) as u32
}
