use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tower_service::Service;

/// One that waits: it polls with a waker of its own, which counts.
#[derive(Debug)]
pub(crate) struct Waiter {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Waiter {
    pub(crate) fn new() -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }

    /// Returns how often it was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.bell.rung.load(Ordering::SeqCst)
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    pub(crate) fn poll<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut self.context())
    }

    pub(crate) fn poll_ready<S: Service<Req>, Req>(
        &self,
        service: &mut S,
    ) -> Poll<Result<(), S::Error>> {
        service.poll_ready(&mut self.context())
    }

    /// Completes when it was woken more than `seen` times.
    pub(crate) async fn woken_past(&self, seen: usize) {
        poll_fn(|cx| {
            *self
                .bell
                .listener
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            if self.wakes() > seen {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

#[derive(Debug, Default)]
struct Bell {
    rung: AtomicUsize,
    /// The task of [`Waiter::woken_past`].
    listener: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        let listener = self
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(listener) = listener {
            listener.wake();
        }
    }
}
