use std::sync::atomic::{AtomicU64, Ordering};

use super::decay::Moment;

/// A weight that fades, in one word: the weight, and the epoch in whose unit it is.
///
/// An epoch is kept by its low bits, so a weight must not be left alone for [`MEMORY`] epochs:
/// see [`forget`](Self::forget).
#[derive(Debug, Default)]
pub(super) struct Fading(AtomicU64);

/// Two epochs are told apart if they are less than this far from each other.
pub(super) const MEMORY: u64 = 1 << (EPOCH_BITS - 1);

const EPOCH_BITS: u32 = 24;
const WEIGHT_BITS: u32 = 64 - EPOCH_BITS;

/// A weight from which nothing is added any more: over a thousand million samples in a half-life.
/// The other half of the room is for threads that add at once.
const FULL: u64 = 1 << (WEIGHT_BITS - 1);

impl Fading {
    /// Adds a sample.
    ///
    /// A thread that is overtaken by another, which begins the next epoch, adds up to twice what
    /// its sample weighs then.
    pub(super) fn add(&self, moment: Moment) {
        let word = self.0.load(Ordering::Relaxed);
        if age(word, moment.epoch) == 0 && weight(word) < FULL {
            self.0.fetch_add(moment.weight, Ordering::Relaxed);
        } else {
            self.renew(moment);
        }
    }

    /// Adds a sample to a weight of another epoch. The later of the two is the one it is kept in,
    /// but no weight is of no epoch.
    #[cold]
    fn renew(&self, moment: Moment) {
        let added = |word| {
            let (kept, added, epoch) = match age(word, moment.epoch) {
                _ if weight(word) == 0 => (0, moment.weight, moment.epoch),
                age @ 0.. => (fade(weight(word), age), moment.weight, moment.epoch),
                age => (weight(word), fade(moment.weight, -age), word >> WEIGHT_BITS),
            };
            (kept < FULL).then(|| epoch << WEIGHT_BITS | (kept + added))
        };
        // An error is a weight that is full.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    /// Returns the weight in the unit of `epoch`. What was added later does not fade.
    pub(super) fn at(&self, epoch: u64) -> u64 {
        let word = self.0.load(Ordering::Relaxed);
        fade(weight(word), age(word, epoch).max(0))
    }

    /// Puts a weight that has faded to nothing to zero, so that it does not come back when the low
    /// bits of the epoch do.
    pub(super) fn forget(&self, epoch: u64) {
        let faded = |word| (self.at(epoch) == 0 && word != 0).then_some(0);
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, faded);
    }

    /// Puts the weight to zero.
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

const fn weight(word: u64) -> u64 {
    word & ((1 << WEIGHT_BITS) - 1)
}

/// Returns how many epochs the word is older than `epoch`.
const fn age(word: u64, epoch: u64) -> i64 {
    let ahead = (epoch << WEIGHT_BITS).wrapping_sub(word & !((1 << WEIGHT_BITS) - 1));
    (ahead as i64) >> WEIGHT_BITS
}

fn fade(weight: u64, epochs: i64) -> u64 {
    u32::try_from(epochs)
        .ok()
        .and_then(|epochs| weight.checked_shr(epochs))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::decay::UNIT;
    use super::*;

    fn moment(epoch: u64) -> Moment {
        Moment {
            epoch,
            weight: UNIT,
        }
    }

    #[test]
    fn a_weight_halves_with_each_epoch() {
        let fading = Fading::default();
        fading.add(moment(7));
        fading.add(moment(7));

        assert_eq!([7, 8, 10].map(|epoch| fading.at(epoch)), [512, 256, 64]);

        fading.add(moment(8));
        assert_eq!(fading.at(8), 512);
        assert_eq!(fading.at(8 + 64), 0);
    }

    #[test]
    fn a_late_sample_has_faded_already() {
        let fading = Fading::default();
        fading.add(moment(9));
        fading.add(moment(7));

        assert_eq!(fading.at(9), 256 + 64);
        // Seen from before, what came later is as it is.
        assert_eq!(fading.at(3), 256 + 64);
    }

    #[test]
    fn a_full_weight_stays_in_its_bits() {
        let fading = Fading(AtomicU64::new(5 << WEIGHT_BITS | FULL));
        fading.add(moment(5));
        assert_eq!(fading.at(5), FULL);

        fading.add(moment(6));
        assert_eq!(fading.at(6), FULL / 2 + UNIT);
    }

    #[test]
    fn the_first_sample_counts_in_any_epoch() {
        for epoch in [
            1,
            MEMORY - 1,
            MEMORY,
            MEMORY + 1,
            2 * MEMORY - 1,
            2 * MEMORY,
        ] {
            let fading = Fading::default();
            fading.add(moment(epoch));

            assert_eq!(fading.at(epoch), UNIT, "{epoch}");
        }
    }

    #[test]
    fn what_is_forgotten_does_not_come_back() {
        let fading = Fading::default();
        fading.add(moment(3));

        fading.forget(4);
        assert_eq!(fading.at(4), 128);

        fading.forget(100);
        assert_eq!(fading.at(3 + (1 << EPOCH_BITS)), 0);
    }
}
