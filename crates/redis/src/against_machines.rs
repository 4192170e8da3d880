//! The scripts beside the machines of one process: the same calls at the same times, and the same
//! decisions.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time;
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, Answer, Rule};
use watertight_ratelimit::{
    Algorithm, Decision, LeakyBucket, LeakyBucketLayer, Quota, Quotas, RateLimitHandle,
    SlidingWindow, SlidingWindowLayer, TokenBucketLayer,
};

use crate::harness::RedisServer;
use crate::scripted::Scripts;

/// A machine counts in parts of a token that are not those of Redis: waits differ by so much.
const ROUNDED: Duration = Duration::from_nanos(3);

/// Those of windows are in microseconds.
const TICK: Duration = Duration::from_micros(1);

/// A step of a test: how long after the last, in a way that comes near to what was answered then,
/// and what is done.
#[derive(Clone, Copy, Debug)]
struct Step {
    after: After,
    act: Act,
}

#[derive(Clone, Copy, Debug)]
enum After {
    Micros(u64),
    /// When the last call could pass, and a microsecond before that.
    Wait,
    JustBefore,
    /// When the quota that decided last is whole again.
    Reset,
}

fn any_step() -> impl Strategy<Value = Step> {
    let after = prop_oneof![
        3 => Just(After::Micros(0)),
        3 => (0..2_000_000_u64).prop_map(After::Micros),
        1 => (0..10_000_000_000_u64).prop_map(After::Micros),
        3 => Just(After::Wait),
        2 => Just(After::JustBefore),
        1 => Just(After::Reset),
    ];
    let act = prop_oneof![
        8 => (0..4_u64).prop_map(Act::Take),
        2 => (0..200_u64).prop_map(Act::Take),
        2 => (0..50_u64).prop_map(Act::TakeUpTo),
        1 => (0..5_u64).prop_map(Act::GiveBack),
        1 => (0..300_u64).prop_map(Act::Charge),
        2 => (0..20_u64).prop_map(Act::Peek),
        1 => Just(Act::Take(u64::MAX)),
    ];
    (after, act).prop_map(|(after, act)| Step { after, act })
}

fn any_quota() -> impl Strategy<Value = Quota> {
    let period = prop_oneof![
        Just(Duration::from_secs(1)),
        Just(Duration::from_secs(60)),
        Just(Duration::from_secs(3_600)),
        Just(Duration::from_secs(86_400)),
        (1..10_000_000_u64).prop_map(Duration::from_micros),
        (1..10_000_000_u64).prop_map(Duration::from_nanos),
    ];
    let share = prop_oneof![Just(1), 1..100_u64, 1..1_000_000_000_u64];
    (period, share, 1..300_u64, proptest::option::of(0..300_u64)).prop_map(
        |(period, tokens, burst, debt)| {
            let most = period.as_nanos().try_into().unwrap_or(u64::MAX);
            let quota = Quota::new(tokens.min(most), period).burst(burst);
            debt.map_or(quota, |debt| quota.debt(debt))
        },
    )
}

fn any_quotas(quota: impl Strategy<Value = Quota>) -> impl Strategy<Value = Quotas> {
    let all = vec(quota, 1..4);
    all.prop_map(|all| {
        let (first, others) = all.split_first().expect("a quota");
        let quotas = others.iter().copied();
        quotas.fold(Quotas::from(*first), Quotas::and)
    })
}

/// The windows of both begin at the same times if an hour is a multiple of their buckets.
fn any_window_quota() -> impl Strategy<Value = Quota> {
    let seconds = prop_oneof![Just(1_u64), Just(60), Just(3_600)];
    let tokens = prop_oneof![1..100_u64, 1..10_000_u64];
    (seconds, tokens).prop_map(|(seconds, tokens)| Quota::new(tokens, Duration::from_secs(seconds)))
}

