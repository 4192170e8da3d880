//! The scripts by a clock of the test's own.

use std::time::Duration;

use proptest::prelude::*;
use redis::Connection;
use tokio::time::Instant;
use watertight_core::Name;
use watertight_ratelimit::store::{Act, Answer, Order, Rule};
use watertight_ratelimit::{LeakyBucket, Quota, Quotas, SlidingWindow};

use crate::Error;
use crate::harness::RedisServer;
use crate::question::Question;

/// When the tests begin, in microseconds: a whole hour of our days, so that all buckets begin.
const START: u64 = 497_000 * 3_600_000_000;

const MS: Duration = Duration::from_millis(1);
const SECOND: u64 = 1_000_000;

/// A server without anything in it, by a clock of our own.
pub(crate) struct Scripts {
    connection: Connection,
    started: Instant,
}

impl Scripts {
    pub(crate) fn on(server: &RedisServer) -> Self {
        let mut connection = server.connect();
        let flushed = redis::cmd("FLUSHALL").exec(&mut connection);
        flushed.expect("an answer");
        Self {
            connection,
            started: Instant::now(),
        }
    }

    /// Asks at the time of tokio, with patience only where nothing is taken.
    pub(crate) fn ask_now(&mut self, rule: Rule<'_>, act: Act) -> Answer {
        let patience = match act {
            Act::Peek(_) => Duration::MAX,
            _ => Duration::ZERO,
        };
        let passed = Instant::now() - self.started;
        self.ask(rule, act, patience, passed.as_micros() as u64)
    }

    /// Asks so many microseconds after the start.
    fn ask(&mut self, rule: Rule<'_>, act: Act, patience: Duration, micros: u64) -> Answer {
        let answer = self.try_ask(rule, act, patience, micros);
        answer.expect("an answer")
    }

    fn try_ask(
        &mut self,
        rule: Rule<'_>,
        act: Act,
        patience: Duration,
        micros: u64,
    ) -> Result<Answer, Error> {
        let mut question = question(rule, act, patience);
        question.arguments.push((START + micros).to_string());
        let returned = self.returned(&question)?;
        question.answer(&returned)
    }

    /// Returns what the script returns, whose last argument is the time.
    fn returned(&mut self, question: &Question) -> Result<Vec<i64>, Error> {
        let script = question.script().by_given_clock();
        let command = script.by_text(&question.key, &question.arguments);
        Ok(command.query(&mut self.connection)?)
    }

    /// Puts a value of somebody else's in the place of ours.
    fn put(&mut self, rule: Rule<'_>, value: &[(String, String)]) {
        let key = question(rule, Act::Peek(0), Duration::ZERO).key;
        let put = match rule {
            Rule::SlidingWindow(_, SlidingWindow::Exact) => redis::Cmd::hset_multiple(&key, value),
            _ => redis::Cmd::set(
                &key,
                value
                    .iter()
                    .map(|(_, text)| text.as_str())
                    .collect::<String>(),
            ),
        };
        put.exec(&mut self.connection).expect("an answer");
    }
}

fn question(rule: Rule<'_>, act: Act, patience: Duration) -> Question {
    let order = Order {
        policy: Name::new("api"),
        key: None,
        rule,
        act,
        patience,
        timeout: Duration::MAX,
    };
    Question::new("test", &order).expect("numbers that fit")
}

/// A leaky bucket in Redis.
struct Turns {
    scripts: Scripts,
    quota: Quota,
    leaky: LeakyBucket,
}

impl Turns {
    fn new(server: &RedisServer, quota: Quota, queue: u64, slack: u64) -> Self {
        let leaky = LeakyBucket {
            queue,
            slack,
            max_wait: None,
        };
        assert_eq!(leaky.validate(&quota.into()), Ok(()));
        Self {
            scripts: Scripts::on(server),
            quota,
            leaky,
        }
    }

    fn ask(&mut self, act: Act, patience: Duration, micros: u64) -> Answer {
        let rule = Rule::LeakyBucket(&self.quota, self.leaky);
        self.scripts.ask(rule, act, patience, micros)
    }

    fn book(&mut self, micros: u64) -> Answer {
        let answer = self.ask(Act::Take(1), Duration::MAX, micros);
        assert!(answer.decision.admitted);
        answer
    }
}

#[test]
fn turns_begin_at_an_even_pace_and_the_queue_is_bounded() {
    let server = RedisServer::start();
    let mut turns = Turns::new(&server, Quota::per_second(10), 3, 0);

    for number in 0..=3 {
        assert_eq!(turns.book(0).wait, number * 100 * MS);
    }

    let refused = turns.ask(Act::Take(1), Duration::MAX, 0);
    assert_eq!(refused.decision.retry_after, Some(100 * MS));
    assert_eq!((refused.taken, refused.wait), (0, Duration::ZERO));
    assert_eq!(turns.book(100_000).wait, 300 * MS);
}

