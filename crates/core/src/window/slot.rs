//! The words of the ring: where its head is, and what is in a slot.

use super::pending::SUM_BITS;

/// How far the ring has come: a generation (16 bits), the sum of successes that are in it (22),
/// and the position where the next record goes (26).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) generation: u16,
    pub(super) sum: u64,
    pub(super) position: u64,
}

const POSITION_BITS: u32 = 64 - 16 - SUM_BITS;

impl Head {
    pub(super) fn from_bits(bits: u64) -> Self {
        Self {
            generation: (bits >> (SUM_BITS + POSITION_BITS)) as u16,
            sum: bits >> POSITION_BITS & mask(SUM_BITS),
            position: bits & mask(POSITION_BITS),
        }
    }

    pub(super) fn bits(self) -> u64 {
        u64::from(self.generation) << (SUM_BITS + POSITION_BITS)
            | self.sum << POSITION_BITS
            | self.position
    }

    /// Returns how many successes have come until `sum`, which is a later one.
    pub(super) fn missing(self, sum: u64) -> u64 {
        sum.wrapping_sub(self.sum) & mask(SUM_BITS)
    }
}

/// What is in a slot: a generation (32 bits), in which lap of the ring it was written (17), whether
/// the call was slow (1), and its weight in thousandths (14).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) lap: u64,
    pub(super) content: Content,
}

/// What counts of a call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Content {
    pub(super) weight: u64,
    pub(super) slow: bool,
}

const WEIGHT_BITS: u32 = 14;
const LAP_BITS: u32 = 17;

impl Slot {
    pub(super) fn from_bits(bits: u64) -> Self {
        Self {
            generation: (bits >> 32) as u32,
            lap: bits >> (WEIGHT_BITS + 1) & mask(LAP_BITS),
            content: Content {
                weight: bits & mask(WEIGHT_BITS),
                slow: bits >> WEIGHT_BITS & 1 == 1,
            },
        }
    }

    pub(super) fn bits(self) -> u64 {
        u64::from(self.generation) << 32
            | self.lap << (WEIGHT_BITS + 1)
            | u64::from(self.content.slow) << WEIGHT_BITS
            | self.content.weight
    }
}

impl Content {
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Positions in a ring of some size. They count on through its laps, of which there are many but
/// not endlessly many. The first is never come back to, so that a full ring stays full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Laps {
    size: u64,
    /// How many there are after the first.
    again: u64,
}

impl Laps {
    pub(super) fn new(size: u32) -> Self {
        let size = u64::from(size);
        let all = (mask(POSITION_BITS) / size).min(mask(LAP_BITS));
        Self {
            size,
            again: all - 1,
        }
    }

    /// Returns the position `steps` after `position`, where `steps` are at most a lap.
    pub(super) fn after(self, position: u64, steps: u64) -> u64 {
        let end = self.size * (self.again + 1);
        let next = position + steps;
        if next < end {
            next
        } else {
            next - end + self.size
        }
    }

    /// Returns how far `later` is from `earlier`.
    pub(super) fn distance(self, earlier: u64, later: u64) -> u64 {
        if later >= earlier {
            later - earlier
        } else {
            later + self.size * self.again - earlier
        }
    }

    pub(super) fn lap(self, position: u64) -> u64 {
        position / self.size
    }

    pub(super) fn index(self, position: u64) -> usize {
        (position % self.size) as usize
    }

    /// Whether lap `a` comes after lap `b`, where they are not half of all laps apart.
    pub(super) fn is_later(self, a: u64, b: u64) -> bool {
        let ahead = (a + self.again - b % self.again) % self.again;
        a != b && ahead <= self.again / 2
    }
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_lap_is_followed_by_the_second() {
        let laps = Laps::new(10);
        let last = 10 * (laps.again + 1) - 1;

        assert_eq!(laps.after(last, 1), 10);
        assert_eq!(laps.after(last, 10), 19);
        assert_eq!(laps.distance(last, 12), 3);
        assert!(laps.is_later(laps.lap(12), laps.lap(last)));
        assert!(!laps.is_later(laps.lap(last), laps.lap(12)));
    }

    #[test]
    fn any_size_has_laps_enough_to_tell_apart() {
        for size in [1, 2, 100, 65_535] {
            let laps = Laps::new(size);
            assert!(laps.again >= 1_000);
            assert!(laps.is_later(1, 0) && !laps.is_later(0, 1) && !laps.is_later(1, 1));
            assert!(u64::from(size) * (laps.again + 1) <= mask(POSITION_BITS));
        }
    }

    proptest! {
        #[test]
        fn words_keep_what_is_put_in(
            generation: u32,
            sum in 0..1u64 << 22,
            position in 0..1u64 << 26,
            lap in 0..1u64 << 17,
            weight in 0..=16_000u64,
            slow: bool,
        ) {
            let head = Head { generation: generation as u16, sum, position };
            let slot = Slot { generation, lap, content: Content { weight, slow } };

            prop_assert_eq!(Head::from_bits(head.bits()), head);
            prop_assert_eq!(Slot::from_bits(slot.bits()), slot);
        }
    }
}
