use std::sync::atomic::{AtomicU32, Ordering};

use watertight_core::Mode;

use crate::{BulkheadConfig, Limit, Order};

/// What a call has to know when it comes, in one word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Plan(u32);

/// Calls are timed, for the limit learns from them. The mode is below this.
const TIMED: u32 = 1 << Mode::BITS;
/// Priorities make a difference.
const SORTED: u32 = TIMED << 1;
/// There are partitions.
const PARTITIONED: u32 = TIMED << 2;
/// All keys together have a limit, too.
const TOTAL: u32 = TIMED << 3;

impl Plan {
    pub(crate) fn new(config: &BulkheadConfig) -> Self {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let is_sorted = config.order == Order::Priority || !config.reserve.is_empty();
        Self(
            config.mode as u32
                | flag(!matches!(config.limit, Limit::Fixed(_)), TIMED)
                | flag(is_sorted, SORTED)
                | flag(!config.partitions.is_empty(), PARTITIONED)
                | flag(config.total.is_some(), TOTAL),
        )
    }

    /// Has calls timed whatever the config says, if `is_timed`.
    pub(crate) const fn timed_if(self, is_timed: bool) -> Self {
        Self(self.0 | if is_timed { TIMED } else { 0 })
    }

    #[inline]
    pub(crate) const fn mode(self) -> Mode {
        Mode::of_word(self.0 as u64)
    }

    #[inline]
    pub(crate) const fn is_timed(self) -> bool {
        self.0 & TIMED != 0
    }

    #[inline]
    pub(crate) const fn is_sorted(self) -> bool {
        self.0 & SORTED != 0
    }

    #[inline]
    pub(crate) const fn is_partitioned(self) -> bool {
        self.0 & PARTITIONED != 0
    }

    #[inline]
    pub(crate) const fn has_total(self) -> bool {
        self.0 & TOTAL != 0
    }
}

/// The plan that is in force.
#[derive(Debug)]
pub(crate) struct CurrentPlan(AtomicU32);

impl CurrentPlan {
    pub(crate) const fn new(plan: Plan) -> Self {
        Self(AtomicU32::new(plan.0))
    }

    #[inline]
    pub(crate) fn load(&self) -> Plan {
        Plan(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn store(&self, plan: Plan) {
        self.0.store(plan.0, Ordering::Relaxed);
    }
}