#[test]
fn a_pause_saves_as_many_turns_as_there_is_slack() {
    let server = RedisServer::start();
    let mut turns = Turns::new(&server, Quota::per_second(10), 5, 2);

    let waits = [(); 5].map(|()| turns.book(0).wait);
    assert_eq!(waits, [0, 0, 0, 100, 200].map(|wait| wait * MS));
    let waits = [(); 4].map(|()| turns.book(400_000).wait);
    assert_eq!(waits, [0, 0, 100, 200].map(|wait| wait * MS));
}

#[test]
fn who_would_wait_too_long_is_refused_and_takes_nothing() {
    let server = RedisServer::start();
    let mut turns = Turns::new(&server, Quota::per_second(1), 10, 0);
    assert_eq!(turns.book(0).wait, Duration::ZERO);
    assert_eq!(turns.book(0).wait, 1_000 * MS);

    for _ in 0..3 {
        let refused = turns.ask(Act::Take(1), 1_500 * MS, 0);
        assert!(!refused.decision.admitted);
        assert_eq!(refused.decision.retry_after, Some(500 * MS));
        assert_eq!(refused.wait, 2_000 * MS);
    }

    let answer = turns.ask(Act::Take(1), 2_000 * MS, 0);
    assert_eq!((answer.taken, answer.wait), (1, 2_000 * MS));
}

#[test]
fn a_call_that_costs_nothing_waits_for_no_turn() {
    let server = RedisServer::start();
    let mut turns = Turns::new(&server, Quota::per_second(1), 1, 0);
    turns.book(0);
    turns.book(0);

    for patience in [Duration::MAX, Duration::ZERO] {
        let answer = turns.ask(Act::Take(0), patience, 0);
        assert_eq!((answer.taken, answer.wait), (0, Duration::ZERO));
        assert!(answer.decision.admitted);
    }
}

#[test]
fn what_is_taken_as_far_as_it_goes_begins_at_once() {
    let server = RedisServer::start();
    let mut turns = Turns::new(&server, Quota::per_second(1), 3, 0);
    turns.book(0);

    assert_eq!(turns.ask(Act::TakeUpTo(2), Duration::MAX, 0).taken, 0);
    assert_eq!(turns.ask(Act::TakeUpTo(2), Duration::MAX, SECOND).taken, 2);
}

#[test]
fn the_last_turn_can_be_left_and_then_the_one_before_it() {
    let server = RedisServer::start();
    let mut turns = Turns::new(&server, Quota::per_second(10), 5, 0);
    turns.book(0);
    let earlier = turns.book(0);
    let last = turns.book(0);
    let leave = |turns: &mut Turns, answer: &Answer| {
        let turn = answer.turn;
        turns.ask(Act::Leave { cost: 1, turn }, Duration::ZERO, 20_000);
    };

    leave(&mut turns, &earlier);
    assert_eq!(
        turns
            .ask(Act::Peek(1), Duration::MAX, 20_000)
            .decision
            .status
            .remaining,
        3
    );

    leave(&mut turns, &last);
    leave(&mut turns, &last);
    leave(&mut turns, &earlier);
    assert_eq!(turns.book(20_000).wait, 80 * MS);
}

#[test]
fn a_clock_that_steps_back_creates_nothing_and_loses_nothing() {
    let server = RedisServer::start();
    let quotas = Quotas::from(Quota::per_minute(6));
    for rule in [
        Rule::TokenBucket(&quotas),
        Rule::SlidingWindow(&quotas, SlidingWindow::Approximate),
        Rule::SlidingWindow(&quotas, SlidingWindow::Exact),
    ] {
        let mut scripts = Scripts::on(&server);
        let mut ask = |act, seconds| scripts.ask(rule, act, Duration::ZERO, seconds * SECOND);
        assert_eq!(ask(Act::Take(3), 100).taken, 3);

        assert_eq!(ask(Act::Take(2), 50).taken, 2, "{rule:?}");
        assert_eq!(ask(Act::Take(2), 100).taken, 0, "{rule:?}");
        let refused = ask(Act::Take(2), 50).decision;
        let wait = refused.retry_after.unwrap();
        assert!(wait >= Duration::from_secs(60), "{rule:?}: {wait:?}");
        assert_eq!(ask(Act::Take(1), 100).taken, 1, "{rule:?}");
    }
}

