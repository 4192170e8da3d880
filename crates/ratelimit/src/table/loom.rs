//! Models of what threads do to one set of two slots at once. Each is run in every order there is,
//! up to a number of preemptions.

use std::convert::Infallible;
use std::sync::Arc;

use loom::model::Builder;
use loom::thread;
use watertight_core::Counters;

use super::owner::Tag;
use super::set::{Full, Set, Terms, WhenFull};

/// Keys with their homes in the first slot, but for `B`.
const A: u64 = 0xa0;
const B: u64 = 0xb1;
const C: u64 = 0xc0;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A set, and how many keys have been evicted.
struct Stage {
    set: Set,
    evicted: Counters<1>,
}

impl Stage {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            set: Set::new(),
            evicted: Counters::new(),
        })
    }

    /// Makes a set that two keys fill.
    fn full(first: (u64, u64), second: (u64, u64)) -> Arc<Self> {
        let stage = Self::new();
        assert_eq!(stage.add(first.0, first.1, WhenFull::Evict), Ok(first.1));
        assert_eq!(stage.add(second.0, second.1, WhenFull::Evict), Ok(second.1));
        stage
    }

    /// Adds to the count of a key. A state says whose it is.
    fn add(&self, key: u64, n: u64, when_full: WhenFull) -> Result<u64, Full> {
        let added = self.update(key, when_full, |state| {
            assert!(state == 0 || state >> 8 == key, "the state of another key");
            key << 8 | (count(state) + n)
        });
        added.map(count)
    }

    /// Sets the state of a key.
    fn put(&self, key: u64, state: u64) {
        self.update(key, WhenFull::Evict, |_| state).unwrap();
    }

    /// A state is worth what its count exceeds 10 by.
    fn update(&self, key: u64, when_full: WhenFull, f: impl Fn(u64) -> u64) -> Result<u64, Full> {
        let terms = Terms {
            when_full,
            worth: |state| count(state).saturating_sub(10),
            evicted: &self.evicted,
        };
        let f = |state| Ok::<_, Infallible>(f(state));
        let updated = self.set.update(Tag::of(key), &terms, f);
        updated.map(|Ok(state)| state)
    }

    fn count(&self, key: u64) -> u64 {
        count(self.set.get(Tag::of(key)))
    }

    fn evicted(&self) -> u64 {
        self.evicted.total(0)
    }

    /// How many slots a key has.
    fn slots(&self, key: u64) -> usize {
        self.set.states().filter(|state| state >> 8 == key).count()
    }
}

fn count(state: u64) -> u64 {
    state & 0xff
}

#[test]
fn two_callers_of_a_new_key_share_a_slot() {
    check(|| {
        let stage = Stage::new();
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.add(A, 20, WhenFull::Evict));
        let mine = stage.add(A, 20, WhenFull::Evict).unwrap();
        let others = thread.join().unwrap().unwrap();

        assert_eq!((mine.min(others), mine.max(others)), (20, 40));
        assert_eq!((stage.count(A), stage.slots(A)), (40, 1));
        assert_eq!(stage.evicted(), 0);
    });
}

/// One of the callers finds the first slot taken, the other may find it free.
#[test]
fn two_callers_of_a_key_that_claim_two_slots_share_one_of_them() {
    check(|| {
        let stage = Stage::new();
        stage.add(C, 20, WhenFull::Evict).unwrap();
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.add(A, 20, WhenFull::Evict));
        stage.put(C, 0);
        let mine = stage.add(A, 20, WhenFull::Evict).unwrap();
        let others = thread.join().unwrap().unwrap();

        assert_eq!((mine.min(others), mine.max(others)), (20, 40));
        assert_eq!((stage.count(A), stage.slots(A)), (40, 1));
        assert_eq!(stage.evicted(), 0);
    });
}

