use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Fetches fresh credentials, once for all calls that find theirs refused at a time.
#[derive(Clone)]
pub(crate) struct Refresh {
    fetch: Arc<dyn Fn() -> Refreshing + Send + Sync>,
    /// Who holds it fetches.
    turn: Arc<Mutex<()>>,
    /// How often credentials have been fetched.
    fetched: Arc<AtomicU64>,
    /// How often that has failed.
    failed: Arc<AtomicU64>,
}

/// Whether the credentials of a call are fresh by now.
pub(crate) type Refreshing = Pin<Box<dyn Future<Output = bool> + Send>>;

impl Refresh {
    pub(crate) fn new<F, Fut, E>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        Self {
            fetch: Arc::new(move || {
                let fetching = fetch();
                Box::pin(async move { fetching.await.is_ok() })
            }),
            turn: Arc::default(),
            fetched: Arc::default(),
            failed: Arc::default(),
        }
    }

    /// Returns which credentials calls have now: those that begin, and those that are told so.
    pub(crate) fn generation(&self) -> u64 {
        self.fetched.load(Ordering::Acquire)
    }

    /// Sees to it that the credentials are later ones than those of `generation`. Who comes while
    /// they are being fetched waits, and if that fails it has failed for all of them: one after
    /// another they would only wait longer. Where it is given up, the next in turn tries.
    pub(crate) fn after(&self, generation: u64) -> Refreshing {
        let refresh = self.clone();
        let failed = self.failed.load(Ordering::Acquire);
        Box::pin(async move {
            let _turn = refresh.turn.lock().await;
            if refresh.generation() != generation {
                return true;
            }
            if refresh.failed.load(Ordering::Acquire) != failed {
                return false;
            }
            let is_fresh = (refresh.fetch)().await;
            let count = if is_fresh {
                &refresh.fetched
            } else {
                &refresh.failed
            };
            count.fetch_add(1, Ordering::Release);
            is_fresh
        })
    }
}

impl fmt::Debug for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").finish_non_exhaustive()
    }
}
