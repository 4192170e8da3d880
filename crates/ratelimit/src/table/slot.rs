use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::owner::Owner;
use super::sync::AtomicU64;

/// Who has it, and the state of that key, sealed.
#[derive(Debug)]
pub(super) struct Slot {
    owner: AtomicU64,
    state: AtomicU64,
}

impl Slot {
    /// Makes a slot that no key has had yet.
    pub(super) fn unused() -> Self {
        Self {
            owner: AtomicU64::new(0),
            state: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(super) fn owner(&self) -> Owner {
        Owner::from_word(self.owner.load(Acquire))
    }

    pub(super) fn swap_owner(&self, from: Owner, to: Owner) -> bool {
        let swapped = self
            .owner
            .compare_exchange(from.word(), to.word(), AcqRel, Relaxed);
        swapped.is_ok()
    }

    #[inline]
    pub(super) fn swap_state(&self, from: u64, to: u64) -> bool {
        let swapped = self.state.compare_exchange(from, to, AcqRel, Relaxed);
        swapped.is_ok()
    }

    /// Returns the state of this owner, sealed and plain, unless there is none: the claim is
    /// pending, or the slot has been vacated or gone to another.
    #[inline]
    pub(super) fn read(&self, owner: Owner) -> Option<(u64, u64)> {
        let sealed = self.state.load(Acquire);
        let state = owner.seal(sealed);
        // A state of the next owner would have been written after that owner was.
        let is_of_key = !owner.is_nobody() && !owner.is_pending() && self.owner() == owner;
        (is_of_key && state != Owner::VACATED).then_some((sealed, state))
    }

    /// Changes the state of this owner. Returns `None` if there is none.
    #[inline]
    pub(super) fn change<R>(
        &self,
        owner: Owner,
        f: &mut impl FnMut(u64) -> Result<u64, R>,
    ) -> Option<Result<u64, R>> {
        loop {
            let (sealed, state) = self.read(owner)?;
            let (changed, answer) = match f(state) {
                Ok(changed) => (state_of(changed), Ok(changed)),
                Err(error) => (state_of(state), Err(error)),
            };
            if changed == state || self.swap_state(sealed, owner.seal(changed)) {
                return Some(answer);
            }
        }
    }

    /// Whether the owner has left the slot.
    pub(super) fn is_vacated(&self, owner: Owner) -> bool {
        self.read(owner).is_none()
    }

    /// Makes the state that of a key which is absent, before the key has the slot. Returns false if
    /// it is no longer claimed.
    pub(super) fn clear(&self, claimed: Owner) -> bool {
        let cleared = claimed.seal(0);
        loop {
            let sealed = self.state.load(Acquire);
            if self.owner() != claimed {
                return false;
            }
            if sealed == cleared || self.swap_state(sealed, cleared) {
                return true;
            }
        }
    }
}

/// Returns what is to be in a slot for a state: nothing for that of a key that is absent.
#[inline]
fn state_of(state: u64) -> u64 {
    match state {
        0 => Owner::VACATED,
        _ => state.min(Owner::VACATED - 1),
    }
}
