use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, interval};
use watertight_core::Context;

use crate::server::Counter;

/// What services do for a call until it is dropped, and how long they thought that they had.
#[derive(Clone, Debug)]
pub(super) struct Work {
    ticks: Counter,
    remaining: Arc<Mutex<Vec<(&'static str, Duration)>>>,
    at_work: watch::Sender<usize>,
}

impl Work {
    pub(super) fn new() -> Self {
        Self {
            ticks: Counter::default(),
            remaining: Arc::default(),
            at_work: watch::Sender::new(0),
        }
    }

    /// Works for a call in `service`, and never ends.
    pub(super) async fn toil(&self, service: &'static str) -> Infallible {
        let _worker = Worker::begin(self);
        if let Some(left) = Context::current().remaining(Instant::now()) {
            self.remaining.lock().unwrap().push((service, left));
        }
        let mut clock = interval(Duration::from_millis(1));
        loop {
            clock.tick().await;
            self.ticks.count();
        }
    }

    /// Waits until nobody works.
    pub(super) async fn over(&self) {
        let mut at_work = self.at_work.subscribe();
        at_work.wait_for(|workers| *workers == 0).await.unwrap();
    }

    /// How many are at work.
    pub(super) fn workers(&self) -> usize {
        *self.at_work.borrow()
    }

    /// How much has been done.
    pub(super) fn done(&self) -> usize {
        self.ticks.get()
    }

    /// How long each service thought that it had, in the order in which they were called.
    pub(super) fn remaining(&self) -> Vec<(&'static str, Duration)> {
        self.remaining.lock().unwrap().clone()
    }
}

/// One who works, until it is dropped.
struct Worker(watch::Sender<usize>);

impl Worker {
    fn begin(work: &Work) -> Self {
        work.at_work.send_modify(|workers| *workers += 1);
        Self(work.at_work.clone())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.send_modify(|workers| *workers -= 1);
    }
}
