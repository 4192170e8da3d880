use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::Adaptive;
use crate::control::Control;
use crate::learning::Learning;
use crate::plan::{Plan, UNLIMITED, in_nanos, in_time};

/// One limit, and what it is learnt from where it is adaptive.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) control: Arc<Control>,
    /// The nanoseconds of the adaptive limit.
    learnt: AtomicU64,
    /// One call in so many explores.
    every: AtomicU64,
    /// Made when it is adaptive.
    learning: OnceLock<Box<Learning>>,
    label: Option<String>,
}

impl Machine {
    pub(crate) fn new(control: Arc<Control>, label: Option<String>) -> Self {
        let machine = Self {
            control,
            learnt: AtomicU64::new(UNLIMITED),
            every: AtomicU64::new(1),
            learning: OnceLock::new(),
            label,
        };
        machine.settings_changed(Instant::now());
        machine
    }

    /// Returns how many nanoseconds a call of this plan may take.
    #[inline]
    pub(crate) fn limit(&self, plan: Plan) -> u64 {
        if plan.is_learnt() {
            self.learnt()
        } else {
            plan.limit()
        }
    }

    /// Returns the nanoseconds of the adaptive limit.
    #[inline]
    pub(crate) fn learnt(&self) -> u64 {
        self.learnt.load(Ordering::Relaxed)
    }

    /// Returns after what time a call is ended now.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        in_time(self.limit(self.control.plan()))
    }

    pub(crate) fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Returns what the limit is learnt from, if it is.
    #[inline]
    pub(crate) fn learning(&self) -> Option<&Learning> {
        self.learning.get().map(|learning| &**learning)
    }

    /// One call in so many explores.
    #[inline]
    pub(crate) fn explores_every(&self) -> u64 {
        self.every.load(Ordering::Relaxed)
    }

    /// Takes note that there are other settings.
    pub(crate) fn settings_changed(&self, now: Instant) {
        if let Some(adaptive) = self.control.adaptive() {
            self.every
                .store((1.0 / adaptive.explore).round() as u64, Ordering::Relaxed);
            let learning = self.learning.get_or_init(|| Box::new(Learning::new(now)));
            learning.explorers.share_changed();
            self.learn(learning, &adaptive, now);
        }
    }

    /// Puts the timeout in force that follows from what is known.
    pub(crate) fn learn(&self, learning: &Learning, adaptive: &Adaptive, now: Instant) {
        let timeout = learning.timeout(adaptive, self.learnt(), self.control.time(now));
        self.learnt.store(in_nanos(timeout), Ordering::Relaxed);
    }
}
