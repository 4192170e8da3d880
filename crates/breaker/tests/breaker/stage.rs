use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::advance;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::{BoxError, Layer, Service};
use tower_test::mock::{self, Mock, SendResponse};
use watertight_breaker::{
    Breaker, BreakerBuilder, BreakerHandle, BreakerLayer, ResponseFuture, State,
};
use watertight_core::{
    AtResponse, Classify, DynError, ErrorsAreFailures, Failure, FailureKind, Outcome, Rejection,
};
use watertight_metrics::{InstanceSnapshot, Registry};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A breaker around a backend that answers what a test says. Its answers are what they mean.
pub(crate) struct Stage {
    pub(crate) service: Guarded,
    pub(crate) backend: mock::Handle<(), Outcome>,
    pub(crate) breaker: BreakerHandle,
    pub(crate) registry: Registry,
}

type Guarded = Breaker<Mock<(), Outcome>, AsSaid>;
type Builder = BreakerBuilder<AsSaid>;
type Future = ResponseFuture<<Mock<(), Outcome> as Service<()>>::Future, AsSaid, AtResponse>;

/// Takes an answer for what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsSaid;

impl Classify<Outcome> for AsSaid {
    fn classify(&self, result: Result<&Outcome, &DynError>) -> Outcome {
        match result {
            Ok(said) => *said,
            Err(error) => Classify::<()>::classify(&ErrorsAreFailures, Err(error)),
        }
    }
}

/// A breaker whose window is empty unless a test fills it, and which says so in few lines.
pub(crate) fn stage(settings: impl FnOnce(Builder) -> Builder) -> Stage {
    let registry = Registry::new();
    let builder = BreakerLayer::builder("payments")
        .classify(AsSaid)
        .registry(&registry);
    let layer = settings(builder).build();
    let (mock, backend) = mock::pair();
    Stage {
        service: layer.layer(mock),
        backend,
        breaker: layer.handle(),
        registry,
    }
}

pub(crate) fn failure(kind: FailureKind) -> Outcome {
    Outcome::failure(kind)
}

/// A call that waits for the backend.
pub(crate) struct InFlight {
    future: Spawn<Future>,
    reply: SendResponse<Outcome>,
}

impl InFlight {
    pub(crate) fn ends(mut self, outcome: Outcome) {
        self.reply.send_response(outcome);
        assert_ready_ok!(self.future.poll());
    }

    /// Ends with an error of the backend's, which comes out as it went in.
    pub(crate) fn breaks(mut self) {
        self.reply.send_error("reset by peer");
        let error = assert_ready_err!(self.future.poll());
        assert_eq!(error.to_string(), "reset by peer");
    }

    pub(crate) fn succeeds(self) {
        self.ends(Outcome::Success);
    }

    pub(crate) fn fails(self) {
        self.ends(failure(FailureKind::Server));
    }
}

impl Stage {
    /// Makes a call, which the breaker has to admit.
    pub(crate) fn start(&mut self) -> InFlight {
        let mut future = self.call();
        assert_pending!(future.poll(), "the call was refused");
        let (_, reply) = assert_ready!(self.poll_backend()).unwrap();
        InFlight { future, reply }
    }

    /// Makes calls: `S` succeeds, `F` fails, `T` is told of too many, `I` is ignored.
    pub(crate) async fn play(&mut self, calls: &str) {
        for call in calls.chars() {
            // So many at once would use up the task's budget of tokio.
            yield_now().await;
            self.start().ends(match call {
                'S' => Outcome::Success,
                'F' => failure(FailureKind::Server),
                'T' => failure(FailureKind::RateLimited),
                'I' => Outcome::Ignored,
                other => panic!("no call is called {other}"),
            });
        }
    }

    /// Makes a call that the breaker has to refuse.
    pub(crate) fn refusal(&mut self) -> Rejection {
        let error = self.refused();
        Rejection::find(&*error).unwrap().clone()
    }

    fn refused(&mut self) -> BoxError {
        let mut future = self.call();
        let result = assert_ready!(future.poll(), "the call was not refused");
        assert!(self.poll_backend().is_pending());
        result.unwrap_err()
    }

    /// Makes a ready service's call.
    pub(crate) fn call(&mut self) -> Spawn<Future> {
        let ready = spawn(()).enter(|cx, _| self.service.poll_ready(cx));
        assert_ready_ok!(ready);
        spawn(self.service.call(()))
    }

    pub(crate) fn poll_backend(&mut self) -> std::task::Poll<Option<((), SendResponse<Outcome>)>> {
        spawn(()).enter(|_, _| self.backend.poll_request())
    }

    pub(crate) fn state(&self) -> State {
        self.breaker.state()
    }

    /// Opens the breaker by hand, and waits until the next call is a probe.
    pub(crate) async fn half_open(&mut self) {
        self.breaker.open_for(SECOND);
        advance(SECOND).await;
    }

    /// What the breaker has counted.
    pub(crate) fn counted(&self) -> InstanceSnapshot {
        self.registry.snapshot().instances.pop().unwrap()
    }
}

/// A whole failure that asks to be left alone.
pub(crate) fn unavailable_for(after: Duration) -> Outcome {
    Failure::new(FailureKind::Server)
        .retry_after(Some(after))
        .into()
}
