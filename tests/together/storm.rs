//! The retry storm: an outage is over, and the retries of those who gave up keep the service down.
//!
//! The service answers 300 calls a second, one after another, from a queue without a bound. 280 calls
//! a second come, evenly spaced, and give up after a second; each is made again once, at once. For
//! ten seconds no call arrives, and then all that were sent arrive together.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tower::{ServiceBuilder, ServiceExt};
use watertight_breaker::BreakerLayer;
use watertight_core::{Always, Backoff, Budget};
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;

const SECOND: Duration = Duration::from_secs(1);
const OFFERED: u32 = 280;
const SERVED: u32 = 300;
const OUTAGE: std::ops::Range<u32> = 10..20;
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

impl Seen {
    /// When the service was back for good: from then on nearly all calls were answered.
    fn healed(&self) -> Option<u32> {
        let bad = |second: &u32| self.good[*second as usize] < OFFERED * 98 / 100;
        let last = (0..END).rev().find(bad)?;
        (last + 1 < END).then_some(last + 1)
    }

    fn rate(&self, of: &[u32], seconds: std::ops::Range<u32>) -> f64 {
        let count = seconds.len() as f64;
        let seconds = seconds.start as usize..seconds.end as usize;
        f64::from(of[seconds].iter().sum::<u32>()) / count
    }
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

    let mut calls = JoinSet::new();
    for call in 0..OFFERED * END {
        let at = start + SECOND * call / OFFERED;
        sleep_until(at).await;
        let stack = stack.clone();
        calls.spawn(async move {
            let is_good = stack.oneshot(()).await.is_ok();
            (((at - start).as_secs()) as usize, is_good)
        });
    }
    let mut good = vec![0; END as usize];
    while let Some(call) = calls.join_next().await {
        let (second, is_good) = call.unwrap();
        good[second] += u32::from(is_good);
    }
    let sent = server.lock().unwrap().sent.clone();
    Seen { good, sent }
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_retries_never_ends_without_us() {
    let seen = play(Budget::unlimited(), false).await;

    let tail = END - 20..END - 2;
    let (good, sent) = (
        seen.rate(&seen.good, tail.clone()),
        seen.rate(&seen.sent, tail),
    );
    println!("unlimited retries, no breaker: {good:.0} of {OFFERED} good, {sent:.0} sent a second");
    assert_eq!(good, 0.0);
    assert!((555.0..=560.0).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn with_a_budget_and_a_breaker_it_heals() {
    let seen = play(Budget::ratio(0.1), true).await;

    let healed = seen.healed().expect("it heals");
    let after = healed - OUTAGE.end;
    let outage = seen.rate(&seen.sent, OUTAGE);
    println!(
        "with budget and breaker: {outage:.0} sent a second in the outage, and well again {after} s after it"
    );
    assert!(outage < f64::from(OFFERED) / 2.0, "{outage}");
    let tail = END - 10..END;
    assert_eq!(seen.rate(&seen.good, tail.clone()), f64::from(OFFERED));
    assert_eq!(seen.rate(&seen.sent, tail), f64::from(OFFERED));
}

#[tokio::test(start_paused = true)]
async fn each_alone_is_measured() {
    for (name, budget, with_breaker) in [
        ("budget alone", Budget::ratio(0.1), false),
        ("breaker alone", Budget::unlimited(), true),
    ] {
        let seen = play(budget, with_breaker).await;
        let sent = seen.rate(&seen.sent, OUTAGE.end..END);
        match seen.healed() {
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
