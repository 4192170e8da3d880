use std::sync::atomic::Ordering::SeqCst;
use std::{array, ptr};

use watertight_core::Counters;

use super::owner::{Owner, Tag};
use super::slot::Slot;
use super::sync::fence;

/// What happens to a key that is new where there is no room for it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum WhenFull {
    /// Of the keys in question, the one that would be fully replenished first is forgotten, as if it
    /// were so already: it gains what it still owed.
    #[default]
    Evict,
    /// The call is refused. Who fills the table keeps others out.
    Refuse,
}

/// There is no room for a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Full {
    /// What the key is worth that is in the way, and is worth least: when that is nothing, there is
    /// room.
    pub(crate) least: u64,
}

/// On which terms a key that has no slot gets one.
pub(super) struct Terms<'a, W> {
    pub(super) when_full: WhenFull,
    /// What would be lost with a state.
    pub(super) worth: W,
    /// Counts the keys that something was lost with.
    pub(super) evicted: &'a Counters<1>,
}

/// How many slots a set has: all that are ever looked at for a key.
pub(super) const WAYS: usize = if cfg!(watertight_loom) { 2 } else { 16 };

/// The slots among which a key has its one.
#[derive(Debug)]
#[cfg_attr(not(watertight_loom), repr(align(64)))]
pub(super) struct Set {
    slots: [Slot; WAYS],
}

/// A slot that a key may get.
struct Candidate<'a> {
    slot: &'a Slot,
    owner: Owner,
    /// The state that has to be vacated first.
    sealed: Option<u64>,
    loss: Loss,
}

/// What would be lost with a key: of the same worth rather a lesser state, as of an earlier time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Loss {
    worth: u64,
    state: u64,
}

impl Loss {
    const NONE: Self = Self { worth: 0, state: 0 };

    /// That of a key which is about to get its first state. If a thread took that slot for its own
    /// key, and then lost it in the same way, no key would ever come in.
    const NEW: Self = Self {
        worth: u64::MAX,
        state: 0,
    };
}

impl Set {
    pub(super) fn new() -> Self {
        Self {
            slots: array::from_fn(|_| Slot::unused()),
        }
    }

    /// Changes the state of a key to what `f` makes of it, and returns that. Where `f` returns an
    /// error, nothing changes.
    #[inline]
    pub(super) fn update<R, W: Fn(u64) -> u64>(
        &self,
        tag: Tag,
        terms: &Terms<'_, W>,
        mut f: impl FnMut(u64) -> Result<u64, R>,
    ) -> Result<Result<u64, R>, Full> {
        loop {
            if let Some(changed) = self.change(tag, &mut f) {
                return Ok(changed);
            }
            // It is absent. What leaves it as good as absent needs no slot.
            match f(0) {
                Ok(state) if (terms.worth)(state) > 0 => self.insert(tag, terms)?,
                answer => return Ok(answer),
            }
        }
    }

    /// Returns the state of a key: 0 if it is absent.
    pub(super) fn get(&self, tag: Tag) -> u64 {
        let mut state = 0;
        let _ = self.change(tag, &mut |found| {
            state = found;
            Err(())
        });
        state
    }

    /// Returns the states of all keys.
    pub(super) fn states(&self) -> impl Iterator<Item = u64> {
        let slots = self.slots.iter();
        slots.filter_map(|slot| Some(slot.read(slot.owner())?.1))
    }

    /// Changes the state of a key that has a slot.
    #[inline]
    fn change<R>(
        &self,
        tag: Tag,
        f: &mut impl FnMut(u64) -> Result<u64, R>,
    ) -> Option<Result<u64, R>> {
        let mut probes = self.probes(tag);
        while let Some(slot) = probes.next() {
            let owner = slot.owner();
            if owner.is_unused() {
                // The key would have got this one.
                return None;
            }
            if owner.tag() != tag {
                continue;
            }
            if owner.is_pending() {
                self.settle(slot, owner);
                probes = self.probes(tag);
            } else if let Some(changed) = slot.change(owner, f) {
                return Some(changed);
            }
        }
        None
    }

    /// Claims a slot for a key that has none. Whether it has one then is to be looked at anew: other
    /// threads claim slots as well.
    #[cold]
    fn insert<W: Fn(u64) -> u64>(&self, tag: Tag, terms: &Terms<'_, W>) -> Result<(), Full> {
        let Some(least) = self.least(tag, &terms.worth) else {
            return Ok(());
        };
        let worth = least.loss.worth;
        if worth > 0 && terms.when_full == WhenFull::Refuse {
            return Err(Full { least: worth });
        }
        let Candidate { slot, owner, .. } = least;
        if let Some(sealed) = least.sealed {
            if !slot.swap_state(sealed, owner.seal(Owner::VACATED)) {
                return Ok(());
            }
            if worth > 0 {
                terms.evicted.add(0, 1);
            }
        }
        let claimed = owner.claimed_by(tag);
        if slot.swap_owner(owner, claimed) {
            self.settle(slot, claimed);
        }
        Ok(())
    }

    /// Finds the slot in which least would be lost. Returns `None` where another thread has just
    /// changed something.
    fn least(&self, tag: Tag, worth: &impl Fn(u64) -> u64) -> Option<Candidate<'_>> {
        let mut least: Option<Candidate<'_>> = None;
        for slot in self.probes(tag) {
            let owner = slot.owner();
            let (sealed, loss) = match slot.read(owner) {
                // Another thread is at work here.
                _ if owner.is_pending() => (None, Loss::NEW),
                Some((sealed, 0)) => (Some(sealed), Loss::NEW),
                Some((sealed, state)) => {
                    let worth = worth(state);
                    (Some(sealed), Loss { worth, state })
                }
                None if slot.owner() == owner => (None, Loss::NONE),
                None => return None,
            };
            if owner.tag() == tag && (owner.is_pending() || sealed.is_some()) {
                return None;
            }
            if least.as_ref().is_none_or(|least| loss < least.loss) {
                least = Some(Candidate {
                    slot,
                    owner,
                    sealed,
                    loss,
                });
            }
            if loss == Loss::NONE {
                break;
            }
        }
        least
    }

    /// Gives a slot to the key that has claimed it, or back, if the key has or gets another one.
    ///
    /// Of two claims of one key, at least one is seen by whoever settles the other: both look at
    /// the set after the claim, and the fence is between.
    fn settle(&self, slot: &Slot, claimed: Owner) {
        fence(SeqCst);
        let mut is_earlier = true;
        for other in self.probes(claimed.tag()) {
            let owner = other.owner();
            if ptr::eq(other, slot) {
                is_earlier = false;
            } else if owner.is_unused() {
                break;
            } else if owner.tag() == claimed.tag() {
                let gives_way = if owner.is_pending() {
                    !is_earlier && other.swap_owner(owner, owner.given_back())
                } else {
                    other.is_vacated(owner)
                };
                if !gives_way {
                    slot.swap_owner(claimed, claimed.given_back());
                    return;
                }
            }
        }
        if slot.clear(claimed) {
            slot.swap_owner(claimed, claimed.settled());
        }
    }

    /// Returns the slots in the order in which they are looked at for a key.
    fn probes(&self, tag: Tag) -> impl Iterator<Item = &Slot> {
        (0..WAYS).map(move |probe| &self.slots[(tag.home() + probe) % WAYS])
    }
}