/// Does one thing with a machine, as a store does it.
fn ask<A>(machine: &RateLimitHandle<A>, act: Act) -> (Decision, u64) {
    let taken = |decision: Decision, cost| if decision.admitted { cost } else { 0 };
    match act {
        Act::Take(cost) => {
            let decision = machine.take(cost);
            (decision, taken(decision, cost))
        }
        Act::TakeUpTo(most) => {
            let taken = machine.at_most(most);
            let asked = if taken == 0 { most.min(1) } else { 0 };
            (machine.take(asked), taken)
        }
        Act::GiveBack(cost) => {
            machine.refund(cost);
            (machine.peek(0), 0)
        }
        Act::Charge(cost) => {
            machine.penalize(cost);
            (machine.peek(0), 0)
        }
        Act::Peek(cost) => (machine.peek(cost), 0),
        act => unreachable!("{act:?} is not among the steps"),
    }
}

fn is_near(one: Option<Duration>, other: Option<Duration>, most: Duration) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.abs_diff(other) <= most,
        (one, other) => one == other,
    }
}

/// Asks both the same, and returns whether the waits are so near to nothing that they may decide
/// differently: then there is nothing to compare any more.
fn compare<A: Algorithm>(
    machine: &RateLimitHandle<A>,
    scripts: &mut Scripts,
    rule: Rule<'_>,
    act: Act,
) -> Result<(Decision, bool), TestCaseError> {
    let (expected, expected_taken) = ask(machine, act);
    let Answer {
        decision, taken, ..
    } = scripts.ask_now(rule, act);

    let is_window = matches!(rule, Rule::SlidingWindow(..));
    if expected.admitted != decision.admitted || expected_taken != taken {
        let mut waits = [expected, decision].into_iter();
        let waits_for_nothing =
            waits.any(|one| one.retry_after.is_some_and(|wait| wait <= ROUNDED));
        // Who takes what there is takes one less, and waits for nothing, where a part is missing.
        let takes_one_less =
            matches!(act, Act::TakeUpTo(_)) && !is_window && expected_taken.abs_diff(taken) <= 1;
        let is_close = waits_for_nothing || takes_one_less;
        prop_assert!(is_close, "{act:?}: {expected:?}, but {decision:?}");
        return Ok((decision, true));
    }
    let (is, was) = (decision.status, expected.status);
    if (is.remaining, is.quota) != (was.remaining, was.quota) {
        // What is missing of a token may be its last part.
        let is_close = !is_window && is.remaining.abs_diff(was.remaining) <= 1;
        prop_assert!(is_close, "{act:?}: {expected:?}, but {decision:?}");
        return Ok((decision, true));
    }
    prop_assert_eq!((is.limit, is.window), (was.limit, was.window));
    let most = if is_window { TICK } else { ROUNDED };
    let is_same = is_near(decision.retry_after, expected.retry_after, most)
        && is_near(Some(is.reset), Some(was.reset), most);
    prop_assert!(is_same, "{act:?}: {expected:?}, but {decision:?}");
    Ok((decision, false))
}

fn run<A: Algorithm>(
    server: &RedisServer,
    steps: &[Step],
    rule: Rule<'_>,
    machine: impl FnOnce() -> RateLimitHandle<A>,
) -> Result<usize, TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut scripts = Scripts::on(server);
        let machine = machine();
        let mut last: Option<Decision> = None;
        for (done, step) in steps.iter().enumerate() {
            let of_last = |time: fn(Decision) -> Option<Duration>| {
                let time = last.and_then(time).unwrap_or_default();
                // In whole microseconds, as the clock of Redis is, and no longer than a week.
                (time.as_nanos().div_ceil(1_000) as u64).min(604_800_000_000)
            };
            let micros = match step.after {
                After::Micros(micros) => micros,
                After::Wait => of_last(|last| last.retry_after),
                After::JustBefore => of_last(|last| last.retry_after).saturating_sub(1),
                After::Reset => of_last(|last| Some(last.status.reset)),
            };
            time::advance(Duration::from_micros(micros)).await;
            let (decision, is_over) = compare(&machine, &mut scripts, rule, step.act)?;
            if is_over {
                return Ok(done);
            }
            last = Some(decision);
        }
        Ok(steps.len())
    })
}

