//! Calls that run on another thread. Most of what they cost is to wake that and to be woken.

use std::future::{Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tower::layer::util::Stack;
use tower::{Layer, Service};
use watertight_bulkhead::IsolateLayer;
use watertight_metrics::Registry;

use crate::peers::SpawnBlockingLayer;
use crate::{Family, Row};

pub(super) fn family() -> Family {
    Family {
        name: "isolate",
        rows: vec![
            Row::success("tokio spawn_blocking", || {
                Stack::new(AtOnceLayer, SpawnBlockingLayer)
            })
            .reference(),
            Row::success("watertight isolate", || {
                let isolate = IsolateLayer::builder("images", 4).registry(&Registry::new());
                Stack::new(AtOnceLayer, isolate.build())
            }),
        ],
    }
}

/// Has calls end where they begin, as those do that keep their thread. Nobody would poll them again
/// there.
#[derive(Clone, Copy, Debug)]
struct AtOnceLayer;

/// Made by [`AtOnceLayer`].
#[derive(Clone, Copy, Debug)]
struct AtOnce<S> {
    inner: S,
}

impl<S> Layer<S> for AtOnceLayer {
    type Service = AtOnce<S>;

    fn layer(&self, inner: S) -> AtOnce<S> {
        AtOnce { inner }
    }
}

impl<S: Service<u64>> Service<u64> for AtOnce<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Ready<Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> Self::Future {
        let mut future = pin!(self.inner.call(request));
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(answer) = future.as_mut().poll(&mut context) {
                return ready(answer);
            }
        }
    }
}
