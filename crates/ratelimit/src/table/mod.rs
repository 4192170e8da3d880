//! A word of state for each of many keys, in memory of a fixed size.
//!
//! The table keeps words and does not know what they mean, but for two things: a key that is absent
//! has the state 0, and a state whose worth is 0 says no more than that, so that it gives way to
//! another key for free, the oldest first. Which is why nothing ever has to be swept.
//!
//! # Memory
//!
//! A slot is two words, an owner and a state. There are three slots to every two keys, in
//! sets of 16; a key has its place in one set, and no other slot is ever looked at for it. With as
//! many keys as the table is made for, 0.9 % of them find their set full.
//!
//! # Threads
//!
//! No thread waits for another. A key that is there is updated by one compare-and-swap of its
//! state. A slot changes hands in steps, each of which any thread can see and continue:
//!
//! | step | owner | state |
//! | --- | --- | --- |
//! | a key has it | `a` | of `a` |
//! | the key is forgotten, by the state alone: a concurrent update fails that | `a` | vacated |
//! | another claims it | `b`, pending | vacated |
//! | it is the only slot of that key: its state is made an absent one's | `b`, pending | 0 of `b` |
//! | the key has it | `b` | 0 of `b` |
//!
//! Two threads that claim a slot each for one key see each other, since both look through the set
//! after their claim: the slot that comes later in the set is given back.
//!
//! A state is sealed with its owner, as is known from the tables of chess programs: it cannot be
//! taken for that of another owner, and a compare-and-swap of a thread that was left behind cannot
//! succeed on it, but by a chance of one in 2^64.

#[cfg(all(test, not(watertight_loom)))]
mod attack;
#[cfg(all(test, watertight_loom))]
mod loom;
mod owner;
mod set;
mod slot;
mod sync;
mod words;

#[cfg(all(test, not(watertight_loom)))]
pub(crate) use set::Full;
pub use set::WhenFull;
pub(crate) use words::Table;