/// Runs so many cases, as the macro of proptest does, on one server. That share of the steps has to
/// be compared at least.
fn cases<S: Strategy>(
    strategy: &S,
    least: f64,
    test: impl Fn(&RedisServer, S::Value) -> Result<(usize, usize), TestCaseError>,
) {
    let server = RedisServer::start();
    let compared = std::cell::Cell::new((0, 0));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(strategy, |value| {
        let (done, all) = test(&server, value)?;
        let (so_far, of) = compared.get();
        compared.set((so_far + done, of + all));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let (done, all) = compared.get();
    assert!(
        done as f64 > all as f64 * least,
        "of {all} steps only {done} could be compared"
    );
}

fn token_buckets(
    server: &RedisServer,
    quotas: &Quotas,
    steps: &[Step],
) -> Result<(usize, usize), TestCaseError> {
    let done = run(server, steps, Rule::TokenBucket(quotas), || {
        let layer = TokenBucketLayer::builder("api", quotas.clone());
        layer.registry(&Registry::new()).build().handle()
    })?;
    Ok((done, steps.len()))
}

#[test]
fn token_buckets_decide_as_in_one_process() {
    let strategy = (any_quotas(any_quota()), vec(any_step(), 1..60));
    cases(&strategy, 0.9, |server, (quotas, steps)| {
        token_buckets(server, &quotas, &steps)
    });
}

/// At rates where what a machine rounds is a good part of a token.
#[test]
fn fast_token_buckets_decide_as_in_one_process() {
    let quota = (10_000_000..500_000_000_u64, 1..300_u64)
        .prop_map(|(tokens, burst)| Quota::per_second(tokens).burst(burst));
    let after = prop_oneof![(0..3_u64).prop_map(After::Micros), Just(After::Wait)];
    let act = prop_oneof![
        (0..300_u64).prop_map(Act::Take),
        (0..300_u64).prop_map(Act::TakeUpTo),
        Just(Act::Charge(300)),
    ];
    let step = (after, act).prop_map(|(after, act)| Step { after, act });
    let strategy = (any_quotas(quota), vec(step, 1..60));
    cases(&strategy, 0.5, |server, (quotas, steps)| {
        token_buckets(server, &quotas, &steps)
    });
}

#[test]
fn leaky_buckets_decide_as_in_one_process() {
    let quota = any_quota()
        .prop_map(|quota| Quota::new(quota.tokens(), quota.period()).debt(quota.max_debt()));
    let strategy = (quota, 0..50_u64, 0..5_u64, vec(any_step(), 1..60));
    cases(&strategy, 0.9, |server, (quota, queue, slack, steps)| {
        let leaky = LeakyBucket {
            queue,
            slack,
            max_wait: None,
        };
        let done = run(server, &steps, Rule::LeakyBucket(&quota, leaky), || {
            let layer = LeakyBucketLayer::builder("api", quota)
                .queue(queue)
                .slack(slack);
            layer.registry(&Registry::new()).build().handle()
        })?;
        Ok((done, steps.len()))
    });
}

#[test]
fn windows_decide_as_in_one_process() {
    let settings = prop_oneof![
        Just(SlidingWindow::Approximate),
        prop::sample::select(vec![2, 5, 10, 50, 1_000]).prop_map(SlidingWindow::Buckets),
        Just(SlidingWindow::Exact),
    ];
    let strategy = (
        any_quotas(any_window_quota()),
        settings,
        vec(any_step(), 1..60),
    );
    cases(&strategy, 0.9, |server, (quotas, setting, steps)| {
        let done = run(
            server,
            &steps,
            Rule::SlidingWindow(&quotas, setting),
            || {
                let layer = SlidingWindowLayer::builder("api", quotas.clone());
                let layer = match setting {
                    SlidingWindow::Buckets(buckets) => layer.buckets(buckets),
                    SlidingWindow::Exact => layer.exact(),
                    _ => layer.approximate(),
                };
                layer.registry(&Registry::new()).build().handle()
            },
        )?;
        Ok((done, steps.len()))
    });
}
