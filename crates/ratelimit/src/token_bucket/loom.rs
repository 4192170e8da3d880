//! Models of callers that meet at a token bucket. Each is run in every order there is.

use std::sync::Arc;

use ::loom::model::Builder;
use ::loom::thread;

use super::*;
use crate::Quota;
use crate::words::Direct;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn bucket(now: Instant, quotas: &Quotas) -> Arc<TokenBucket<Direct>> {
    let words = Direct::new(quotas.as_slice().len());
    Arc::new(TokenBucket::new(quotas, words, now))
}

fn remaining(bucket: &TokenBucket<Direct>, now: Instant) -> Vec<u64> {
    let gcras = bucket.gcras.iter().enumerate();
    gcras
        .map(|(index, gcra)| {
            gcra.at(bucket.nanos(now))
                .remaining(bucket.words.word(None, index))
        })
        .collect()
}

#[test]
fn two_callers_never_take_the_same_tokens() {
    check(|| {
        let now = Instant::now();
        let bucket = bucket(now, &Quota::per_second(3).into());
        let other = Arc::clone(&bucket);

        let caller = thread::spawn(move || other.take(None, 2, now).admitted);
        let admitted = bucket.take(None, 2, now).admitted;

        assert_ne!(admitted, caller.join().unwrap());
        assert_eq!(remaining(&bucket, now), [1]);
    });
}

/// Both can have the first quota, and only one the second.
#[test]
fn whoever_is_refused_gives_back_what_was_reserved() {
    check(|| {
        let now = Instant::now();
        let bucket = bucket(now, &Quota::per_second(4).and(Quota::per_minute(2)));
        let other = Arc::clone(&bucket);

        let caller = thread::spawn(move || other.take(None, 2, now).admitted);
        let admitted = bucket.take(None, 2, now).admitted;

        assert_ne!(admitted, caller.join().unwrap());
        assert_eq!(remaining(&bucket, now), [2, 0]);
    });
}

#[test]
fn whoever_gets_less_than_was_reserved_gives_the_rest_back() {
    for there in [2, 3] {
        check(move || {
            let now = Instant::now();
            let bucket = bucket(now, &Quota::per_second(4).and(Quota::per_minute(there)));
            let other = Arc::clone(&bucket);

            let caller = thread::spawn(move || other.take_up_to(None, 2, now).0);
            let taken = bucket.take_up_to(None, 2, now).0;

            assert_eq!(taken + caller.join().unwrap(), there);
            assert_eq!(remaining(&bucket, now), [4 - there, 0]);
        });
    }
}

#[test]
fn a_penalty_and_a_refund_at_once_are_both_counted() {
    check(|| {
        let now = Instant::now();
        let bucket = bucket(now, &Quota::per_second(10).into());
        assert!(bucket.take(None, 5, now).admitted);
        let other = Arc::clone(&bucket);

        let caller = thread::spawn(move || other.charge(None, 3, now));
        bucket.give_back(None, 2, now);
        caller.join().unwrap();

        assert_eq!(remaining(&bucket, now), [4]);
    });
}
