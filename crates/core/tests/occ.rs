//! The experiment of the AWS architecture blog ("Exponential Backoff And Jitter"): clients that
//! write to one row under optimistic concurrency control, on simulated time. The seeds are fixed,
//! and `WATERTIGHT_SCALE` says how many runs there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::env;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};
use rand_distr::Normal;
use watertight_core::{Backoff, Delays, Jitter};

const CLIENTS: usize = 100;
const BASE: Duration = Duration::from_millis(5);
const CAP: Duration = Duration::from_secs(2);

/// What a contest cost, on the average of its runs.
#[derive(Clone, Copy, Debug)]
struct Score {
    /// Writes that were tried, of which [`CLIENTS`] succeed.
    calls: f64,
    /// When the last client was done.
    millis: f64,
}

#[test]
fn jitter_ends_a_contest_as_the_aws_blog_has_it() {
    let exponential = Backoff::exponential(BASE, CAP);
    let decorrelated = Backoff::decorrelated(BASE, CAP);
    let scores = [
        // The blog raises the attempt's number before it draws: its first delay is our second.
        (
            "exponential, None",
            exponential.clone(),
            1,
            Some((1_853.0, 62_862.0)),
        ),
        (
            "exponential, Equal",
            exponential.clone().jitter(Jitter::Equal),
            1,
            None,
        ),
        (
            "exponential, Full",
            exponential.jitter(Jitter::Full),
            1,
            Some((797.0, 4_879.0)),
        ),
        (
            "decorrelated, None",
            decorrelated,
            0,
            Some((1_002.0, 4_530.0)),
        ),
    ]
    .map(|(name, backoff, skipped, published)| (name, score(&backoff, skipped), published));

    println!("{CLIENTS} clients, {} runs     calls       ms", runs());
    for (name, score, published) in scores {
        println!("{name:<24} {:8.0} {:8.0}", score.calls, score.millis);
        let Some((calls, millis)) = published else {
            continue;
        };
        assert!(
            (score.calls / calls - 1.0).abs() < 0.05,
            "{name}: {score:?}"
        );
        assert!(
            (score.millis / millis - 1.0).abs() < 0.05,
            "{name}: {score:?}"
        );
    }
}

fn runs() -> u32 {
    let scale = env::var("WATERTIGHT_SCALE").ok();
    let scale: f64 = scale.map_or(1.0, |scale| scale.parse().expect("a number"));
    (100.0 * scale).ceil() as u32
}

fn score(backoff: &Backoff, skipped: u32) -> Score {
    let mut total = Score {
        calls: 0.0,
        millis: 0.0,
    };
    for seed in 0..runs() {
        let contest = Contest::new(&backoff.clone().seed(seed.into()), skipped, seed.into());
        let score = contest.run();
        total.calls += score.calls;
        total.millis += score.millis;
    }
    Score {
        calls: total.calls / f64::from(runs()),
        millis: total.millis / f64::from(runs()),
    }
}

struct Contest {
    version: u64,
    clients: Vec<Delays>,
    /// What arrives where, soonest first; the client's number tells those of one moment apart.
    messages: BinaryHeap<Reverse<(Duration, usize, Message)>>,
    hop: Normal<f64>,
    rng: SmallRng,
}

/// The four hops of an attempt.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Message {
    Read,
    Current { version: u64 },
    Write { over: u64 },
    Written { success: bool },
}

impl Contest {
    fn new(backoff: &Backoff, skipped: u32, seed: u64) -> Self {
        let delays = || {
            let mut delays = backoff.delays();
            (0..skipped).for_each(|_| _ = delays.next_delay());
            delays
        };
        Self {
            version: 0,
            clients: (0..CLIENTS).map(|_| delays()).collect(),
            messages: BinaryHeap::new(),
            hop: Normal::new(10.0, 2.0).expect("a finite deviation"),
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    fn run(mut self) -> Score {
        let (mut calls, mut end) = (0, Duration::ZERO);
        for client in 0..CLIENTS {
            self.send(Duration::ZERO, client, Message::Read);
        }
        while let Some(Reverse((now, client, message))) = self.messages.pop() {
            end = now;
            calls += u32::from(matches!(message, Message::Write { .. }));
            self.arrive(now, client, message);
        }
        Score {
            calls: calls.into(),
            millis: end.as_secs_f64() * 1_000.0,
        }
    }

    fn arrive(&mut self, now: Duration, client: usize, message: Message) {
        match message {
            Message::Read => {
                let version = self.version;
                self.send(now, client, Message::Current { version });
            }
            Message::Current { version } => {
                self.send(now, client, Message::Write { over: version });
            }
            Message::Write { over } => {
                let success = over == self.version;
                self.version += u64::from(success);
                self.send(now, client, Message::Written { success });
            }
            Message::Written { success: false } => {
                let delay = self.clients[client].next_delay();
                self.send(now + delay, client, Message::Read);
            }
            Message::Written { success: true } => {}
        }
    }

    fn send(&mut self, now: Duration, client: usize, message: Message) {
        let millis = self.rng.sample(self.hop).abs();
        let arrival = now + Duration::from_secs_f64(millis / 1_000.0);
        self.messages.push(Reverse((arrival, client, message)));
    }
}
