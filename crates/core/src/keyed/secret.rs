use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Mixes keys with a secret of the process, so that no client can choose keys that meet in one shard,
/// set or bucket of a table.
///
/// A [`Key`](crate::Key) is a good hash already, but one that anybody can compute. Here its halves
/// are each masked by a secret, multiplied, and the two words of the product folded. Two keys that
/// meet whatever the secret must agree in a whole half, which takes 2^64 hashes to find; all others
/// meet by chance.
#[derive(Clone)]
pub struct Secret {
    low: u64,
    high: u64,
}

impl Secret {
    /// Draws a new secret.
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "a default is the same each time"
    )]
    pub fn new() -> Self {
        // What the standard library has for this: seeded by the operating system.
        let random = RandomState::new();
        Self {
            low: random.hash_one(0),
            high: random.hash_one(1),
        }
    }
}

impl BuildHasher for Secret {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        Mixer {
            low: self.low,
            high: self.high,
            mixed: 0,
        }
    }
}

/// Mixes one key. Made by a [`Secret`].
pub struct Mixer {
    low: u64,
    high: u64,
    mixed: u64,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

impl fmt::Debug for Mixer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mixer").finish_non_exhaustive()
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128((*byte).into());
        }
    }

    fn write_u128(&mut self, key: u128) {
        let low = key as u64 ^ self.low ^ self.mixed;
        let high = (key >> 64) as u64 ^ self.high;
        self.mixed = fold(fold(low, high) ^ self.low, ODD);
    }

    fn finish(&self) -> u64 {
        self.mixed
    }
}

/// 2^64 over the golden ratio. Spreads the fold's bits once more.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    #[test]
    fn two_maps_mix_differently() {
        let key = Key::of("tenant-7");

        assert_ne!(Secret::new().hash_one(key), Secret::new().hash_one(key));
    }

    /// A table takes its buckets from the low bits and a tag from the high ones, the map its
    /// shards from the middle.
    #[test]
    fn keys_spread_over_any_bits() {
        let secret = Secret::new();

        for shift in [0, 24, 32, 40, 56] {
            let mut counts = [0_u32; 256];
            for number in 0..256_u32 * 100 {
                counts[(secret.hash_one(Key::of(number)) >> shift) as usize & 255] += 1;
            }
            // 100 each on average, with a standard deviation of 10.
            assert!(counts.iter().all(|count| (40..=160).contains(count)));
        }
    }
}
