//! The rules, by what they are about. Each is a function that plays one rule on a [stage](crate::stage).

pub(crate) mod answers;
pub(crate) mod cancellation;
pub(crate) mod cost;
pub(crate) mod panics;
pub(crate) mod readiness;
pub(crate) mod sharing;
pub(crate) mod wakes;
