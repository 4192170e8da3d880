//! What a call is charged for how it ended.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use tokio::time::advance;
use tower::{BoxError, Layer, service_fn};
use watertight_core::{FailureKind, Key, Outcome};
use watertight_http::{HttpClassifier, HttpExt};
use watertight_ratelimit::Quota;

use crate::stage::{AsSaid, Echo, SECOND, answered, bucket, call, refusal};

const WRONG: Outcome = Outcome::failure(FailureKind::Client);

fn guess(outcome: &Outcome) -> u64 {
    if outcome.as_failure().is_some() { 9 } else { 0 }
}

#[tokio::test(start_paused = true)]
async fn who_guesses_runs_dry_and_others_pass() {
    let layer = bucket(Quota::per_second(10).burst(30).debt(20));
    let layer = layer.classify(AsSaid).penalty(guess);
    let layer = layer.key(|said: &Outcome| Key::of(u8::from(*said == Outcome::Success)));
    let mut login = layer.build().layer(Echo);

    assert_eq!(answered(&mut login, WRONG, 100), 3);
    assert_eq!(answered(&mut login, Outcome::Success, 30), 30);
}

#[tokio::test(start_paused = true)]
async fn a_penalty_that_is_not_there_is_owed_as_far_as_the_debt_goes() {
    let layer = bucket(Quota::per_second(1).burst(1).debt(5));
    let layer = layer.classify(AsSaid).penalty(guess).build();
    let mut login = layer.layer(Echo);

    assert_eq!(answered(&mut login, WRONG, 1), 1);

    let after = refusal(&mut login, WRONG).retry_after();
    assert_eq!(after, Some(Duration::from_secs(6)));
    advance(6 * SECOND).await;
    assert_eq!(answered(&mut login, Outcome::Success, 2), 1);
}

#[tokio::test(start_paused = true)]
async fn a_penalty_leaves_the_total_to_others() {
    let layer = bucket(Quota::per_second(100)).total(Quota::per_second(10));
    let layer = layer.classify(AsSaid).penalty(guess).build();
    let mut login = layer.layer(Echo);

    assert_eq!(answered(&mut login, WRONG, 5), 5);

    let snapshot = layer.handle().snapshot();
    assert_eq!(snapshot.total.unwrap().remaining, 5);
    assert_eq!(answered(&mut login, Outcome::Success, 10), 5);
}

/// As the docs of the crate have it: a password that is wrong, or none at all, costs ten more.
#[tokio::test(start_paused = true)]
async fn over_http_who_guesses_passwords_runs_dry_and_good_users_pass() {
    let wrong = |outcome: &Outcome| match outcome.as_failure() {
        Some(failure) if failure.kind == FailureKind::Client => 10,
        _ => 0,
    };
    let layer = bucket(Quota::per_minute(60))
        .http()
        .classify(HttpClassifier::new().failure([401, 403]))
        .key(|request: &Request<StatusCode>| Key::of(request.uri().path()))
        .penalty(wrong)
        .build();
    let mut login = layer.layer(service_fn(|request: Request<StatusCode>| async move {
        let mut response = Response::new(());
        *response.status_mut() = *request.body();
        Ok::<_, BoxError>(response)
    }));
    let mut passed = |who: &str, status, tries| {
        let request = || Request::post(who).body(status).unwrap();
        let answers = (0..tries).filter(|_| call(&mut login, request()).is_ok());
        answers.count()
    };

    assert_eq!(passed("/guesses", StatusCode::UNAUTHORIZED, 100), 6);
    assert_eq!(passed("/pries", StatusCode::FORBIDDEN, 100), 6);
    assert_eq!(passed("/mistypes", StatusCode::UNAUTHORIZED, 2), 2);
    assert_eq!(passed("/mistypes", StatusCode::OK, 30), 30);
    assert_eq!(passed("/asks", StatusCode::NOT_FOUND, 60), 60);
}
