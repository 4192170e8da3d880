//! What is done with quotas, as the scripts call it.

use watertight_ratelimit::store::Act;

/// Returns the name of an act, `None` if it is not known here.
pub(crate) const fn name(act: Act) -> Option<&'static str> {
    match act {
        Act::Take(_) => Some("take"),
        Act::TakeUpTo(_) => Some("most"),
        Act::GiveBack(_) => Some("back"),
        Act::Charge(_) => Some("charge"),
        // Where there are no turns, there is none to leave.
        Act::Peek(_) | Act::Leave { .. } => Some("look"),
        _ => None,
    }
}

/// Returns how much an act is about.
pub(crate) const fn amount(act: Act) -> u64 {
    match act {
        Act::Take(amount)
        | Act::TakeUpTo(amount)
        | Act::GiveBack(amount)
        | Act::Charge(amount)
        | Act::Peek(amount) => amount,
        _ => 0,
    }
}

/// Returns what is still asked for when an act has been done: the cost of a call that was refused,
/// or that was only looked at.
pub(crate) fn cost_asked(act: Act, admitted: bool, taken: u64) -> u64 {
    match act {
        Act::Take(cost) if !admitted => cost,
        Act::TakeUpTo(most) if taken == 0 => most.min(1),
        Act::Peek(cost) => cost,
        _ => 0,
    }
}
