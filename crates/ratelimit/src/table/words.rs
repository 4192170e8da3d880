use std::fmt;
use std::hash::BuildHasher;

use watertight_core::{Counters, Key, Secret};

use super::owner::Tag;
use super::set::{Full, Set, Terms, WAYS, WhenFull};

/// A word for each key, in memory of a fixed size.
pub(crate) struct Table {
    sets: Box<[Set]>,
    secret: Secret,
    evicted: Counters<1>,
}

/// How many sets are looked at to estimate what is in all of them: a quarter of a megabyte.
const SAMPLE: usize = 1 << 10;

impl Table {
    /// The most keys that a table is made for: that is 6.4 gigabytes.
    pub(crate) const MAX_KEYS: usize = 1 << 28;

    /// Makes a table for `max_keys` keys, at least one and at most [`MAX_KEYS`](Self::MAX_KEYS). It
    /// allocates all its memory: 24 bytes a key.
    pub(crate) fn new(max_keys: usize) -> Self {
        let max_keys = max_keys.clamp(1, Self::MAX_KEYS);
        let slots = max_keys + max_keys.div_ceil(2);
        Self {
            sets: (0..slots.div_ceil(WAYS)).map(|_| Set::new()).collect(),
            secret: Secret::new(),
            evicted: Counters::new(),
        }
    }

    /// Changes the state of a key to what `f` makes of it, and returns that. Where `f` returns an
    /// error, nothing changes.
    ///
    /// `f` is handed 0 for a key that is absent. It may be called again, with another state, when
    /// other threads change the same key: only what it returns at last counts. A state above
    /// `u64::MAX - 1` is stored as that.
    ///
    /// `worth` says what would be lost if a state were forgotten: 0 for nothing, as for the state 0,
    /// and the more the dearer. Of the keys that fill a set, the one that is worth least gives way,
    /// and of those that are worth nothing the one with the least state, as if that were a time.
    ///
    /// # Errors
    ///
    /// [`Full`] if the key is absent and there is no room for it, which is with
    /// [`WhenFull::Refuse`] alone.
    #[inline]
    pub(crate) fn update<R>(
        &self,
        key: Key,
        when_full: WhenFull,
        worth: impl Fn(u64) -> u64,
        f: impl FnMut(u64) -> Result<u64, R>,
    ) -> Result<Result<u64, R>, Full> {
        let (set, tag) = self.place(key);
        let terms = Terms {
            when_full,
            worth,
            evicted: &self.evicted,
        };
        set.update(tag, &terms, f)
    }

    /// Returns the state of a key: 0 if it is absent.
    pub(crate) fn get(&self, key: Key) -> u64 {
        let (set, tag) = self.place(key);
        set.get(tag)
    }

    /// Returns how many keys have a state that is worth something. In a table for more than ten
    /// thousand keys it is an estimate from a part of it: about 1 % off if the table is full, and the
    /// more the fewer there are.
    pub(crate) fn len(&self, worth: impl Fn(u64) -> u64) -> usize {
        let sample = &self.sets[..self.sets.len().min(SAMPLE)];
        let states = sample.iter().flat_map(Set::states);
        let keys = states.filter(|state| worth(*state) > 0).count();
        (keys as u128 * self.sets.len() as u128 / sample.len() as u128) as usize
    }

