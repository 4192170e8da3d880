use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;
use watertight_core::{BoxError, Mode, Padded, Reason, Rejection};
use watertight_metrics::Reporter;

use crate::counts::Counts;
use crate::latest::Latest;
use crate::limits::Limits;
use crate::store::Keeper;
use crate::verdict::Verdict;

/// A call's way to the limits: the stripe of the thread that made it.
pub(crate) type Held = Arc<Padded<Way>>;

/// Leads to the limits. Who holds a way is a call.
#[derive(Debug)]
pub(crate) struct Way(pub(crate) Arc<Core>);

/// What calls need of what they share.
#[derive(Debug)]
pub(crate) struct Core {
    mode: AtomicU8,
    pub(crate) limits: Latest<Limits>,
    /// Tells those who wait for their turns that the limits have changed.
    pub(crate) changed: Arc<Notify>,
    pub(crate) counts: Counts,
    pub(crate) reporter: Reporter,
    /// What keeps the quotas of all but the total, if this process does not.
    pub(crate) keeper: Option<Keeper>,
}

impl Core {
    pub(crate) fn new(
        mode: Mode,
        limits: Limits,
        counts: Counts,
        reporter: Reporter,
        keeper: Option<Keeper>,
    ) -> Self {
        Self {
            mode: AtomicU8::new(mode as u8),
            limits: Latest::new(limits),
            changed: Arc::default(),
            counts,
            reporter,
            keeper,
        }
    }

    #[inline]
    pub(crate) fn mode(&self) -> Mode {
        Mode::of_word(self.mode.load(Ordering::Relaxed).into())
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// Counts a call that the limits refuse, and makes the error of it.
    #[cold]
    pub(crate) fn refuse(&self, verdict: &Verdict) -> BoxError {
        let rejection = self.rejection(Reason::RateLimited);
        let rejection = rejection.with_quota(verdict.quota());
        match verdict.decision.retry_after {
            Some(after) => rejection.with_retry_after(after).into(),
            None => rejection.into(),
        }
    }

    /// Counts a call whose turn would begin after its deadline, and makes the error of it.
    #[cold]
    pub(crate) fn refuse_too_late(&self, verdict: &Verdict) -> BoxError {
        let rejection = self.rejection(Reason::DeadlineExceeded);
        rejection.with_quota(verdict.quota()).into()
    }

    /// Counts a call whose deadline comes before the answer of the store, and makes the error of it.
    #[cold]
    pub(crate) fn refuse_at_deadline(&self) -> BoxError {
        self.rejection(Reason::DeadlineExceeded).into()
    }

    /// Counts a call for which there is no key, and makes the error of it.
    #[cold]
    pub(crate) fn refuse_without_key(&self) -> BoxError {
        self.rejection(Reason::KeyMissing).into()
    }

    /// Counts a call that the store says nothing of, and makes the error of it.
    #[cold]
    pub(crate) fn refuse_for_store(&self) -> BoxError {
        self.rejection(Reason::NotReady).into()
    }

    /// Counts a call that passes only because nothing is refused.
    #[cold]
    pub(crate) fn refuse_in_shadow(&self, reason: Reason) {
        self.count_refusal(reason, Mode::Shadow);
    }

    fn rejection(&self, reason: Reason) -> Rejection {
        self.count_refusal(reason, Mode::Enforce);
        Rejection::new(reason, self.counts.name())
    }

    fn count_refusal(&self, reason: Reason, mode: Mode) {
        self.counts.refused(reason, mode);
        self.reporter.refused(reason, mode, Instant::now);
    }
}
