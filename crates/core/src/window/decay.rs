use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::Duration;

use tokio::time::Instant;

use super::progress::{MAX_POSITIONS, Progress};
use super::run::FailureRun;
use super::standing::{Record, Recorded, Run, Standing, THOUSAND};
use super::sync::AtomicU64;

/// All calls, each counting half as much with every half-life that has passed since.
#[derive(Debug)]
pub(super) struct Decaying {
    progress: Progress,
    run: FailureRun,
    calls: Fading,
    weight: Fading,
    slow: Fading,
}

/// How many steps a half-life has.
const STEPS: u32 = 256;

/// After how many steps nothing is left of a sum.
const GONE: u64 = 64 * STEPS as u64;

const _: () = assert!(MAX_POSITIONS.is_multiple_of(GONE) && MAX_POSITIONS >= 16 * GONE);

impl Decaying {
    pub(super) fn new(half_life: Duration, generation: u32, epoch: Instant) -> Self {
        Self {
            progress: Progress::new(half_life / STEPS, GONE, generation, epoch),
            run: FailureRun::new(generation),
            calls: Fading::default(),
            weight: Fading::default(),
            slow: Fading::default(),
        }
    }

    pub(super) fn begin(&self, generation: u32, now: Instant) {
        self.run.begin(generation);
        self.progress.begin(generation, now, self.refresh());
    }

    pub(super) fn record(&self, generation: u32, record: &Record, now: Instant) -> Recorded {
        let Some(position) = self.progress.position(generation, now, self.refresh()) else {
            return Recorded::Stale;
        };
        let weight = record.thousandths() as f32 / THOUSAND as f32;
        let slow = f32::from(u8::from(record.slow));
        let counted = self.calls.add(position, 1.0)
            && self.weight.add(position, weight)
            && self.slow.add(position, slow);
        if !counted {
            return Recorded::Stale;
        }
        match record.run {
            Run::Extend => self.run.extend(generation),
            Run::Break => self.run.cut(generation),
            Run::Keep => {}
        }
        Recorded::Standing(self.at(position))
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        self.at(self.progress.latest(now, self.refresh()))
    }

    fn at(&self, position: u64) -> Standing {
        let exact = self.calls.at(position);
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
            failures: (scaled(self.weight.at(position)) * THOUSAND).round() / THOUSAND,
            slow: scaled(self.slow.at(position)).round() as u64,
            consecutive_failures: self.run.count(),
        }
    }

    /// Fades the sums whenever as much time has passed as they take to be gone. So none stays
    /// behind for so long that its position looks new, though nothing is added to it.
    fn refresh(&self) -> impl Fn(u64, u64) {
        |position, steps| {
            let next = self.progress.after(position, steps);
            if next / GONE != position / GONE {
                for fading in [&self.calls, &self.weight, &self.slow] {
                    fading.refresh(next);
                }
            }
        }
    }
}

/// A sum that fades, and the position that it stands at.
#[derive(Debug, Default)]
struct Fading(AtomicU64);

impl Fading {
    /// Adds `count`. Returns false if the sum is of a later generation, or of so much later that
    /// nothing would be left of it. At a sum that is less far ahead it counts as the sum does.
    fn add(&self, position: u64, count: f32) -> bool {
        if count == 0.0 {
            return true;
        }
        let added = |word| match ahead(word, position) {
            Some(GONE..) => None,
            Some(_) => Some(word_of(at(word), sum(word) + count)),
            None => Some(word_of(position, faded_to(word, position) + count)),
        };
        self.0.fetch_update(AcqRel, Acquire, added).is_ok()
    }

    fn at(&self, position: u64) -> f64 {
        faded_to(self.0.load(Acquire), position).into()
    }

    /// Brings the sum to `position`, unless it stands there or further.
    fn refresh(&self, position: u64) {
        let refreshed = |word| {
            ahead(word, position)
                .is_none()
                .then(|| word_of(position, faded_to(word, position)))
        };
        // An error is a sum that stands there already.
        let _ = self.0.fetch_update(AcqRel, Acquire, refreshed);
    }
}

/// Returns what is left of the sum at `position`.
fn faded_to(word: u64, position: u64) -> f32 {
    if ahead(word, position).is_some() {
        return sum(word);
    }
    let steps = position.wrapping_sub(at(word)) % MAX_POSITIONS;
    let left = (-(steps as f64) / f64::from(STEPS)).exp2();
    (f64::from(sum(word)) * left) as f32
}

/// Returns how far the sum of `word` is ahead of `position`, if it is not behind.
fn ahead(word: u64, position: u64) -> Option<u64> {
    let ahead = at(word).wrapping_sub(position) % MAX_POSITIONS;
    (ahead < MAX_POSITIONS / 2).then_some(ahead)
}

fn word_of(position: u64, sum: f32) -> u64 {
    position << 32 | u64::from(sum.to_bits())
}

fn sum(word: u64) -> f32 {
    f32::from_bits(word as u32)
}

fn at(word: u64) -> u64 {
    word >> 32
}
