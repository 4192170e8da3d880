//! Calls that were given up, handed on.

use tokio::sync::mpsc::{self, Receiver};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};
use watertight_core::{DynError, FailureKind, Outcome};
use watertight_metrics::Registry;

use crate::stage::{Answer, BAD, Backend, GOOD, SECOND, builder, failure, told};

type Letter = (u32, String);

/// A service that hands its calls on, and where to: into room for one.
fn posting<const N: usize>(
    answers: [Answer; N],
) -> (
    impl Service<u32, Response = Outcome> + Clone,
    Receiver<Letter>,
    watertight_retry::RetryHandle,
) {
    let (sender, letters) = mpsc::channel(1);
    let layer = builder()
        .exhausted(
            sender,
            |request: u32, answer: Result<&Outcome, &DynError>| (request, format!("{answer:?}")),
        )
        .registry(&Registry::new())
        .build();
    let handle = layer.handle();
    (layer.layer(Backend::new(answers)), letters, handle)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_used_up_its_attempts_is_handed_on_with_its_answer() {
    let (service, mut letters, _) = posting([BAD, BAD, failure(FailureKind::Timeout)]);

    let Ok(answer) = service.oneshot(7).await else {
        panic!("the answer goes up as well")
    };

    assert!(answer.is_failure());
    let (request, answer) = letters.try_recv().unwrap();
    assert_eq!(request, 7);
    assert!(answer.contains("Timeout"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_lost_and_counted() {
    let (service, mut letters, handle) = posting([BAD; 9]);
    let start = Instant::now();

    for request in 0..3 {
        let _ = service.clone().oneshot(request).await;
    }

    assert_eq!(
        (Instant::now() - start),
        6 * SECOND,
        "no answer was held up"
    );
    assert_eq!(letters.try_recv().unwrap().0, 0);
    assert!(letters.try_recv().is_err());
    assert_eq!(handle.snapshot().letters_lost, 2);
}

#[tokio::test(start_paused = true)]
async fn what_succeeds_or_cannot_succeed_is_not_handed_on() {
    let (service, mut letters, _) = posting([BAD, GOOD, failure(FailureKind::Client)]);

    for request in 0..2 {
        let _ = service.clone().oneshot(request).await;
    }

    assert!(letters.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_had_but_one_attempt_is_handed_on_too() {
    let (sender, mut letters) = mpsc::channel(1);
    let layer = builder()
        .max_attempts(1)
        .exhausted(sender, |request: u32, _: Result<&Outcome, &DynError>| {
            request
        })
        .registry(&Registry::new())
        .build();

    let _ = layer.layer(Backend::new([BAD])).oneshot(7).await;

    assert_eq!(letters.try_recv(), Ok(7));
    assert_eq!(layer.handle().snapshot().letters_lost, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_to_come_again_much_later_is_handed_on() {
    let (service, mut letters, _) = posting([told(3_600 * SECOND)]);

    let _ = service.oneshot(7).await;

    assert_eq!(letters.try_recv().unwrap().0, 7);
}
