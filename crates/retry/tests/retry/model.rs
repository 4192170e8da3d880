//! The layer beside a slow and obvious model of it, over random answers and settings.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tokio::runtime::Builder;
use watertight_core::{Backoff, Context, FailureKind};
use watertight_retry::{RetryAfter, RetryConfig};

use crate::stage::{Answer, BAD, GOOD, failure, stage, told};

const MS: Duration = Duration::from_millis(1);

/// What a service does with one call.
#[derive(Clone, Copy, Debug)]
enum Does {
    Well,
    Fails,
    FailsForGood,
    Tells(u64),
    Takes(u64),
    Hangs,
}

impl Does {
    fn answer(self) -> Answer {
        match self {
            Self::Well => GOOD,
            Self::Fails => BAD,
            Self::FailsForGood => failure(FailureKind::Client),
            Self::Tells(ms) => told(Duration::from_millis(ms)),
            Self::Takes(ms) => Answer::Takes(Duration::from_millis(ms)),
            Self::Hangs => Answer::Hangs,
        }
    }
}

#[derive(Clone, Debug)]
struct Settings {
    max_attempts: u32,
    base: u64,
    honoured: Option<u64>,
    attempt_timeout: u64,
    max_elapsed: Option<u64>,
    deadline: Option<u64>,
}

/// When the calls come, in milliseconds, why it ends there, and whether well.
#[derive(Debug, PartialEq)]
struct Course {
    calls: Vec<u64>,
    given_up: Option<&'static str>,
    ended: u64,
}

fn expected(does: &[Does], settings: &Settings) -> Course {
    let mut course = Course {
        calls: Vec::new(),
        given_up: None,
        ended: 0,
    };
    let mut now = 0;
    for attempt in 1.. {
        course.calls.push(now);
        let mut hint = None;
        let mut why = None;
        match does.get(attempt as usize - 1).unwrap_or(&Does::Well) {
            Does::Well => break,
            Does::Takes(ms) if *ms <= settings.attempt_timeout => {
                now += ms;
                break;
            }
            Does::Takes(_) | Does::Hangs => now += settings.attempt_timeout,
            Does::Fails => {}
            Does::FailsForGood => why = Some("not_retryable"),
            Does::Tells(ms) => hint = Some(*ms),
        }
        let own = settings.base << (attempt - 1).min(4);
        let delay = match (hint, settings.honoured) {
            (Some(hint), Some(_)) => own.max(hint),
            _ => own,
        };
        let is_too_long =
            hint.is_some_and(|hint| settings.honoured.is_some_and(|honoured| hint > honoured));
        let is_late = |most: u64| now + delay > most;
        let why = [
            why,
            (attempt >= settings.max_attempts).then_some("attempts"),
            is_too_long.then_some("hint"),
            settings
                .max_elapsed
                .is_some_and(is_late)
                .then_some("elapsed"),
            settings
                .deadline
                .is_some_and(|deadline| now + delay >= deadline)
                .then_some("deadline"),
        ]
        .into_iter()
        .flatten()
        .next();
        if why.is_some() {
            course.given_up = why;
            break;
        }
        now += delay;
    }
    course.ended = now;
    course
}

fn seen(does: &[Does], settings: &Settings) -> Course {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = stage([], |it| it);
        stage.backend.answer(does.iter().map(|does| does.answer()));
        let honoured = settings.honoured.map(Duration::from_millis);
        let config = RetryConfig {
            max_attempts: settings.max_attempts,
            backoff: Backoff::exponential(
                Duration::from_millis(settings.base),
                Duration::from_millis(settings.base << 4),
            ),
            retry_after: honoured.map_or(RetryAfter::ignore(), RetryAfter::honour_up_to),
            attempt_timeout: Some(Duration::from_millis(settings.attempt_timeout)),
            max_elapsed: settings.max_elapsed.map(Duration::from_millis),
            ..RetryConfig::default()
        };
        stage.retry.reconfigure(config).unwrap();
        let start = tokio::time::Instant::now();

        let context = Context {
            deadline: settings
                .deadline
                .map(|ms| start + Duration::from_millis(ms)),
            ..Context::default()
        };

        let _ = context.scope(stage.call(1)).await;

        let given_up = stage.given_up();
        assert!(given_up.len() <= 1 && given_up.iter().all(|it| it.1 == 1));
        let times = stage.backend.times();
        Course {
            calls: times.into_iter().map(|ms| ms as u64).collect(),
            given_up: given_up.first().map(|it| it.0),
            ended: ((tokio::time::Instant::now() - start).as_nanos() / MS.as_nanos()) as u64,
        }
    })
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        1 => Just(Does::Well),
        6 => Just(Does::Fails),
        1 => Just(Does::FailsForGood),
        2 => (0..300_u64).prop_map(Does::Tells),
        2 => (1..200_u64).prop_map(Does::Takes),
        2 => Just(Does::Hangs),
    ]
}

prop_compose! {
    fn settings()(
        max_attempts in 1..8_u32,
        base in 1..80_u64,
        honoured in option::of(1..250_u64),
        attempt_timeout in 1..150_u64,
        max_elapsed in option::of(1..1_500_u64),
        deadline in option::of(1..1_500_u64),
    ) -> Settings {
        Settings { max_attempts, base, honoured, attempt_timeout, max_elapsed, deadline }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_call_goes_as_the_model_says(does in vec(does(), 0..9), settings in settings()) {
        prop_assert_eq!(seen(&does, &settings), expected(&does, &settings));
    }
}
