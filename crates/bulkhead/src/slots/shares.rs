use watertight_core::Priority;

use crate::queue::Class;

use super::RoomSettings;

/// Whose the slots are, as so many of a limit.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    /// How many slots a call of each priority leaves free.
    floors: [i64; Class::PRIORITIES],
    /// How many slots belong to each partition, by its number.
    owned: Vec<i64>,
}

/// What a product of shares may be off by.
const ROUNDING: f64 = 1e-9;

impl Shares {
    /// Divides up `limit` slots. A reserve is at least one slot, all reserves together leave one to
    /// everybody, and a partition owns whole slots only. `partitions` are the names of all, by their
    /// numbers: those that are not in the settings own nothing.
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
        let owned = |name: &N| {
            let mut shares = settings.partitions.iter();
            let share = shares.find(|(other, _)| other == name.as_ref());
            let share = share.map_or(0.0, |(_, share)| *share);
            (share * limit as f64 + ROUNDING).floor() as i64
        };
        let most = limit.saturating_sub(1) as i64;
        Self {
            floors: floors.map(|floor| floor.min(most)),
            owned: partitions.iter().map(owned).collect(),
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
        self.owned[usize::from(partition)]
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Order;

    fn shares(limit: usize, reserves: &[(Priority, f64)], partitions: &[(&str, f64)]) -> Shares {
        let owned = |(name, share): &(&str, f64)| ((*name).to_owned(), *share);
        let settings = RoomSettings {
            limit,
            max_queue: 0,
            max_wait: Duration::ZERO,
            order: Order::Fifo,
            reserves: reserves.to_vec(),
            partitions: partitions.iter().map(owned).collect(),
            stripes: 1,
        };
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
}
