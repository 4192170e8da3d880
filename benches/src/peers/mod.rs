//! The layers of others, as a user would put them into a stack.

use std::cell::Cell;

mod failsafe;
mod governor;
mod http;
mod recloser;
mod tokio;
pub(crate) mod tower;
pub(crate) mod tower_resilience;

pub(crate) use failsafe::FailsafeLayer;
pub(crate) use governor::GovernorLayer;
pub(crate) use http::{OverHttp, bare_http, tower_governor_ample, tower_governor_dry};
pub(crate) use recloser::RecloserLayer;
pub(crate) use tokio::SpawnBlockingLayer;

/// Returns one of so many keys: each comes as often as any other, in no order.
pub(crate) fn any_key(keys: u64) -> u64 {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }

    // The increment of SplitMix64 and the first step of its mixing.
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((u128::from(mixed) * u128::from(keys)) >> u64::BITS) as u64
}
