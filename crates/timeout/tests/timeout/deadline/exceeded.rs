//! Answers that the time is over which the next service was told.

use std::io;

use http::{Request, Response};
use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use watertight_core::{Context, Mode, Reason, Rejection};
use watertight_http::HttpExt;
use watertight_metrics::Registry;
use watertight_timeout::{
    PropagateDeadlineBuilder, PropagateDeadlineHandle, PropagateDeadlineLayer,
};

use super::stage::{MS, S};

/// What the next service answers.
#[derive(Clone, Copy, Debug)]
enum Says {
    Status(u16),
    Code(&'static str),
    Error(&'static str),
}

/// The answers that mean that the time of the call is over.
const EXCEEDED: [Says; 4] = [
    Says::Status(504),
    Says::Code("4"),
    Says::Code("1"),
    Says::Error("Timeout expired"),
];

const OTHERS: [Says; 5] = [
    Says::Status(200),
    Says::Status(503),
    Says::Code("0"),
    Says::Code("14"),
    Says::Error("connection reset"),
];

impl Says {
    fn answer(self) -> Result<Response<()>, BoxError> {
        let builder = Response::builder();
        match self {
            Self::Status(status) => Ok(builder.status(status).body(())?),
            Self::Code(code) => Ok(builder.header("grpc-status", code).body(())?),
            Self::Error(words) => Err(io::Error::other(words).into()),
        }
    }
}

fn builder() -> PropagateDeadlineBuilder {
    PropagateDeadlineLayer::builder("next").registry(&Registry::new())
}

/// Calls with a second left, and gets an answer after so many milliseconds. Returns whether the
/// call is taken for one whose deadline is exceeded.
async fn is_exceeded(
    builder: PropagateDeadlineBuilder,
    says: Says,
    after: u32,
) -> (bool, PropagateDeadlineHandle) {
    let layer = builder.http().build();
    let next = service_fn(move |_: Request<()>| async move {
        sleep(after * MS).await;
        says.answer()
    });
    let call = layer.layer(next).oneshot(Request::new(()));
    let context = Context {
        deadline: Some(Instant::now() + S),
        ..Context::default()
    };

    let answer = context.scope(call).await;

    let reason = answer.as_ref().err().and_then(|error| {
        let rejection = Rejection::find(&**error)?;
        assert_eq!(rejection.name(), "next");
        Some(rejection.reason())
    });
    let as_it_came = match (says, answer) {
        (Says::Error(words), Err(error)) => error.to_string() == words,
        (Says::Error(_), Ok(_)) => false,
        (_, answer) => answer.is_ok(),
    };
    assert_ne!(reason.is_some(), as_it_came, "{says:?}");
    (reason == Some(Reason::DeadlineExceeded), layer.handle())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_time_is_over_is_the_callers_deadline_once_it_is() {
    for says in EXCEEDED {
        // 995 ms are told, of which rounding may take one.
        for (after, expected) in [(0, false), (993, false), (994, true), (995, true)] {
            let (exceeded, handle) = is_exceeded(builder(), says, after).await;

            assert_eq!(exceeded, expected, "{says:?} after {after} ms");
            let snapshot = handle.snapshot();
            assert_eq!((snapshot.exceeded, snapshot.refused), (expected.into(), 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_answer_stays_what_it_is_however_late_it_comes() {
    for says in OTHERS {
        let (exceeded, handle) = is_exceeded(builder(), says, 999).await;

        assert!(!exceeded, "{says:?}");
        assert_eq!(handle.snapshot().exceeded, 0);
    }
}

/// Who is slower than a timeout of this side allows it has failed.
#[tokio::test(start_paused = true)]
async fn a_time_that_the_caller_did_not_set_is_not_the_callers() {
    for says in EXCEEDED {
        let within_a_timeout = builder().at_most(500 * MS);

        assert!(!is_exceeded(within_a_timeout, says, 500).await.0);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_told_no_answer_is_looked_at() {
    for mode in [Mode::Shadow, Mode::Off] {
        for says in EXCEEDED {
            let (exceeded, handle) = is_exceeded(builder().mode(mode), says, 999).await;

            assert!(!exceeded, "{mode:?}, {says:?}");
            assert_eq!(handle.snapshot().exceeded, 0);
        }
    }
}
