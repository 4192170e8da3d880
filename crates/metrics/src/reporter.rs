use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing::{Level, enabled, info, warn};
use watertight_core::{Key, Mode, Name, Reason, nanos};

use crate::burst::Burst;
use crate::event::What;
use crate::registry::Registry;
use crate::{Event, InstanceSnapshot, StateChange};

/// How a layer speaks of itself: to the subscribers of its registry, and to `tracing`.
///
/// Nothing here blocks or panics, and nothing is for calls that go well.
#[derive(Clone)]
pub struct Reporter {
    shared: Arc<Shared>,
    key: Option<Key>,
    label: Option<Arc<str>>,
}

struct Shared {
    registry: Registry,
    layer: &'static str,
    name: Name,
    epoch: Instant,
    /// By [`place_of`] their reason.
    refusals: [Burst; REASONS],
    refusals_in_shadow: [Burst; REASONS],
    overflows: Burst,
    exhaustions: Burst,
    store_failures: Burst,
    /// What has been handed over when the instance went.
    retired: Mutex<Option<InstanceSnapshot>>,
}

/// The target of all that goes to `tracing`.
const TARGET: &str = "watertight";

impl Reporter {
    pub(crate) fn new(registry: &Registry, layer: &'static str, name: Name) -> Self {
        Self {
            shared: Arc::new(Shared {
                registry: registry.clone(),
                layer,
                name,
                epoch: Instant::now(),
                refusals: Default::default(),
                refusals_in_shadow: Default::default(),
                overflows: Burst::default(),
                exhaustions: Burst::default(),
                store_failures: Burst::default(),
                retired: Mutex::default(),
            }),
            key: None,
            label: None,
        }
    }

