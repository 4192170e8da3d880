use watertight_core::Priority;

use crate::queue::Class;

use super::RoomSettings;
use super::claim::Within;

/// Whose the slots are, as so many of a limit.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    /// How many slots a call of each priority leaves free.
    floors: [i64; Class::PRIORITIES],
    /// What belongs to each partition, by its number.
    owned: Vec<Owned>,
}

#[derive(Clone, Copy, Debug)]
struct Owned {
    slots: i64,
    /// In the queue.
    places: i64,
}

/// What a product of shares may be off by.
const ROUNDING: f64 = 1e-9;

impl Shares {
    /// Divides up `limit` slots. A reserve is at least one slot, and all reserves together leave one
    /// to everybody. `partitions` are the names of all, by their numbers: those that are not in the
    /// settings own nothing.
    pub(crate) fn new<N: AsRef<str>>(
        limit: usize,
        settings: &RoomSettings,
        partitions: &[N],
    ) -> Self {
        let mut floors = [0; Class::PRIORITIES];
        for (reserved_for, share) in &settings.reserves {
            let slots = (share * limit as f64 - ROUNDING).ceil() as i64;
            for floor in &mut floors[*reserved_for as usize + 1..] {
                *floor += slots;
            }
        }
        let most = limit.saturating_sub(1) as i64;
        let floors = floors.map(|floor| floor.min(most));
        let left = limit as i64 - floors[Class::PRIORITIES - 1];
        Self {
            floors,
            owned: divide_among(left, limit, settings, partitions),
        }
    }

    /// Returns how many slots a call of `priority` leaves free for more important ones.
    pub(crate) const fn floor(&self, priority: Priority) -> i64 {
        self.floors[priority as usize]
    }

    /// Returns the floors of all priorities, the most important first.
    pub(crate) const fn floors(&self) -> &[i64; Class::PRIORITIES] {
        &self.floors
    }

    /// Returns how many slots nobody but the most important may have.
    pub(crate) const fn reserved(&self) -> i64 {
        self.floors[Class::PRIORITIES - 1]
    }

    /// Returns how many slots belong to a partition.
    pub(crate) fn owned(&self, partition: u16) -> i64 {
        self.owned[usize::from(partition)].slots
    }

    /// Returns what of its own a partition is within that has so many calls, in flight and waiting.
    pub(super) fn within(&self, partition: u16, calls: i64) -> Within {
        let Owned { slots, places } = self.owned[usize::from(partition)];
        match calls {
            _ if calls <= slots => Within::Slots,
            _ if calls <= slots + places => Within::Places,
            _ => Within::Nothing,
        }
    }
}

/// Gives each partition its share of `limit` slots, rounded down, but at least one. Where there are
/// no more than `left`, those that have the most go without, and of equals those with the least
/// share.
fn divide_among<N: AsRef<str>>(
    left: i64,
    limit: usize,
    settings: &RoomSettings,
    partitions: &[N],
) -> Vec<Owned> {
    let share_of = |name: &N| {
        let mut shares = settings.partitions.iter();
        let share = shares.find(|(other, _)| other == name.as_ref());
        share.map_or(0.0, |(_, share)| *share)
    };
    let part_of = |whole: usize, share: f64| (share * whole as f64 + ROUNDING).floor() as i64;
    let shares: Vec<_> = partitions.iter().map(share_of).collect();
    let mut slots: Vec<_> = shares
        .iter()
        .map(|share| part_of(limit, *share).max(i64::from(*share > 0.0)))
        .collect();
    let excess = slots.iter().sum::<i64>() - left;
    for _ in 0..excess {
        let most = (0..slots.len()).max_by(|a, b| {
            let by_slots = slots[*a].cmp(&slots[*b]);
            by_slots.then(shares[*b].total_cmp(&shares[*a]))
        });
        most.into_iter().for_each(|at| slots[at] -= 1);
    }
    let owned = shares.iter().zip(slots).map(|(share, slots)| Owned {
        slots,
        places: part_of(settings.max_queue, *share),
    });
    owned.collect()
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Order;

    fn settings(
        limit: usize,
        reserves: &[(Priority, f64)],
        partitions: &[(&str, f64)],
    ) -> RoomSettings {
        let owned = |(name, share): &(&str, f64)| ((*name).to_owned(), *share);
        RoomSettings {
            limit,
            max_queue: 0,
            max_wait: Duration::ZERO,
            order: Order::Fifo,
            reserves: reserves.to_vec(),
            partitions: partitions.iter().map(owned).collect(),
            stripes: 1,
        }
    }

    fn shares(limit: usize, reserves: &[(Priority, f64)], partitions: &[(&str, f64)]) -> Shares {
        let settings = settings(limit, reserves, partitions);
        Shares::new(limit, &settings, &["gone", "web", "batch"])
    }

    #[test]
    fn a_reserve_is_kept_from_the_less_important() {
        let reserves = [(Priority::Critical, 0.1), (Priority::Normal, 0.25)];
        let shares = shares(40, &reserves, &[]);

        assert_eq!(shares.floors, [0, 4, 4, 14, 14]);
        assert_eq!(shares.reserved(), 14);
    }

    #[test]
    fn a_reserve_is_a_slot_at_least_and_leaves_one() {
        let reserves = [(Priority::Critical, 0.1)];

        assert_eq!(shares(3, &reserves, &[]).floor(Priority::Normal), 1);
        assert_eq!(shares(1, &reserves, &[]).floor(Priority::Normal), 0);
        assert_eq!(
            shares(2, &[(Priority::High, 0.9)], &[]).floor(Priority::Low),
            1
        );
    }

    #[test]
    fn shares_are_whole_slots() {
        let shares = shares(
            100,
            &[(Priority::Critical, 0.07)],
            &[("batch", 0.57), ("web", 0.29)],
        );

        assert_eq!(shares.reserved(), 7);
        assert_eq!([0, 1, 2].map(|number| shares.owned(number)), [0, 29, 57]);
    }

    #[test]
    fn a_share_is_a_slot_at_least_as_long_as_there_are_so_many() {
        let owned = |limit, reserves: &[_], web, batch| {
            let shares = shares(limit, reserves, &[("web", web), ("batch", batch)]);
            [0, 1, 2].map(|number| shares.owned(number))
        };

        assert_eq!(owned(10, &[], 0.05, 0.3), [0, 1, 3]);
        assert_eq!(owned(10, &[], 0.96, 0.04), [0, 9, 1]);
        assert_eq!(owned(2, &[], 0.99, 0.01), [0, 1, 1]);
        assert_eq!(owned(1, &[], 0.3, 0.4), [0, 0, 1]);
        assert_eq!(owned(1, &[], 0.3, 0.3), [0, 1, 0]);
        assert_eq!(owned(0, &[], 0.3, 0.3), [0, 0, 0]);
        // What is reserved is nobody's.
        let reserves = [(Priority::High, 0.01), (Priority::Low, 0.01)];
        assert_eq!(owned(10, &reserves, 0.9, 0.08), [0, 7, 1]);
    }

    #[test]
    fn what_a_partition_has_is_its_own_up_to_its_share_of_slots_and_queue() {
        let settings = RoomSettings {
            max_queue: 4,
            ..settings(10, &[], &[("web", 0.5)])
        };
        let shares = Shares::new(10, &settings, &["web"]);

        let within = [5, 6, 7, 8].map(|calls| shares.within(0, calls));

        let expected = [
            Within::Slots,
            Within::Places,
            Within::Places,
            Within::Nothing,
        ];
        assert_eq!(within, expected);
    }
}
