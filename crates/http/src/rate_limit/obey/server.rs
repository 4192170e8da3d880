use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};
use watertight_core::{Entry, Used};

use super::allowance::{Allowance, Start, Terms, Ticket};
use super::said::Said;

/// A server, as its callers know it.
#[derive(Debug)]
pub(super) struct Server {
    allowance: Mutex<Allowance>,
    /// Who has it is the next to start. It is fair: calls start in the order in which they came.
    gate: Semaphore,
    /// Tells the next to start that more is known.
    news: Notify,
    waiting: AtomicUsize,
    used: Used,
}

/// What becomes of a call that arrives.
#[derive(Debug)]
pub(super) enum Arrival {
    Starts(Ticket),
    Waits(Place),
    /// It would have to wait for so long.
    Refused(Duration),
}

/// The bounds of a wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// When the call is not to be made any more.
    pub(super) until: Instant,
    /// How many calls may wait for one server.
    pub(super) max_waiting: usize,
}

/// A place among those that wait, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Server>);

impl Server {
    pub(super) fn new() -> Self {
        Self {
            allowance: Mutex::new(Allowance::new()),
            gate: Semaphore::new(1),
            news: Notify::new(),
            waiting: AtomicUsize::new(0),
            used: Used::default(),
        }
    }

    /// Starts a call now, or finds it a place, or neither.
    pub(super) fn arrive(self: &Arc<Self>, patience: Patience, now: Instant) -> Arrival {
        let mut allowance = self.allowance();
        let waiting = self.waiting();
        // Nobody overtakes those that wait.
        if waiting == 0
            && let Start::Now(ticket) = allowance.start(now)
        {
            return Arrival::Starts(ticket);
        }
        let at = allowance.estimate(waiting as u64, now);
        let wait = at.map_or(Duration::ZERO, |at| at - now);
        if waiting >= patience.max_waiting || now + wait > patience.until {
            return Arrival::Refused(wait);
        }
        // Under the lock, so that who comes next sees it.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Arrival::Waits(Place(Arc::clone(self)))
    }

    /// Starts a call that is not to wait, and says whether it would have had to.
    pub(super) fn pass(&self, now: Instant) -> (Ticket, bool) {
        let mut allowance = self.allowance();
        match allowance.start(now) {
            Start::Now(ticket) => (ticket, false),
            Start::At(_) | Start::WhenAnswered => (allowance.start_anyway(), true),
        }
    }

    /// Takes in what the answer to a call says.
    pub(super) fn answered(&self, ticket: Ticket, said: Option<Said>, terms: Terms, now: Instant) {
        self.allowance().answered(ticket, said, terms, now);
        self.tell();
    }

    /// Notes that a call came to an end without an answer.
    pub(super) fn gone(&self, ticket: Ticket) {
        self.allowance().gone(ticket, Instant::now());
        self.tell();
    }

    pub(super) fn forget(&self) {
        self.allowance().forget();
        self.tell();
    }

    /// Returns for how long no call starts, as far as one can know.
    pub(super) fn closed_for(&self, now: Instant) -> Option<Duration> {
        let until = self.allowance().holds_until(now);
        until.map(|until| until - now)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn tell(&self) {
        if self.waiting() > 0 {
            self.news.notify_one();
        }
    }

    fn allowance(&self) -> MutexGuard<'_, Allowance> {
        self.allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a call, and starts it.
    async fn turn(&self, until: Instant) -> Result<Ticket, Duration> {
        // It is never closed.
        let _turn = self.gate.acquire().await;
        loop {
            let now = Instant::now();
            let start = self.allowance().start(now);
            match start {
                Start::Now(ticket) => return Ok(ticket),
                Start::At(at) if at > until => return Err(at - now),
                Start::At(at) => {
                    let _ = timeout_at(at, self.news.notified()).await;
                }
                Start::WhenAnswered => self.news.notified().await,
            }
        }
    }
}

impl Place {
    /// Waits for the turn of the call, and starts it. Otherwise returns how long it would still have to
    /// wait.
    pub(super) async fn turn(self, until: Instant) -> Result<Ticket, Duration> {
        let server = &self.0;
        let turn = timeout_at(until, server.turn(until)).await;
        turn.unwrap_or_else(|_| {
            let wait = server.closed_for(Instant::now());
            Err(wait.unwrap_or_default())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is lost with a server is what it asked for.
impl Entry for Server {
    fn worth(&self, now: Instant) -> Option<u64> {
        let allowance = self.allowance();
        if allowance.is_blank() {
            return Some(0);
        }
        let until = allowance.holds_until(now);
        Some(until.map_or(1, |until| 1 + (until - now).as_secs()))
    }

    #[inline]
    fn used(&self) -> &Used {
        &self.used
    }
}