#[test]
fn a_quota_that_changes_keeps_what_was_taken() {
    let server = RedisServer::start();
    let mut scripts = Scripts::on(&server);
    let before = Quota::per_second(100).and(Quota::per_hour(1_000));
    let answer = scripts.ask(Rule::TokenBucket(&before), Act::Take(60), Duration::ZERO, 0);
    assert!(answer.decision.admitted);

    let after = Quotas::from(Quota::per_hour(70));
    let look = scripts.ask(Rule::TokenBucket(&after), Act::Peek(0), Duration::ZERO, 0);

    assert_eq!(look.decision.status.remaining, 10);

    let least = Quotas::from(Quota::per_hour(4).debt(2));
    let look = scripts.ask(Rule::TokenBucket(&least), Act::Peek(0), Duration::ZERO, 0);

    // As much as the burst and the debt are, and not all of the sixty.
    let reset = look.decision.status.reset;
    assert_eq!(reset, Duration::from_secs(6 * 900));
}

#[test]
fn whatever_is_stored_there_is_an_answer_or_an_error_that_says_so() {
    let field = prop_oneof![
        Just("at".to_owned()),
        "1000000:(first|next|used|[0-9]{1,2})",
        "[a-z]{1,3}"
    ];
    let text = prop_oneof![
        "[0-9 :=,.'enx-]{0,30}",
        "[0-9]{1,25}( 1000000:?[0-9 =,]{0,30})?"
    ];
    let value = proptest::collection::vec((field, text), 1..8);
    let act = prop_oneof![
        Just(Act::Take(1)),
        Just(Act::TakeUpTo(u64::MAX)),
        Just(Act::GiveBack(u64::MAX)),
        Just(Act::Charge(3)),
        Just(Act::Peek(2)),
        Just(Act::Leave { cost: 1, turn: 7 })
    ];
    let server = RedisServer::start();
    let quotas = Quotas::from(Quota::per_second(10));
    let leaky = LeakyBucket::default();

    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&(value, act), |(value, act)| {
        for rule in [
            Rule::TokenBucket(&quotas),
            Rule::LeakyBucket(&quotas.as_slice()[0], leaky),
            Rule::SlidingWindow(&quotas, SlidingWindow::Buckets(2)),
            Rule::SlidingWindow(&quotas, SlidingWindow::Exact),
        ] {
            let mut scripts = Scripts::on(&server);
            scripts.put(rule, &value);
            let answer = scripts.try_ask(rule, act, Duration::ZERO, 0);
            let is_said = matches!(answer, Ok(_) | Err(Error::Foreign(_) | Error::Unreadable));
            prop_assert!(is_said, "{rule:?}: {answer:?}");
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Whole numbers that no double could hold: what the script does in parts.
#[derive(Debug, Default)]
struct Exact {
    owed: u128,
    at: u64,
}

impl Exact {
    /// Takes what there is, up to `most`, and returns how much that was.
    fn take_up_to(&mut self, quota: &Quota, most: u64, at: u64) -> u64 {
        let period = quota.period().as_micros();
        let come = u128::from(at - self.at) * u128::from(quota.tokens());
        self.owed = self.owed.saturating_sub(come);
        self.at = at;
        let taken = self.owed.div_ceil(period);
        let left = u128::from(quota.capacity()).saturating_sub(taken);
        let here = left.min(most.into());
        self.owed += here * period;
        here as u64
    }
}

#[test]
fn no_number_is_rounded_however_large() {
    let tokens = prop_oneof![1..1_000_u64, 1..1_u64 << 51];
    let period = prop_oneof![1..10_000_000_u64, 1..1_u64 << 51];
    let burst = prop_oneof![1..1_000_u64, 1..1_u64 << 51];
    let step = prop_oneof![
        Just(0),
        0..1_000_u64,
        0..10_000_000_000_u64,
        0..10_000_000_000_000_u64
    ];
    let most = prop_oneof![1..10_u64, 0..1_u64 << 52];
    let steps = proptest::collection::vec((step, most), 1..60);
    let server = RedisServer::start();

    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(
        &(tokens, period, burst, steps),
        |(tokens, period, burst, steps)| {
            // No more than 10^9 a second.
            let tokens = tokens.min(period.saturating_mul(1_000));
            let quota = Quota::new(tokens, Duration::from_micros(period)).burst(burst);
            prop_assert_eq!(quota.validate(), Ok(()));
            let quotas = Quotas::from(quota);
            let (mut scripts, mut exact, mut now) = (Scripts::on(&server), Exact::default(), 0);
            for (after, most) in steps {
                now += after;
                let rule = Rule::TokenBucket(&quotas);
                let mut question = question(rule, Act::TakeUpTo(most), Duration::ZERO);
                question.arguments.push((START + now).to_string());
                let returned = scripts.returned(&question);
                let returned = returned.expect("an answer").into_iter();
                let returned: Vec<_> = returned.map(|number| number as u128).collect();
                let &[_, taken, _, _, owed, parts] = &returned[..] else {
                    panic!("{returned:?}");
                };
                let here = exact.take_up_to(&quota, most, now);
                prop_assert_eq!(taken, u128::from(here));
                prop_assert_eq!(owed * u128::from(period) + parts, exact.owed);
            }
            Ok(())
        },
    );
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
