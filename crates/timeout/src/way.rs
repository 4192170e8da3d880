use std::ops::Deref;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{Entry, Padded, Samples, Used, is_held_once};

use crate::explorers::Explorer;
use crate::machine::Machine;
use crate::plan::{Plan, in_nanos};

/// A call's way to its machine: the stripe of the thread that made it, or where there are keys the
/// entry of its key.
pub(crate) type Held = Arc<Padded<Way>>;

/// Leads to a machine, and keeps what calls have measured on its way there. Who holds a way is a
/// call.
#[derive(Debug)]
pub(crate) struct Way {
    machine: Arc<Machine>,
    samples: Samples,
    used: Used,
}

/// How a call begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// How many nanoseconds it may take.
    pub(crate) limit: u64,
    /// Whether its duration is one to learn from.
    pub(crate) teaches: bool,
}

impl Way {
    pub(crate) fn new(machine: Arc<Machine>) -> Self {
        Self {
            machine,
            samples: Samples::default(),
            used: Used::default(),
        }
    }

    pub(crate) fn machine(&self) -> Arc<Machine> {
        Arc::clone(&self.machine)
    }

    /// Says how a call of this plan begins.
    #[inline]
    pub(crate) fn start(&self, plan: Plan) -> Start {
        match self.learning() {
            Some(_) if plan.is_learnt() => Start {
                limit: self.learnt(),
                teaches: self.samples.pick().timed,
            },
            _ => Start::taught(plan.limit()),
        }
    }

    /// Takes note that a call has reached `limit`. Returns how many nanoseconds it may take if it
    /// goes on to explore.
    #[cold]
    pub(crate) fn goes_on(&self, began: u64, limit: u64, now: Instant) -> Option<(Explorer, u64)> {
        let (adaptive, learning) = (self.control.adaptive()?, self.learning()?);
        let (max, now) = (in_nanos(adaptive.max), self.control.time(now));
        let (every, calls_each) = (self.explores_every(), self.samples.calls_each());
        (limit < max && learning.goes_on(every, calls_each, now)).then(|| {
            let explorer = learning.explorers.send(limit, began);
            (explorer, explorer.may_take(limit, max))
        })
    }

    /// Takes note that a call that explored was answered, and records what that took if it
    /// `teaches`.
    #[cold]
    pub(crate) fn came_back(&self, explorer: Explorer, took: u64, teaches: bool, now: Instant) {
        let Some(learning) = self.learning() else {
            return;
        };
        learning.explorers.came_back(explorer, took, self.learnt());
        let Some(adaptive) = self.control.adaptive() else {
            return;
        };
        let time = self.control.time(now);
        if teaches && learning.explored(took, self.samples.calls_each(), time) {
            self.learn(learning, &adaptive, now);
        }
    }

    /// Takes note that one was not waited for any longer, or failed.
    #[cold]
    pub(crate) fn lost(&self, explorer: Explorer, after: u64) {
        if let Some(learning) = self.learning() {
            learning.explorers.lost(explorer, after, self.learnt());
        }
    }

    /// Takes note that the caller of one went away.
    #[cold]
    pub(crate) fn given_up_exploring(&self, explorer: Explorer, after: u64) {
        if let Some(learning) = self.learning() {
            learning.explorers.given_up(explorer, after, self.learnt());
        }
    }

    /// Records that the caller of a call went away when it had taken this long.
    #[cold]
    pub(crate) fn given_up(&self, after: u64, now: Instant) {
        let (Some(adaptive), Some(learning)) = (self.control.adaptive(), self.learning()) else {
            return;
        };
        let time = self.control.time(now);
        if learning.given_up(after, self.samples.calls_each(), time) {
            self.learn(learning, &adaptive, now);
        }
    }

    /// Records what an answer took.
    #[inline]
    pub(crate) fn record(&self, took: u64, now: Instant) {
        let time = self.control.time(now);
        if self.samples.keep(took, time) {
            self.hand_over(time, now);
        }
    }

    /// Records that a call was cut off at `limit`.
    #[cold]
    pub(crate) fn cut(&self, limit: u64, now: Instant) {
        let (Some(adaptive), Some(learning)) = (self.control.adaptive(), self.learning()) else {
            return;
        };
        let time = self.control.time(now);
        if learning.cut(limit, self.samples.calls_each(), time) {
            self.learn(learning, &adaptive, now);
        }
    }

    fn hand_over(&self, time: u64, now: Instant) {
        let (Some(adaptive), Some(learning)) = (self.control.adaptive(), self.learning()) else {
            return;
        };
        let calls_each = self.samples.calls_each();
        let samples = self.samples.take(time, learning.due(&adaptive, time));
        if learning.record(samples, calls_each, time) {
            self.learn(learning, &adaptive, now);
        }
    }
}

impl Start {
    /// A call of which nothing is learnt.
    #[inline]
    pub(crate) const fn taught(limit: u64) -> Self {
        Self {
            limit,
            teaches: false,
        }
    }
}

impl Deref for Way {
    type Target = Machine;

    #[inline]
    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Entry for Way {
    /// What is known of a key may go, and that of the one that was asked for least goes first. One
    /// that somebody holds a handle of stays.
    fn worth(&self, _: Instant) -> Option<u64> {
        is_held_once(&self.machine).then(|| self.samples.calls())
    }

    #[inline]
    fn used(&self) -> &Used {
        &self.used
    }
}
