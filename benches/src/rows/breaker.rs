//! Circuit breakers.

use crate::peers::{FailsafeLayer, RecloserLayer, count_window, forced_open};
use crate::{Family, Row};

pub(super) fn family() -> Family {
    Family {
        name: "breaker",
        rows: vec![
            Row::success("recloser", RecloserLayer::closed).reference(),
            Row::success("failsafe", FailsafeLayer::closed),
            Row::success("tower-resilience", count_window),
            Row::refusal("recloser, open", RecloserLayer::open).reference(),
            Row::refusal("failsafe, open", FailsafeLayer::open),
            Row::refusal("tower-resilience, open", forced_open),
        ],
    }
}
