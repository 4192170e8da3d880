use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Budget, ConfigError, Mode, Padded, Samples, nanos};

use crate::counts::Counts;
use crate::latencies::Latencies;
use crate::plan::{CurrentPlan, Plan};
use crate::shared_config::SharedConfig;
use crate::{HedgeConfig, Trigger};

/// What the calls of one layer learn and go by.
#[derive(Debug)]
pub(crate) struct Machine {
    plan: CurrentPlan,
    latencies: Latencies,
    config: SharedConfig,
    pub(crate) counts: Counts,
}

impl Machine {
    pub(crate) fn new(config: HedgeConfig, counts: Counts, now: Instant) -> Self {
        Self {
            plan: CurrentPlan::new(Plan::new(&config)),
            latencies: Latencies::new(config.min_samples, now),
            config: SharedConfig::new(config),
            counts,
        }
    }

    #[inline]
    pub(crate) fn plan(&self) -> Plan {
        self.plan.load()
    }

    pub(crate) fn config(&self) -> Arc<HedgeConfig> {
        Arc::clone(&self.config.load())
    }

    /// Returns how many nanoseconds have passed at `now`.
    #[inline]
    pub(crate) fn time(&self, now: Instant) -> u64 {
        self.latencies.time(now)
    }

    /// Returns when so many nanoseconds had passed.
    pub(crate) fn at(&self, time: u64) -> Option<Instant> {
        self.latencies.at(time)
    }

    /// Returns after what time a call is hedged now.
    pub(crate) fn delay(&self) -> Option<Duration> {
        match &self.config.load().trigger {
            Trigger::Custom(delay) => delay.ask(&self.latencies),
            Trigger::Percentile(_) | Trigger::After(_) => self.plan().delay(),
        }
    }

    /// Puts `config` in force. One at a time.
    pub(crate) fn reconfigure(&self, config: HedgeConfig, now: Instant) -> Result<(), ConfigError> {
        config.validate()?;
        self.latencies.set_min_samples(config.min_samples);
        let plan = Plan::new(&config);
        self.config.store(config);
        self.plan.store(plan);
        self.learn(now);
        Ok(())
    }

    /// Changes nothing but the mode. One at a time.
    pub(crate) fn set_mode(&self, mode: Mode, now: Instant) {
        let mut config = HedgeConfig::clone(&self.config.load());
        config.mode = mode;
        let plan = Plan::new(&config);
        self.config.store(config);
        self.plan.store(plan);
        self.learn(now);
    }

    /// Records what calls took, and learns from it if that is worth while.
    pub(crate) fn record(&self, durations: impl Iterator<Item = Duration>, now: Instant) {
        if self.latencies.record(durations, now) {
            self.learn(now);
        }
    }

    /// Puts the delay in force that follows from the latencies.
    pub(crate) fn learn(&self, now: Instant) {
        loop {
            let config = self.config.load();
            let Trigger::Percentile(p) = config.trigger else {
                return;
            };
            self.plan.learn(self.latencies.quantile_at(p, now));
            self.latencies.looked(now);
            // What was learnt may be of a percentile that somebody has replaced meanwhile.
            if Arc::ptr_eq(&config, &self.config.load()) {
                return;
            }
        }
    }
}

/// What the calls of one thread hold: the way to the machine and the budget, and the durations
/// that they have on hand.
#[derive(Debug)]
pub(crate) struct Stripe {
    machine: Arc<Machine>,
    budget: Budget,
    samples: Samples,
}

impl Stripe {
    pub(crate) fn new(machine: &Arc<Machine>, budget: &Budget) -> Self {
        Self {
            machine: Arc::clone(machine),
            budget: budget.clone(),
            samples: Samples::default(),
        }
    }

    /// Records what an answer took that began at this time.
    #[inline]
    pub(crate) fn record(&self, began: u64, now: Instant) {
        let time = self.machine.time(now);
        if self.samples.keep(time.saturating_sub(began), time) {
            self.hand_over(now);
        }
    }

    /// Whether the call that comes is to be timed.
    #[inline]
    pub(crate) fn pick(&self) -> bool {
        self.samples.pick().timed
    }

    /// Records that an attempt that began at this time took longer than until now, and nobody knows
    /// how much longer.
    ///
    /// It is a sample like others where it outlived the delay: then it stands above the percentile,
    /// as it would have if it had been waited for. One that did not says nothing of the tail. To
    /// leave both away would drop just the slow ones, and the delay would sink; to record both as
    /// they are would have each caller who goes away early pull it down.
    pub(crate) fn record_at_least(&self, began: u64, delay: Duration, now: Instant) {
        let longest = self.machine.plan().delay().unwrap_or_default().max(delay);
        if self.machine.time(now).saturating_sub(began) >= nanos(longest) {
            self.record(began, now);
        }
    }

    fn hand_over(&self, now: Instant) {
        let latencies = &self.machine.latencies;
        let samples = self.samples.take(latencies.time(now), latencies.due(now));
        self.machine.record(samples, now);
    }
}

impl Deref for Stripe {
    type Target = Machine;

    #[inline]
    fn deref(&self) -> &Machine {
        &self.machine
    }
}

/// A call's way to all that: the stripe of the thread that made it.
#[derive(Debug)]
pub(crate) struct Way(pub(crate) Arc<Padded<Stripe>>);

impl AsRef<Budget> for Way {
    #[inline]
    fn as_ref(&self) -> &Budget {
        &self.0.budget
    }
}

impl Deref for Way {
    type Target = Stripe;

    #[inline]
    fn deref(&self) -> &Stripe {
        &self.0.0
    }
}