#[test]
fn two_new_keys_get_a_slot_each() {
    check(|| {
        let stage = Stage::new();
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.add(C, 20, WhenFull::Refuse));
        let mine = stage.add(A, 20, WhenFull::Refuse);
        let others = thread.join().unwrap();

        assert_eq!((mine, others), (Ok(20), Ok(20)));
        assert_eq!((stage.count(A), stage.count(C)), (20, 20));
    });
}

#[test]
fn two_callers_of_a_new_key_share_the_last_slot() {
    check(|| {
        let stage = Stage::new();
        stage.add(B, 20, WhenFull::Refuse).unwrap();
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.add(A, 20, WhenFull::Refuse));
        let mine = stage.add(A, 20, WhenFull::Refuse);
        let others = thread.join().unwrap();

        assert_eq!(mine.unwrap() + others.unwrap(), 60);
        assert_eq!((stage.count(A), stage.slots(A)), (40, 1));
    });
}

/// The key may be evicted before its caller adds to it, or after: either way it is counted.
#[test]
fn a_key_that_is_evicted_while_it_is_used_is_evicted_whole() {
    check(|| {
        let stage = Stage::full((A, 20), (B, 40));
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.add(C, 30, WhenFull::Evict));
        let mine = stage.add(A, 15, WhenFull::Evict).unwrap();
        let others = thread.join().unwrap().unwrap();

        assert_eq!(others, 30);
        assert!(mine == 15 || mine == 35);
        let held = [A, B, C].map(|key| stage.count(key));
        let kept = held.iter().filter(|count| **count > 0).count() as u64;
        assert_eq!(kept, 2);
        assert!([0, mine].contains(&held[0]), "{held:?}");
        assert!(stage.evicted() >= 1);
        assert_eq!(
            [A, B, C].map(|key| stage.slots(key)).iter().sum::<usize>(),
            2
        );
    });
}

/// Both count alike, in states that do not say whose they are.
#[test]
fn what_is_added_to_a_key_that_is_evicted_is_not_added_to_the_next() {
    check(|| {
        let stage = Stage::new();
        stage.put(A, 20);
        stage.put(B, 40);
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.put(C, 20));
        stage
            .update(A, WhenFull::Evict, |state| state + 15)
            .unwrap();
        thread.join().unwrap();

        assert!([0, 20].contains(&stage.count(C)), "{}", stage.count(C));
    });
}

/// The key is worth nothing, until its caller adds to it: it loses nothing that it was worth then.
#[test]
fn a_key_that_comes_to_be_worth_something_does_not_give_way() {
    check(|| {
        let stage = Stage::full((A, 20), (B, 40));
        stage.put(A, A << 8 | 5);
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.add(C, 30, WhenFull::Refuse));
        let mine = stage.add(A, 15, WhenFull::Refuse);
        let others = thread.join().unwrap();

        match (mine, others) {
            (Ok(20), Err(Full { .. })) => assert_eq!(stage.count(A), 20),
            // The slot changed hands first.
            (Err(Full { .. }), Ok(30)) => assert_eq!(stage.count(C), 30),
            // It was vacated, and the key came back before the other one had claimed it.
            (Ok(15), Err(Full { .. })) => assert_eq!(stage.count(A), 15),
            answers => panic!("{answers:?}"),
        }
        assert_eq!(stage.count(B), 40);
        assert_eq!(stage.evicted(), 0);
    });
}

#[test]
fn who_looks_at_a_key_sees_all_of_it_or_nothing() {
    check(|| {
        let stage = Stage::full((A, 20), (B, 40));
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || {
            other.add(C, 30, WhenFull::Evict).unwrap();
            other.add(A, 50, WhenFull::Evict).unwrap();
        });
        let state = stage.set.get(Tag::of(A));
        let seen: Vec<_> = stage.set.states().collect();
        thread.join().unwrap();

        assert!([0, A << 8 | 20, A << 8 | 50].contains(&state), "{state:x}");
        for state in seen {
            assert!([A, B, C].contains(&(state >> 8)), "{state:x}");
        }
    });
}
