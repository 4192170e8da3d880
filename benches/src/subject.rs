use std::fmt;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::runtime::{Builder, Runtime};
use tokio::task::unconstrained;
use tower::{Service, ServiceExt};

use crate::Path;

/// Makes the runtime that every row runs on.
///
/// # Panics
///
/// If the system gives it no resources.
#[must_use]
pub fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without I/O needs nothing that can run out")
}

/// A service under measurement, of whatever type.
pub trait Subject: Send {
    /// Makes `calls` calls, one after the other.
    fn run(&mut self, calls: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Makes another subject of a clone of the service.
    fn twin(&self) -> Box<dyn Subject>;
}

impl fmt::Debug for dyn Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

/// Calls one service again and again.
pub(crate) struct Kept<S> {
    pub(crate) service: S,
    pub(crate) path: Path,
}

impl<S> Subject for Kept<S>
where
    S: Service<u64, Future: Send> + Clone + Send + 'static,
{
    fn run(&mut self, calls: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(unconstrained(async move {
            for request in 0..calls {
                call(&mut self.service, request, self.path).await;
            }
        }))
    }

    fn twin(&self) -> Box<dyn Subject> {
        Box::new(Self {
            service: self.service.clone(),
            path: self.path,
        })
    }
}

/// Calls a new clone of a service each time, as axum does.
pub(crate) struct Cloned<S> {
    pub(crate) service: S,
    pub(crate) path: Path,
}

impl<S> Subject for Cloned<S>
where
    S: Service<u64, Future: Send> + Clone + Send + Sync + 'static,
{
    fn run(&mut self, calls: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(unconstrained(async move {
            for request in 0..calls {
                call(&mut self.service.clone(), request, self.path).await;
            }
        }))
    }

    fn twin(&self) -> Box<dyn Subject> {
        Box::new(Self {
            service: self.service.clone(),
            path: self.path,
        })
    }
}

/// Makes a call. Its future is polled once more at once where it is pending, as `Echo<true>`
/// expects.
async fn call<S: Service<u64>>(service: &mut S, request: u64, path: Path) {
    let Ok(ready) = service.ready().await else {
        panic!("a service under measurement is always ready");
    };
    let mut future = pin!(ready.call(black_box(request)));
    poll_fn(|cx| {
        let mut polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            polled = future.as_mut().poll(cx);
        }
        // The answer is looked at where it is, and dropped there: to drop an error is a part of what
        // a refusal costs, and to move the answer once more is not.
        let Poll::Ready(answer) = &polled else {
            return Poll::Pending;
        };
        assert!(
            answer.is_ok() == (path == Path::Success),
            "a call went the other way"
        );
        black_box(answer);
        Poll::Ready(())
    })
    .await;
}