    /// Returns one for what serves `key` alone.
    #[must_use]
    pub fn with_key(&self, key: Key, label: Option<Arc<str>>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            key: Some(key),
            label,
        }
    }

    /// Returns the label of the key.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Tells subscribers of a change of state. Called under the lock under which the state changes,
    /// so that they hear of changes in their order; no code of a subscriber runs here.
    pub fn state_changed(&self, change: StateChange) {
        self.send(What::StateChanged(change));
    }

    /// Tells `tracing` of a change of state. That runs code of users: it is for when the lock is
    /// free again.
    pub fn log_state_change(&self, change: StateChange) {
        let Shared { layer, name, .. } = *self.shared;
        let StateChange {
            from,
            to,
            cause,
            figures,
        } = change;
        unharmed(|| {
            info!(
                target: TARGET,
                layer,
                %name,
                key = self.label.as_deref(),
                from,
                to,
                reason = cause,
                calls = figures.calls,
                failure_rate = figures.failure_rate,
                slow_rate = figures.slow_rate,
                consecutive_failures = figures.consecutive_failures,
                "state changed"
            );
        });
    }

    /// Says that the mode has changed.
    pub fn mode_changed(&self, mode: Mode) {
        let Shared { layer, name, .. } = *self.shared;
        self.send(What::ModeChanged { mode });
        unharmed(|| info!(target: TARGET, layer, %name, mode = mode.as_str(), "mode changed"));
    }

    /// Says that the settings have changed.
    pub fn config_changed(&self) {
        let Shared { layer, name, .. } = *self.shared;
        self.send(What::ConfigChanged);
        unharmed(|| info!(target: TARGET, layer, %name, "settings changed"));
    }

    /// Says that there is no budget left, once a second.
    pub fn budget_exhausted(&self, now: Instant) {
        let Shared { layer, name, .. } = *self.shared;
        if let Some(unsaid) = self.shared.exhaustions.say(self.at(now)) {
            self.send(What::BudgetExhausted);
            unharmed(|| warn!(target: TARGET, layer, %name, unsaid, "budget exhausted"));
        }
    }

    /// Says that there is no place for a new key, once a second.
    pub fn keys_overflowed(&self, now: Instant) {
        let Shared { layer, name, .. } = *self.shared;
        if let Some(unsaid) = self.shared.overflows.say(self.at(now)) {
            self.send(What::KeysOverflowed);
            unharmed(|| warn!(target: TARGET, layer, %name, unsaid, "no place for new keys"));
        }
    }

    /// Says that what keeps the layer's state does not answer, once a second.
    pub fn store_failed(&self, error: &dyn Error, now: Instant) {
        let Shared { layer, name, .. } = *self.shared;
        if let Some(unsaid) = self.shared.store_failures.say(self.at(now)) {
            self.send(What::StoreFailed);
            unharmed(|| warn!(target: TARGET, layer, %name, %error, unsaid, "store failed"));
        }
    }

    /// Tells `tracing` of a refused call, once a second for each reason. `now` is read only if somebody listens.
    #[inline]
    pub fn refused(&self, reason: Reason, mode: Mode, now: impl FnOnce() -> Instant) {
        // What nobody in the process listens to is told at one glance.
        if LevelFilter::current() >= Level::WARN {
            self.refused_aloud(reason, mode, now);
        }
    }

    fn refused_aloud(&self, reason: Reason, mode: Mode, now: impl FnOnce() -> Instant) {
        unharmed(|| {
            if enabled!(target: TARGET, Level::WARN) {
                self.log_refusal(reason, mode, now());
            }
        });
    }

    #[cold]
    fn log_refusal(&self, reason: Reason, mode: Mode, now: Instant) {
        let Shared { layer, name, .. } = *self.shared;
        let shadow = mode == Mode::Shadow;
        let bursts = if shadow {
            &self.shared.refusals_in_shadow
        } else {
            &self.shared.refusals
        };
        let burst = &bursts[place_of(reason)];
        let Some(unsaid) = burst.say(self.at(now)) else {
            return;
        };
        warn!(
            target: TARGET,
            layer,
            %name,
            key = self.label.as_deref(),
            reason = reason.as_str(),
            shadow,
            unsaid,
            "call refused"
        );
    }

    /// Takes what an instance that goes away has counted, so that metrics lose nothing.
    ///
    /// Called when it is dropped, and again when the last of its calls has ended, if they may
    /// outlive it: with all that has been counted, of which what is known already is left out.
    pub fn retired(&self, last: InstanceSnapshot) {
        let known = self.shared.retired.lock();
        let known = known
            .unwrap_or_else(PoisonError::into_inner)
            .replace(last.clone());
        self.shared.registry.retire(&match known {
            Some(known) => last.since(&known),
            None => last,
        });
    }

    pub(crate) fn name_taken(&self) {
        let Shared { layer, name, .. } = *self.shared;
        self.send(What::NameTaken);
        unharmed(|| warn!(target: TARGET, layer, %name, "another live layer has this name"));
    }

    fn send(&self, what: What) {
        unharmed(|| {
            self.shared.registry.send(|| Event {
                layer: self.shared.layer,
                name: self.shared.name,
                key: self.key,
                label: self.label.clone(),
                what,
            });
        });
    }

    fn at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.shared.epoch))
    }
}

const REASONS: usize = 13;

/// Returns which burst is that of a reason.
fn place_of(reason: Reason) -> usize {
    match reason {
        Reason::CircuitOpen => 0,
        Reason::NotReady => 1,
        Reason::BulkheadFull => 2,
        Reason::QueueTimeout => 3,
        Reason::Overloaded => 4,
        Reason::RateLimited => 5,
        Reason::DeadlineExceeded => 6,
        Reason::TimedOut => 7,
        Reason::InjectedFault(_) => 8,
        Reason::KeyMissing => 9,
        Reason::KeyInvalid => 10,
        Reason::KeyInUse => 11,
        // Reasons to come share one with the last.
        _ => 12,
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("layer", &self.shared.layer)
            .field("name", &self.shared.name)
            .field("key", &self.key)
            .field("label", &self.label)
            .finish()
    }
}

/// Runs code of a `tracing` subscriber, or the wakers of those that wait for events. If it panics,
/// that is no reason for a call to fail.
fn unharmed(tell: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(tell));
}
