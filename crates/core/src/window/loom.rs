//! Models of what threads do to a window at once. Each is run in every order there is.

use std::sync::Arc;
use std::time::Duration;

use loom::model::Builder;
use loom::thread;
use tokio::time::Instant;

use super::Window;
use super::pending::Pending;
use super::ring::Ring;
use super::standing::{Record, Recorded, Run, Standing};
use super::tally::Tally;

const SLOW: Record = Record {
    weight: 0.25,
    slow: true,
    run: Run::Break,
};

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

fn made(size: u32, round: u64) -> Arc<(Ring, Pending)> {
    let pending = Pending::with_round(2, round);
    Arc::new((Ring::new(size, &pending, 0), pending))
}

fn record(both: &(Ring, Pending), generation: u32, record: &Record) -> Recorded {
    both.0.record(generation, record, &both.1)
}

fn total_is_content(both: &(Ring, Pending)) -> Standing {
    let standing = both.0.drained(&both.1);
    assert_eq!(both.0.totals(), both.0.content());
    standing
}

#[test]
fn two_records_are_both_counted() {
    check(|| {
        let both = made(4, 1 << 10);
        let other = Arc::clone(&both);

        let thread = thread::spawn(move || record(&other, 0, &Record::FAILURE));
        record(&both, 0, &Record::FAILURE);
        thread.join().unwrap();

        let standing = total_is_content(&both);
        assert_eq!((standing.calls, standing.failures), (2, 2.0));
        assert_eq!(standing.consecutive_failures, 2);
    });
}

#[test]
fn records_that_displace_each_other_leave_the_totals_right() {
    check(|| {
        let both = made(1, 1 << 10);
        let other = Arc::clone(&both);

        let thread = thread::spawn(move || {
            record(&other, 0, &SLOW);
        });
        record(&both, 0, &Record::FAILURE);
        record(&both, 0, &Record::SUCCESS);
        thread.join().unwrap();

        // The failure cannot be the last: its own thread recorded a success after it.
        let standing = total_is_content(&both);
        assert_eq!(standing.calls, 1);
        assert!(standing.failures == 0.25 || standing.failures == 0.0);
    });
}

#[test]
fn a_success_beside_a_record_is_counted_once() {
    check(|| {
        let both = made(8, 1 << 10);
        let other = Arc::clone(&both);

        let thread = thread::spawn(move || {
            assert!(other.1.success_in(1, 0));
            assert!(other.1.success_in(1, 0));
        });
        assert!(both.1.success_in(0, 0));
        record(&both, 0, &Record::FAILURE);
        thread.join().unwrap();

        let standing = total_is_content(&both);
        assert_eq!((standing.calls, standing.failures), (4, 1.0));
        assert_eq!(both.1.total(), 3);
    });
}

#[test]
fn two_that_drain_count_a_success_once_and_before_what_its_thread_records() {
    check(|| {
        let both = made(8, 1 << 10);
        let other = Arc::clone(&both);

        record(&both, 0, &Record::FAILURE);
        let thread = thread::spawn(move || {
            record(&other, 0, &SLOW);
        });
        both.1.success_in(0, 0);
        record(&both, 0, &Record::FAILURE);
        let standing = both.0.drained(&both.1);
        // Of its own thread's records only the last can be in the run, and that may be cut short.
        assert!(standing.consecutive_failures <= 1);
        thread.join().unwrap();

        let standing = total_is_content(&both);
        assert_eq!(
            (standing.calls, standing.failures, standing.slow),
            (4, 2.25, 1)
        );
    });
}

#[test]
fn the_run_is_not_ended_by_a_success_that_came_before_it() {
    check(|| {
        let both = made(8, 1 << 10);
        let other = Arc::clone(&both);

        let thread = thread::spawn(move || {
            record(
                &other,
                0,
                &Record {
                    run: Run::Keep,
                    ..Record::FAILURE
                },
            );
        });
        both.1.success_in(0, 0);
        record(&both, 0, &Record::FAILURE);
        thread.join().unwrap();

        assert_eq!(total_is_content(&both).consecutive_failures, 1);
    });
}

#[test]
fn nothing_of_an_earlier_generation_counts() {
    check(|| {
        let both = made(2, 1 << 10);
        let other = Arc::clone(&both);

        record(&both, 0, &Record::FAILURE);
        let thread = thread::spawn(move || {
            other.1.success_in(1, 0);
            record(&other, 0, &SLOW);
        });
        both.0.begin(1, &both.1);
        both.1.begin(1);
        record(&both, 1, &Record::FAILURE);
        thread.join().unwrap();

        let standing = total_is_content(&both);
        assert_eq!(
            (standing.calls, standing.failures, standing.slow),
            (1, 1.0, 0)
        );
        assert_eq!(standing.consecutive_failures, 1);
    });
}

#[test]
fn a_full_round_is_settled_once() {
    check(|| {
        let both = made(8, 2);
        let other = Arc::clone(&both);
        let call = |both: &(Ring, Pending)| {
            if !both.1.success_in(0, 0) {
                record(both, 0, &Record::SUCCESS);
            }
        };

        let thread = thread::spawn(move || call(&other));
        call(&both);
        thread.join().unwrap();

        assert_eq!(total_is_content(&both).calls, 2);
    });
}

const SHORT: Duration = Duration::from_millis(100);

/// In 2^32 steps of the window, more or less, its marks would look as they did.
const REST: Duration = Duration::from_secs(20 * 86_400);

/// Checks `model` for each of the timed windows, which has a failure in it that was at the start.
fn check_timed(model: impl Fn(&Arc<Tally>, Instant) + Send + Sync + Copy + 'static) {
    for window in [Window::time(2 * SHORT).buckets(2), Window::decay(SHORT)] {
        check(move || {
            let start = Instant::now();
            let tally = Arc::new(Tally::single(window, 0, start));
            tally.record(0, Record::FAILURE, || start);
            model(&tally, start);
        });
    }
}

#[test]
fn two_records_after_a_rest_are_both_counted_and_nothing_else() {
    check_timed(|tally, start| {
        let other = Arc::clone(tally);
        let later = start + REST;

        let thread = thread::spawn(move || other.record(0, Record::FAILURE, || later));
        tally.record(0, Record::FAILURE, || later);
        assert_ne!(thread.join().unwrap(), Recorded::Stale);

        let standing = tally.standing(later);
        assert_eq!((standing.calls, standing.failures), (2, 2.0));
    });
}

#[test]
fn a_record_is_counted_though_others_see_the_window_move_on() {
    check_timed(|tally, start| {
        let other = Arc::clone(tally);
        let later = start + REST;

        let thread = thread::spawn(move || {
            let _ = other.standing(later);
        });
        let recorded = tally.record(0, Record::FAILURE, || later + SHORT / 100);
        assert_ne!(recorded, Recorded::Stale);
        thread.join().unwrap();

        let standing = tally.standing(later + SHORT / 100);
        assert_eq!((standing.calls, standing.failures), (1, 1.0));
    });
}

#[test]
fn nothing_of_an_earlier_generation_counts_in_a_timed_window() {
    check_timed(|tally, start| {
        let other = Arc::clone(tally);

        let thread = thread::spawn(move || {
            other.record(0, SLOW, || start + SHORT);
        });
        tally.begin(1, start);
        let recorded = tally.record(1, Record::FAILURE, || start);
        assert_ne!(recorded, Recorded::Stale);
        thread.join().unwrap();

        let standing = tally.standing(start);
        assert_eq!(
            (standing.calls, standing.failures, standing.slow),
            (1, 1.0, 0)
        );
        assert_eq!(standing.consecutive_failures, 1);
    });
}
