use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use watertight_core::Name;
use watertight_metrics::{
    Handle, Instance, InstanceSnapshot, Registry, Reporter, StateSnapshot, TransitionCount,
};

/// A layer that looks as a test says.
pub(crate) struct Fake {
    kind: &'static str,
    name: Name,
    pub(crate) reporter: Reporter,
    looks: Mutex<InstanceSnapshot>,
    /// How often somebody looked.
    pub(crate) looked: AtomicUsize,
}

impl Fake {
    pub(crate) fn new(registry: &Registry, kind: &'static str, name: &str) -> Arc<Self> {
        let name = Name::new(name);
        let fake = Arc::new(Self {
            kind,
            name,
            reporter: registry.reporter(kind, name),
            looks: Mutex::new(InstanceSnapshot::new(kind, name)),
            looked: AtomicUsize::new(0),
        });
        registry.register(&fake);
        fake
    }

    pub(crate) fn set(&self, set: impl FnOnce(&mut InstanceSnapshot)) {
        set(&mut self.looks.lock().unwrap());
    }

    pub(crate) fn succeed(&self, calls: u64) {
        self.set(|looks| looks.calls.success += calls);
    }

    /// Goes to `current`, as a breaker does.
    pub(crate) fn go_to(&self, current: &'static str) {
        self.set(|looks| {
            if let Some(before) = looks.state {
                looks.transitions.push(TransitionCount {
                    from: before.current,
                    to: current,
                    count: 1,
                });
            }
            looks.state = Some(StateSnapshot {
                current,
                all: &["closed", "open", "half_open"],
            });
        });
    }
}

impl Instance for Fake {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn name(&self) -> Name {
        self.name
    }

    fn snapshot(&self) -> InstanceSnapshot {
        self.looked.fetch_add(1, Ordering::Relaxed);
        self.looks.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.reporter.retired(self.snapshot());
    }
}

pub(crate) struct FakeHandle(pub(crate) Arc<Fake>);

impl Handle for FakeHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self)
    }
}