    /// Returns how many keys were forgotten that something was lost with.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.total(0)
    }

    /// The upper bits of the hash say which set, and the lower ones are the tag.
    #[inline]
    fn place(&self, key: Key) -> (&Set, Tag) {
        let hash = self.secret.hash_one(key);
        let set = (u128::from(hash) * self.sets.len() as u128) >> u64::BITS;
        (&self.sets[set as usize], Tag::of(hash))
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("slots", &(self.sets.len() * WAYS))
            .field("evicted", &self.evicted())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A state is worth what it is.
    fn add(table: &Table, key: Key, when_full: WhenFull, n: u64) -> Result<u64, Full> {
        let added = table.update(
            key,
            when_full,
            |state| state,
            |state| Ok::<_, Infallible>(state + n),
        );
        added.map(|Ok(state)| state)
    }

    fn evict(table: &Table, key: Key, n: u64) -> u64 {
        add(table, key, WhenFull::Evict, n).unwrap()
    }

    #[test]
    fn keeps_a_word_for_each_key() {
        let table = Table::new(1_000);

        for round in 1..=3 {
            for number in 0..100_u64 {
                assert_eq!(evict(&table, Key::of(number), number), round * number);
            }
        }
        assert_eq!(table.get(Key::of(7_u64)), 21);
        assert_eq!(table.get(Key::of("nobody")), 0);
        assert_eq!(table.len(|state| state), 99);
    }

    #[test]
    fn a_refusal_changes_nothing_and_takes_no_slot() {
        let table = Table::new(1);
        let key = Key::of("a");
        let refuse = |key| {
            let refused = table.update(key, WhenFull::Refuse, |state| state, Err);
            refused.unwrap().unwrap_err()
        };

        assert_eq!(refuse(key), 0);
        assert_eq!(table.sets[0].states().count(), 0);

        evict(&table, key, 5);
        assert_eq!(refuse(key), 5);
        assert_eq!(table.get(key), 5);
    }

    #[test]
    fn what_is_worth_nothing_takes_no_slot() {
        let table = Table::new(1);
        let key = Key::of("a");

        assert_eq!(evict(&table, key, 0), 0);
        assert_eq!(table.sets[0].states().count(), 0);

        // Back at 0, it frees the slot that it had.
        evict(&table, key, 5);
        let back = table.update(
            key,
            WhenFull::Evict,
            |state| state,
            |_| Ok::<_, Infallible>(0),
        );
        assert_eq!(back, Ok(Ok(0)));
        assert_eq!(table.sets[0].states().count(), 0);
    }

    #[test]
    fn a_key_that_went_comes_back_wherever_there_is_room() {
        let table = Table::new(1);
        let keys = (0..WAYS as u64).map(Key::of);
        for key in keys.clone() {
            evict(&table, key, 5);
        }
        let gone = |_| Ok::<_, Infallible>(0);
        for key in keys.clone() {
            let _ = table.update(key, WhenFull::Evict, |state| state, gone);
        }

        for key in keys.rev() {
            assert_eq!(evict(&table, key, 7), 7);
            assert_eq!(table.get(key), 7);
        }
        assert_eq!(table.evicted(), 0);
    }

    #[test]
    fn the_key_that_is_worth_least_gives_way() {
        let table = Table::new(1);
        for number in 0..WAYS as u64 {
            evict(&table, Key::of(number), 100 + (number + 9) % 16);
        }
        assert_eq!(table.evicted(), 0);

        // Key 7 is worth 100.
        evict(&table, Key::of("new"), 1_000);

        assert_eq!(table.get(Key::of(7_u64)), 0);
        assert_eq!(table.get(Key::of("new")), 1_000);
        assert_eq!(table.evicted(), 1);
        assert_eq!(table.len(|state| state), WAYS);
    }

    #[test]
    fn a_key_that_is_worth_nothing_any_more_gives_way_uncounted() {
        for when_full in [WhenFull::Evict, WhenFull::Refuse] {
            let table = Table::new(1);
            for number in 0..WAYS as u64 {
                evict(&table, Key::of(number), 1 + number);
            }

            let worth = |state: u64| state.saturating_sub(4);
            let set = |state| move |_| Ok::<_, Infallible>(state);
            for number in 100..104_u64 {
                let key = Key::of(number);
                let new = table.update(key, when_full, worth, set(200));
                assert_eq!(new, Ok(Ok(200)));
            }

            assert_eq!(table.evicted(), 0);
            let gone = (0..WAYS as u64).filter(|number| table.get(Key::of(*number)) == 0);
            assert_eq!(gone.collect::<Vec<_>>(), [0, 1, 2, 3]);
        }
    }

    #[test]
    fn of_keys_that_are_worth_nothing_the_oldest_gives_way() {
        let table = Table::new(1);
        for number in 0..WAYS as u64 {
            evict(&table, Key::of(number), 100 + (number + 9) % 16);
        }

        let new = table.update(
            Key::of("new"),
            WhenFull::Refuse,
            |state| state / 200,
            |_| Ok::<_, Infallible>(200),
        );

        assert_eq!(new, Ok(Ok(200)));
        let gone = (0..WAYS as u64).filter(|number| table.get(Key::of(*number)) == 0);
        assert_eq!(gone.collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn refuses_new_keys_alone_when_it_is_to_evict_none() {
        let table = Table::new(1);
        for number in 0..WAYS as u64 {
            evict(&table, Key::of(number), 1);
        }

        assert_eq!(
            add(&table, Key::of("new"), WhenFull::Refuse, 1),
            Err(Full { least: 1 })
        );
        for number in 0..WAYS as u64 {
            assert_eq!(add(&table, Key::of(number), WhenFull::Refuse, 1), Ok(2));
        }
        assert_eq!(table.evicted(), 0);
    }

    #[test]
    fn any_state_but_the_greatest_is_kept_as_it_is() {
        let table = Table::new(1);
        let greatest = [1, 1 << 63, u64::MAX - 1, u64::MAX];

        for (number, state) in (0_u64..).zip(greatest) {
            evict(&table, Key::of(number), state);
        }

        let kept = (0..4_u64).map(|number| table.get(Key::of(number)));
        assert_eq!(
            kept.collect::<Vec<_>>(),
            [1, 1 << 63, u64::MAX - 1, u64::MAX - 1]
        );
    }

    #[test]
    fn takes_24_bytes_a_key_and_no_more_ever() {
        let mut table = None;
        let made = allocation_counter::measure(|| table = Some(Table::new(1_000_000)));
        let table = table.unwrap();
        assert!(
            made.bytes_current <= 24_100_000,
            "{} bytes",
            made.bytes_current
        );

        let used = allocation_counter::measure(|| {
            for number in 0..2_000_u64 {
                evict(&table, Key::of(number), 1);
            }
        });
        assert_eq!(used.count_total, 0);
    }

    #[test]
    fn of_a_million_keys_less_than_one_in_a_hundred_is_displaced() {
        let table = Table::new(1_000_000);

        for number in 0..1_000_000_u64 {
            evict(&table, Key::of(number), 1 + number % 1_000);
        }

        let evicted = table.evicted();
        assert!(evicted < 10_000, "{evicted} displaced");
        let kept = (0..1_000_000_u64).filter(|number| table.get(Key::of(*number)) > 0);
        assert_eq!(kept.count() as u64, 1_000_000 - evicted);
        let len = table.len(|state| state) as u64;
        assert!(len.abs_diff(1_000_000 - evicted) < 60_000, "{len} keys");
    }

    /// Keys that are told apart by nothing but the secret.
    #[test]
    fn two_tables_put_keys_in_different_sets() {
        let tables = [Table::new(1_000_000), Table::new(1_000_000)];
        let place = |table: &Table, number: u64| {
            let (set, _) = table.place(Key::of(number));
            table.sets.iter().position(|it| std::ptr::eq(it, set))
        };

        let same =
            (0..100).filter(|number| place(&tables[0], *number) == place(&tables[1], *number));

        assert!(same.count() < 3);
    }

    /// Threads add to the words of a few keys, so few that none is displaced.
    #[test]
    fn nothing_that_threads_add_is_lost() {
        let table = Table::new(10_000);
        thread::scope(|scope| {
            for thread in 0..4 {
                let table = &table;
                scope.spawn(move || {
                    for step in 0..50_000_u64 {
                        evict(table, Key::of((step * (2 * thread + 1)) % 500), 1);
                    }
                });
            }
        });

        assert_eq!(table.evicted(), 0);
        let sum: u64 = (0..500_u64).map(|number| table.get(Key::of(number))).sum();
        assert_eq!(sum, 200_000);
        let slots: usize = table.sets.iter().map(|set| set.states().count()).sum();
        assert_eq!(slots, 500);
    }

    /// Threads press three times as many keys into one set as it has slots. Each state tells whose
    /// it is.
    #[test]
    fn no_key_ever_sees_the_state_of_another() {
        for when_full in [WhenFull::Evict, WhenFull::Refuse] {
            let table = Table::new(1);
            thread::scope(|scope| {
                for thread in 0..4_u64 {
                    let table = &table;
                    scope.spawn(move || {
                        for step in 0..50_000_u64 {
                            let number = 1 + (step * (2 * thread + 1)) % (3 * WAYS as u64);
                            let worth = |state: u64| (state & 0xff).saturating_sub(3);
                            let _ = table.update(Key::of(number), when_full, worth, |state| {
                                assert!(state == 0 || state >> 32 == number);
                                Ok::<_, Infallible>(number << 32 | (state + 1) & 0xff)
                            });
                        }
                    });
                }
            });

            let mut owners: Vec<_> = table.sets[0].states().map(|state| state >> 32).collect();
            let states = owners.len();
            owners.sort_unstable();
            owners.dedup();
            assert_eq!(owners.len(), states, "a key has two slots");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add {
            key: u64,
            n: u64,
            when_full: WhenFull,
        },
        Take {
            key: u64,
            n: u64,
        },
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let when_full = prop_oneof![Just(WhenFull::Evict), Just(WhenFull::Refuse)];
        let add = (0..40_u64, 0..30_u64, when_full);
        let step = prop_oneof![
            8 => add.prop_map(|(key, n, when_full)| Step::Add { key, n, when_full }),
            2 => (0..40_u64, 0..30_u64).prop_map(|(key, n)| Step::Take { key, n }),
            2 => (0..20_u64).prop_map(Step::Pass),
        ];
        vec(step, 1..300)
    }

    proptest! {
        /// The states are times. A map that forgets nothing knows each of them, or finds that it has
        /// been forgotten: for free when its time had come, and otherwise counted.
        #[test]
        fn counts_what_it_forgets_before_its_time(max_keys in 1..12_usize, steps in steps()) {
            let table = Table::new(max_keys);
            let (mut known, mut now, mut lost) = (HashMap::new(), 1_u64, 0);

            for step in steps {
                let worth = |state: u64| state.saturating_sub(now);
                match step {
                    Step::Add { key, n, when_full } => {
                        let mut before = 0;
                        let added = table.update(Key::of(key), when_full, worth, |state| {
                            before = state;
                            Ok::<_, Infallible>(state.max(now) + n)
                        });
                        let expected = known.get(&key).copied().unwrap_or(0);
                        prop_assert!(before == expected || before == 0 && worth(expected) == 0);
                        if let Ok(Ok(state)) = added {
                            prop_assert_eq!(state, before.max(now) + n);
                            known.insert(key, state);
                        } else {
                            prop_assert!(when_full == WhenFull::Refuse && before == 0);
                            let least = known.values().map(|state| worth(*state));
                            let least = least.filter(|worth| *worth > 0).min();
                            prop_assert!(least <= added.err().map(|full| full.least));
                            prop_assert!(known.values().filter(|it| worth(**it) > 0).count() >= WAYS);
                        }
                    }
                    Step::Take { key, n } => {
                        let taken = table.update(Key::of(key), WhenFull::Refuse, worth, |state| {
                            state.checked_sub(n).ok_or(state)
                        });
                        match taken {
                            Ok(Ok(state)) => drop(known.insert(key, state)),
                            Ok(Err(state)) => prop_assert!(state < n),
                            Err(Full { .. }) => prop_assert!(n == 0),
                        }
                    }
                    Step::Pass(time) => now += time,
                }

                let worth = |state: u64| state.saturating_sub(now);
                let gone = known.extract_if(|key, state| table.get(Key::of(*key)) != *state);
                for (key, state) in gone {
                    prop_assert_eq!(table.get(Key::of(key)), 0);
                    lost += u64::from(worth(state) > 0);
                }
                prop_assert_eq!(table.evicted(), lost);
                let held = known.values().filter(|state| worth(**state) > 0).count();
                prop_assert_eq!(table.len(worth), held);
            }
        }
    }
}
