//! Models of what threads do to a budget at once. Each is run in every order there is.

use std::sync::Arc;
use std::time::Duration;

use loom::model::Builder;
use loom::thread;
use tokio::time::Instant;

use super::concurrent::Concurrent;
use super::grpc::Grpc;
use super::ratio::Ratio;
use super::settings::{Settings, Style};
use super::tokens::Tokens;
use crate::{Failure, FailureKind};

const FAILURE: Failure = Failure::new(FailureKind::Server);

/// The shortest bucket.
const BUCKET: Duration = Duration::from_micros(250);

/// Two buckets.
const WINDOW: Duration = Duration::from_micros(500);

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// A budget of one extra attempt for each call, of which there was one.
fn after_a_call(start: Instant) -> Arc<Ratio> {
    let ratio = Ratio::striped(1.0, 0.0, WINDOW, start, 2);
    ratio.begin_in(0, || start);
    Arc::new(ratio)
}

#[test]
fn of_two_that_want_the_last_one_gets_it() {
    check(|| {
        let start = Instant::now();
        let ratio = after_a_call(start);
        let other = Arc::clone(&ratio);

        let thread = thread::spawn(move || other.withdraw(start));
        let mine = ratio.withdraw(start);
        let theirs = thread.join().unwrap();

        assert!(mine != theirs);
        assert!(!ratio.withdraw(start));
    });
}

#[test]
fn calls_that_begin_meanwhile_pay_once() {
    check(|| {
        let start = Instant::now();
        let ratio = Arc::new(Ratio::striped(1.0, 0.0, WINDOW, start, 2));
        let other = Arc::clone(&ratio);

        let thread = thread::spawn(move || {
            other.begin_in(1, || start);
            other.withdraw(start)
        });
        let mine = ratio.withdraw(start);
        let theirs = thread.join().unwrap();

        assert!(!(mine && theirs));
        assert!(mine || theirs || ratio.withdraw(start));
        assert!(!ratio.withdraw(start));
    });
}

#[test]
fn what_is_given_back_is_had_by_one() {
    check(|| {
        let start = Instant::now();
        let ratio = after_a_call(start);
        assert!(ratio.withdraw(start));
        let other = Arc::clone(&ratio);

        let thread = thread::spawn(move || {
            other.give_back();
            other.withdraw(start)
        });
        let mine = ratio.withdraw(start);
        let theirs = thread.join().unwrap();

        assert!(mine != theirs);
        assert!(!ratio.withdraw(start));
    });
}

#[test]
fn what_is_sent_counts_while_others_move_the_window_on() {
    check(|| {
        let start = Instant::now();
        let ratio = Arc::new(Ratio::striped(0.0, 2_000.0, WINDOW, start, 2));
        assert!(ratio.withdraw(start));
        let other = Arc::clone(&ratio);
        let later = start + 3 * BUCKET;

        let thread = thread::spawn(move || other.send(later));
        let too_soon = ratio.withdraw(later);
        thread.join().unwrap();

        assert!(!too_soon);
        assert!(!ratio.withdraw(later + WINDOW));
        assert!(ratio.withdraw(later + WINDOW + BUCKET));
    });
}

#[test]
fn what_leaves_the_window_makes_room_for_one() {
    check(|| {
        let start = Instant::now();
        let ratio = Arc::new(Ratio::striped(0.0, 2_000.0, WINDOW, start, 2));
        assert!(ratio.withdraw(start));
        ratio.send(start);
        let other = Arc::clone(&ratio);
        let later = start + 3 * BUCKET;

        let thread = thread::spawn(move || other.withdraw(later));
        let mine = ratio.withdraw(later);
        let theirs = thread.join().unwrap();

        assert!(mine != theirs);
        assert!(!ratio.withdraw(later));
    });
}

#[test]
fn two_that_take_the_last_tokens_do_not_share_them() {
    check(|| {
        let Style::Tokens { capacity, costs } = Settings::tokens(28).style else {
            unreachable!()
        };
        let tokens = Arc::new(Tokens::new(capacity, costs));
        assert!(tokens.take(&FAILURE).is_some());
        let other = Arc::clone(&tokens);

        let thread = thread::spawn(move || other.take(&FAILURE));
        let mine = tokens.take(&FAILURE);
        tokens.put(1);
        let theirs = thread.join().unwrap();

        assert!(mine.is_some() != theirs.is_some());
        tokens.put(12);
        assert!(tokens.take(&FAILURE).is_none());
        tokens.put(1);
        assert!(tokens.take(&FAILURE).is_some());
    });
}

#[test]
fn failures_and_successes_all_count() {
    check(|| {
        let grpc = Arc::new(Grpc::new(4, 1.0));
        grpc.fail(&FAILURE);
        let other = Arc::clone(&grpc);

        let thread = thread::spawn(move || other.fail(&FAILURE));
        grpc.succeed();
        thread.join().unwrap();

        assert!(grpc.is_allowed());
        grpc.fail(&FAILURE);
        assert!(!grpc.is_allowed());
    });
}

#[test]
fn calls_that_come_and_go_do_not_look_like_more() {
    check(|| {
        let concurrent = Arc::new(Concurrent::striped(0.5, 0, 2));
        concurrent.begin_in(0);
        let other = Arc::clone(&concurrent);

        let thread = thread::spawn(move || {
            // One at a time, each begun here and ended elsewhere.
            other.end_in(1);
            other.begin_in(0);
            other.end_in(1);
        });
        assert!(!concurrent.withdraw());
        thread.join().unwrap();
    });
}

#[test]
fn of_two_that_want_the_last_in_flight_one_gets_it() {
    check(|| {
        let concurrent = Arc::new(Concurrent::striped(0.0, 1, 2));
        let other = Arc::clone(&concurrent);

        let thread = thread::spawn(move || other.withdraw());
        let mine = concurrent.withdraw();
        let theirs = thread.join().unwrap();

        assert!(mine != theirs);
        concurrent.end_extra();
        assert!(concurrent.withdraw());
    });
}
