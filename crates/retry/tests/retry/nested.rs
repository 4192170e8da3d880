//! Retry layers above retry layers.

use tower::{Layer, ServiceExt};
use watertight_core::{Always, Budget, Mode, Note, RetriesExhausted, Signs};
use watertight_metrics::Registry;

use crate::stage::{Answer, BAD, Backend, builder};

/// Marks the answers that it is told to, and knows them again.
#[derive(Clone, Copy, Debug, Default)]
struct Marks;

impl Note<Marked, RetriesExhausted> for Marks {
    fn note(&self, response: &mut Marked, what: RetriesExhausted) {
        response.attempts = Some(what.attempts);
    }
}

impl Signs<Marked> for Marks {
    fn is_exhausted(&self, response: &Marked) -> bool {
        response.attempts.is_some()
    }

    fn is_unauthorized(&self, _: &Marked) -> bool {
        false
    }
}

/// A failed answer that can be marked.
#[derive(Debug, PartialEq)]
struct Marked {
    attempts: Option<u32>,
}

#[tokio::test(start_paused = true)]
async fn of_three_layers_the_innermost_alone_retries_errors() {
    let backend = Backend::new([Answer::Breaks("reset"); 30]);
    let layer = || builder().registry(&Registry::new()).build();
    let stack = layer().layer(layer().layer(layer().layer(backend.clone())));

    let error = stack.oneshot(1).await.unwrap_err();

    assert_eq!(error.to_string(), "reset");
    assert_eq!(backend.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_another_makes_of_it_is_retried_again() {
    let backend = Backend::new([Answer::Breaks("reset"); 30]);
    let layer = || builder().registry(&Registry::new()).build();
    let inner = layer().layer(backend.clone());
    let stack = layer().layer(inner.map_err(|_| watertight_core::BoxError::from("changed")));

    stack.oneshot(1).await.unwrap_err();

    assert_eq!(backend.calls(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_marked_answer_is_not_retried_and_an_unmarked_one_is() {
    for (marks, calls) in [(true, 3), (false, 9)] {
        let backend = Backend::new([BAD; 30]);
        let layer = || {
            let builder = builder().registry(&Registry::new());
            builder.classify_fn(|_: Result<&Marked, _>| {
                watertight_core::Outcome::failure(watertight_core::FailureKind::Server)
            })
        };
        let service = backend.clone().map_response(|_| Marked { attempts: None });

        let answer = if marks {
            let layer = || layer().notes(Marks).build();
            let stack = layer().layer(layer().layer(service));
            stack.oneshot(1).await.unwrap()
        } else {
            let layer = || layer().repeat(Always).build();
            let stack = layer().layer(layer().layer(service));
            stack.oneshot(1).await.unwrap()
        };

        assert_eq!(backend.calls(), calls);
        assert_eq!(answer.attempts.is_some(), marks);
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_makes_one_attempt_stops_nobody() {
    let backend = Backend::new([Answer::Breaks("reset"); 30]);
    let layer = |attempts| {
        let builder = builder().max_attempts(attempts);
        builder.registry(&Registry::new()).build()
    };
    let stack = layer(3).layer(layer(1).layer(backend.clone()));

    stack.oneshot(1).await.unwrap_err();

    assert_eq!(backend.calls(), 3);
}

/// A layer in shadow does nothing to a call, nor does it keep another from doing so.
#[tokio::test(start_paused = true)]
async fn a_layer_in_shadow_stops_nobody() {
    let none = Budget::ratio(0.0).min_per_second(0.0);
    let backend = Backend::new([Answer::Breaks("reset"); 30]);
    let builder = || builder().registry(&Registry::new());
    let shadow = builder().mode(Mode::Shadow).budget(none).build();
    let stack = builder().build().layer(shadow.layer(backend.clone()));

    stack.oneshot(1).await.unwrap_err();

    assert_eq!(backend.calls(), 3);
    assert_eq!(shadow.handle().snapshot().given_up["budget"], 3);
}
