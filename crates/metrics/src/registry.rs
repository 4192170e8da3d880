use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::broadcast::Sender;
use tokio::time::{MissedTickBehavior, interval};
use watertight_core::Name;

use crate::publisher::Publisher;
use crate::{Event, Events, Handle, Instance, InstanceSnapshot, Reporter, Snapshot};

/// Where every named layer counts, reports and is found again.
///
/// A clone is the same registry. It holds its layers weakly: one that is dropped disappears, and
/// what it has counted stays counted.
///
/// Two live layers of one kind and name are both in the snapshot, summed up in metrics, and one
/// event warns of them.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

struct Shared {
    live: Mutex<Vec<Listed>>,
    publisher: Publisher,
    events: Sender<Event>,
}

struct Listed {
    kind: &'static str,
    name: Name,
    instance: Weak<dyn Instance>,
}

impl Registry {
    /// Creates an empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                live: Mutex::default(),
                publisher: Publisher::default(),
                events: Sender::new(Events::CAPACITY),
            }),
        }
    }

    /// Returns the registry that layers report to unless they are told otherwise.
    #[must_use]
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        GLOBAL.get_or_init(Self::new)
    }

    /// Returns the voice of a layer that is about to be registered.
    #[must_use]
    pub fn reporter(&self, kind: &'static str, name: Name) -> Reporter {
        Reporter::new(self, kind, name)
    }

    /// Lists a layer, for as long as it lives.
    pub fn register<I: Instance>(&self, instance: &Arc<I>) {
        let (kind, name) = (instance.kind(), instance.name());
        let mut live = self.live();
        live.retain(|listed| listed.instance.strong_count() > 0);
        let taken = live
            .iter()
            .any(|listed| listed.kind == kind && listed.name == name);
        let instance: Weak<I> = Arc::downgrade(instance);
        live.push(Listed {
            kind,
            name,
            instance,
        });
        drop(live);

        if taken {
            self.reporter(kind, name).name_taken();
        }
    }

    /// Returns a handle on the layer called `name` that was made last.
    #[must_use]
    pub fn find<H: Handle>(&self, name: &str) -> Option<H> {
        self.found(name).next_back()
    }

    /// Returns handles on all layers called `name`, the oldest first.
    #[must_use]
    pub fn find_all<H: Handle>(&self, name: &str) -> Vec<H> {
        self.found(name).collect()
    }

    /// Returns what all layers look like now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            instances: self.snapshots(),
        }
    }

    /// Returns the events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Events {
        Events::of(&self.shared.events)
    }

    /// Writes what has been counted since the last call to the installed
    /// [`metrics`](https://docs.rs/metrics) recorder, and how things stand. Without a recorder, or
    /// with one that takes none of our gauges, it does nothing, and nothing is lost.
    ///
    /// A handler of `/metrics` calls it first. The recorder itself must not: it is called under the
    /// lock that makes each growth be written once.
    pub fn publish(&self) {
        self.shared.publisher.publish(|| self.snapshots());
    }

    /// Returns a future that [publishes](Self::publish) at once and then after each `period`, at
    /// most each millisecond, and never ends. It is for the user to spawn, and keeps the registry
    /// alive.
    pub fn publish_every(
        &self,
        period: Duration,
    ) -> impl Future<Output = Infallible> + Send + 'static + use<> {
        let registry = self.clone();
        async move {
            let mut ticks = interval(period.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                registry.publish();
            }
        }
    }

    pub(crate) fn send(&self, event: impl FnOnce() -> Event) {
        let events = &self.shared.events;
        if events.receiver_count() > 0 {
            // The last of them may just have gone.
            let _ = events.send(event());
        }
    }

    pub(crate) fn retire(&self, last: &InstanceSnapshot) {
        self.shared.publisher.retire(last);
    }

    fn found<H: Handle>(&self, name: &str) -> impl DoubleEndedIterator<Item = H> {
        let called_so: Vec<_> = self
            .live()
            .iter()
            .filter(|listed| listed.name.as_str() == name)
            .filter_map(|listed| listed.instance.upgrade())
            .collect();
        called_so
            .into_iter()
            .filter_map(|instance| H::from_instance(instance))
    }

    /// Looks at all instances, while the registry is free: they may use it, and what is dropped
    /// here may retire.
    fn snapshots(&self) -> Vec<InstanceSnapshot> {
        let instances: Vec<_> = self
            .live()
            .iter()
            .filter_map(|listed| listed.instance.upgrade())
            .collect();
        instances
            .iter()
            .map(|instance| instance.snapshot())
            .collect()
    }

    fn live(&self) -> MutexGuard<'_, Vec<Listed>> {
        self.shared
            .live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.live();
        let names = live.iter().map(|listed| (listed.kind, listed.name));
        f.debug_set().entries(names).finish()
    }
}
