use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use watertight_core::{BoxError, ConfigError, Context, Mode, Name, Reason};
use watertight_metrics::{Instance, InstanceSnapshot, Registry, Reporter};

use super::config::IsolateConfig;
use super::door::Door;
use super::pool::Pool;
use super::turn::Turn;
use crate::BulkheadSnapshot;
use crate::counts::{Count, Counts};
use crate::plan::{CurrentPlan, Plan};
use crate::settings::Settings;
use crate::slots::{Arrival, Permit, Refusal, Room, RoomSettings, Visitor};

/// What all services of one layer share: a room, and where the calls run that are in it.
#[derive(Debug)]
pub(crate) struct Shared {
    name: Name,
    pub(super) pool: Pool,
    pub(super) room: Room,
    plan: CurrentPlan,
    /// It guards the changes of all that is made of it, too: one at a time.
    config: Mutex<IsolateConfig>,
    counts: Arc<Counts>,
    reporter: Reporter,
}

/// What becomes of a call that comes.
pub(super) enum Admission {
    Admitted(Permit<Door>),
    Waits(Turn),
    /// It runs where it was made.
    Passes,
    Refused(BoxError),
}

impl Shared {
    const KIND: &'static str = "isolate";

    pub(super) fn new(
        name: Name,
        config: IsolateConfig,
        pool: Pool,
        registry: &Registry,
    ) -> Arc<Self> {
        let reporter = registry.reporter(Self::KIND, name);
        let shared = Arc::new(Self {
            name,
            pool,
            room: Room::new(room(&config)),
            plan: CurrentPlan::new(plan(&config)),
            config: Mutex::new(config),
            counts: Arc::new(Counts::new(Self::KIND, name, reporter.clone())),
            reporter,
        });
        registry.register(&shared);
        shared
    }

    /// Decides on a call that comes.
    pub(super) fn admit(self: &Arc<Self>) -> Admission {
        let mode = self.plan.load().mode();
        if mode == Mode::Off {
            return Admission::Passes;
        }
        let mut visitor = Visitor::default();
        Context::with(|context| {
            if let Some(context) = context {
                visitor.deadline = context.deadline;
                visitor.class.priority = context.priority;
            }
        });
        if let Some(permit) = Room::enter(self, &visitor) {
            return Admission::Admitted(permit);
        }
        if mode == Mode::Shadow {
            self.counts.add(Count::FullInShadow);
            let reason = Reason::BulkheadFull;
            self.reporter.refused(reason, Mode::Shadow, Instant::now);
            return Admission::Passes;
        }
        match Room::arrive(self, &visitor, Instant::now) {
            Arrival::Entered(permit) => Admission::Admitted(permit),
            Arrival::Waiting(ticket) => Admission::Waits(Turn::new(Arc::clone(self), ticket)),
            Arrival::Refused(refusal) => Admission::Refused(self.refuse(refusal)),
        }
    }

    /// Counts a refusal, and makes the error of it.
    pub(super) fn refuse(&self, refusal: Refusal) -> BoxError {
        self.counts.refused(refusal.reason);
        self.reporter
            .refused(refusal.reason, Mode::Enforce, Instant::now);
        refusal.error(self.name)
    }

    pub(super) const fn name(&self) -> Name {
        self.name
    }

    pub(super) const fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        {
            let mut config = self.config();
            config.mode = mode;
            self.plan.store(plan(&config));
        }
        self.reporter.mode_changed(mode);
    }

    /// Puts the config in force that `change` makes of the one that is.
    pub(super) fn reconfigure(
        &self,
        change: impl FnOnce(&IsolateConfig) -> IsolateConfig,
    ) -> Result<(), ConfigError> {
        let woken = {
            let mut config = self.config();
            let changed = change(&config);
            changed.validate()?;
            let woken = self.room.reconfigure(room(&changed), Instant::now);
            self.plan.store(plan(&changed));
            *config = changed;
            woken
        };
        drop(woken);
        self.reporter.config_changed();
        Ok(())
    }

    pub(super) fn look(&self) -> BulkheadSnapshot {
        let waits = self.counts.waits(Instant::now());
        BulkheadSnapshot::new(&self.room, self.plan.load().mode(), waits)
    }

    fn config(&self) -> MutexGuard<'_, IsolateConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plan(config: &IsolateConfig) -> Plan {
    Plan::new(&config.of_bulkhead())
}

fn room(config: &IsolateConfig) -> RoomSettings {
    Settings::new(config.of_bulkhead()).room(1)
}

impl Instance for Shared {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn name(&self) -> Name {
        self.name
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let look = self.look();
        let mut snapshot = self.counts.snapshot();
        snapshot.mode = look.mode;
        snapshot.limit = Some(look.limit as u64);
        snapshot.in_flight = Some(look.in_flight as u64);
        snapshot.queue_depth = Some(look.queued as u64);
        snapshot.utilization = Some(look.utilization);
        snapshot.queue_wait = look.queue_wait;
        snapshot.config = self.config().describe();
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.counts.retire(self.counts.snapshot());
    }
}
