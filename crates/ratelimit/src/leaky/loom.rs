//! Models of callers that book turns and give them back. Each is run in every order there is.

use std::sync::Arc;
use std::time::Duration;

use ::loom::model::Builder;
use ::loom::thread;
use tokio::time::Instant;

use super::{Turn, Turns};
use crate::words::Direct;
use crate::{LeakyBucket, Quota};

const SECOND: Duration = Duration::from_secs(1);

fn check(model: impl Fn(Arc<Turns<Direct>>, Instant) + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let setting = LeakyBucket {
            queue: 10,
            ..LeakyBucket::default()
        };
        let (quota, now) = (Quota::per_second(1), Instant::now());
        let turns = Turns::new(&setting, &quota, Direct::new(1), now);
        model(Arc::new(turns), now);
    });
}

fn book(turns: &Turns<Direct>, now: Instant) -> Turn {
    let turn = turns.book(None, 1, now, || Duration::MAX);
    turn.expect("a free turn")
}

#[test]
fn two_callers_never_have_the_same_turn() {
    check(|turns, now| {
        let other = Arc::clone(&turns);

        let caller = thread::spawn(move || book(&other, now).wait);
        let waits = [book(&turns, now).wait, caller.join().unwrap()];

        assert_eq!(waits.iter().sum::<Duration>(), SECOND);
        assert_eq!(book(&turns, now).wait, 2 * SECOND);
    });
}

#[test]
fn a_turn_is_given_back_or_another_comes_after_it() {
    check(|turns, now| {
        book(&turns, now);
        let given_up = book(&turns, now);
        let other = Arc::clone(&turns);

        let caller = thread::spawn(move || book(&other, now).wait);
        let given_back = turns.give_turn_back(None, &given_up, now);

        let wait = caller.join().unwrap();
        assert_eq!(wait, if given_back { SECOND } else { 2 * SECOND });
        assert_eq!(book(&turns, now).wait, wait + SECOND);
    });
}
