//! From a queue without a bound.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tower::ServiceBuilder;
use watertight_breaker::BreakerLayer;
use watertight_core::{Always, Backoff, Budget};
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;

use super::load::{OUTAGE, SECOND, SERVED, healed, offer, rate};

const OFFERED: u32 = 280;
const END: u32 = 90;

/// A service that answers one call after another.
#[derive(Debug)]
struct Server {
    /// When the call that came last is answered.
    busy_until: Instant,
    /// How many calls were sent to it, in each second.
    sent: Vec<u32>,
    start: Instant,
}

impl Server {
    /// Takes a call, and returns when it is answered.
    fn take(&mut self, now: Instant) -> Instant {
        let second = (now - self.start).as_secs() as u32;
        self.sent[second as usize] += 1;
        let arrives = if OUTAGE.contains(&second) {
            self.start + OUTAGE.end * SECOND
        } else {
            now
        };
        self.busy_until = self.busy_until.max(arrives) + SECOND / SERVED;
        self.busy_until
    }
}

/// What came of it, in each second.
struct Seen {
    good: Vec<u32>,
    sent: Vec<u32>,
}

/// Plays it with a budget for the retries, and with a breaker or without.
async fn play(budget: Budget, with_breaker: bool) -> Seen {
    let start = Instant::now();
    let server = Arc::new(Mutex::new(Server {
        busy_until: start,
        sent: vec![0; END as usize + 2],
        start,
    }));
    let registry = Registry::new();
    let retry = RetryLayer::builder("server")
        .repeat(Always)
        .max_attempts(2)
        .backoff(Backoff::constant(Duration::ZERO))
        .budget(budget)
        .registry(&registry)
        .build();
    let breaker = BreakerLayer::builder("server")
        .open_for(SECOND)
        .registry(&registry)
        .build();
    if !with_breaker {
        breaker.handle().force_closed();
    }
    let backend = Arc::clone(&server);
    let stack = ServiceBuilder::new()
        .layer(retry)
        .layer(breaker)
        .timeout(SECOND)
        .service_fn(move |()| {
            let answered = backend.lock().unwrap().take(Instant::now());
            async move {
                sleep_until(answered).await;
                Ok::<_, Infallible>(())
            }
        });

    let good = offer(stack, OFFERED, END).await.good;
    let sent = server.lock().unwrap().sent.clone();
    Seen { good, sent }
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_retries_never_ends_without_us() {
    let seen = play(Budget::unlimited(), false).await;

    let tail = END - 20..END - 2;
    let (good, sent) = (rate(&seen.good, tail.clone()), rate(&seen.sent, tail));
    println!("unlimited retries, no breaker: {good:.0} of {OFFERED} good, {sent:.0} sent a second");
    assert_eq!(good, 0.0);
    assert!((555.0..=560.0).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn with_a_budget_and_a_breaker_it_heals() {
    let seen = play(Budget::ratio(0.1), true).await;

    let healed = healed(&seen.good, OFFERED).expect("it heals");
    let after = healed - OUTAGE.end;
    let outage = rate(&seen.sent, OUTAGE);
    println!(
        "with budget and breaker: {outage:.0} sent a second in the outage, and well again {after} s after it"
    );
    assert!(outage < f64::from(OFFERED) / 2.0, "{outage}");
    let tail = END - 10..END;
    assert_eq!(rate(&seen.good, tail.clone()), f64::from(OFFERED));
    assert_eq!(rate(&seen.sent, tail), f64::from(OFFERED));
}

#[tokio::test(start_paused = true)]
async fn each_alone_is_measured() {
    for (name, budget, with_breaker) in [
        ("budget alone", Budget::ratio(0.1), false),
        ("breaker alone", Budget::unlimited(), true),
    ] {
        let seen = play(budget, with_breaker).await;
        let sent = rate(&seen.sent, OUTAGE.end..END);
        match healed(&seen.good, OFFERED) {
            Some(healed) => println!(
                "{name}: well again {} s after the outage",
                healed - OUTAGE.end
            ),
            None => println!("{name}: never well again, {sent:.0} sent a second"),
        }
        // Whatever becomes of it, no call is made three times.
        assert!(sent <= f64::from(2 * OFFERED));
    }
}
