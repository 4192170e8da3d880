//! How wrong each way of counting is: the tables in the docs of
//! [`SlidingWindow`](crate::SlidingWindow).

use std::collections::VecDeque;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::model::ROOM;
use super::taken::Taken;
use super::{Buckets, Log, TwoCounters, Windows};
use crate::Quota;
use crate::decision::Meter;

const LIMIT: u64 = 100;
const PERIOD: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

/// When calls come, from the start.
type Traffic = Vec<Duration>;

/// Calls that know nothing of each other, `load` times the limit, in a thousand periods.
fn poisson(load: f64) -> Traffic {
    let mut random = StdRng::seed_from_u64(2_017);
    let mean = PERIOD.div_f64(LIMIT as f64 * load);
    let mut time = Duration::ZERO;
    let mut arrivals = Vec::new();
    while time < 1_000 * PERIOD {
        time += mean.mul_f64(-(1.0 - random.random::<f64>()).ln());
        arrivals.push(time);
    }
    arrivals
}

/// The same in bursts: for 10 seconds thrice as many, and for 20 seconds none.
fn bursts(load: f64) -> Traffic {
    let arrivals = poisson(3.0 * load).into_iter();
    arrivals
        .map(|time| time + 20 * SECOND * (time.as_secs() / 10) as u32)
        .collect()
}

/// Each time as much as there can be room for, as soon as there can be.
fn cheat(counter: Duration) -> Traffic {
    let burst = [counter - NANO; LIMIT as usize].into_iter();
    let others = (0..30_000).map(|step| counter + step * SECOND / 100);
    burst.chain(others).collect()
}

/// Returns which of the calls are let pass.
fn passes<T: Taken>(buckets: u32, traffic: &[Duration]) -> Vec<bool> {
    let epoch = Instant::now();
    let quota = Quota::new(LIMIT, PERIOD);
    let windows = Windows::<T>::new(&quota.into(), buckets, ROOM, epoch);
    let take = |time: &Duration| windows.take(None, 1, epoch + *time).admitted;
    traffic.iter().map(take).collect()
}

/// Returns the percentage of calls that were let pass though in the period before them had passed
/// as many as the limit, of calls that were refused though less had, and by how many percent more
/// passed in all than by a log.
fn errors(traffic: &[Duration], passes: &[bool], by_log: &[bool]) -> String {
    let (mut passed, mut refused) = (0, 0);
    let mut period = VecDeque::new();
    for (time, passes) in traffic.iter().zip(passes) {
        while period.front().is_some_and(|first| *first + PERIOD <= *time) {
            period.pop_front();
        }
        match (passes, period.len() < LIMIT as usize) {
            (true, false) => passed += 1,
            (false, true) => refused += 1,
            _ => {}
        }
        if *passes {
            period.push_back(*time);
        }
    }
    let percent = |part: f64, whole: usize| 100.0 * part / whole as f64;
    let count = |all: &[bool]| all.iter().filter(|passes| **passes).count();
    let more = count(passes) as f64 - count(by_log) as f64;
    format!(
        "{:.1}, {:.1}, {:+.1}",
        percent(passed.into(), traffic.len()),
        percent(refused.into(), traffic.len()),
        percent(more, count(by_log)),
    )
}

/// Returns the most that passes within `time`.
fn most_within(time: Duration, traffic: &[Duration], passes: &[bool]) -> usize {
    let all = traffic.iter().zip(passes);
    let passed: Vec<_> = all
        .filter(|(_, passes)| **passes)
        .map(|(at, _)| *at)
        .collect();
    let until = |end: Duration| passed.partition_point(|at| *at < end);
    let counts = passed.iter().enumerate();
    let counts = counts.map(|(index, start)| until(*start + time) - index);
    counts.max().unwrap_or(0)
}

/// Returns how long it takes until all of a burst at the start of a counter has come back.
fn back_after<T: Taken>(buckets: u32) -> Duration {
    let epoch = Instant::now();
    let quota = Quota::new(LIMIT, PERIOD);
    let windows = Windows::<T>::new(&quota.into(), buckets, ROOM, epoch);
    windows.take_up_to(None, LIMIT, epoch).1.status.reset
}

#[test]
fn the_docs_say_how_wrong_each_way_of_counting_is() {
    let mut traffics: Vec<(String, Traffic)> = [0.5, 0.9, 1.0, 1.1, 2.0]
        .map(|load| {
            (
                format!("at random, {load:.1} times the limit"),
                poisson(load),
            )
        })
        .into();
    let on_off = "10 s on and 20 s off, 0.9 times the limit";
    traffics.push((on_off.into(), bursts(0.9)));
    let mut rows: Vec<String> = traffics
        .iter()
        .map(|(name, traffic)| {
            let exact = passes::<Log>(1, traffic);
            let of_all = |passes: Vec<bool>| errors(traffic, &passes, &exact);
            let approximate = of_all(passes::<TwoCounters>(1, traffic));
            let buckets = of_all(passes::<Buckets>(10, traffic));
            format!(
                "| {name} | {approximate} | {buckets} | {} |",
                of_all(exact.clone())
            )
        })
        .collect();

    for time in [PERIOD, PERIOD * 9 / 10] {
        let most = |traffic: Traffic, passes: Vec<bool>| most_within(time, &traffic, &passes);
        let (long, short) = (cheat(PERIOD), cheat(PERIOD / 10));
        let approximate = passes::<TwoCounters>(1, &long);
        let buckets = passes::<Buckets>(10, &short);
        let exact = passes::<Log>(1, &long);
        rows.push(format!(
            "| the most that a cheat gets within {time:?} | {} | {} | {} |",
            most(long.clone(), approximate),
            most(short, buckets),
            most(long, exact)
        ));
    }
    rows.push(format!(
        "| the longest until all of it is back | {:?} | {:?} | {:?} |",
        back_after::<TwoCounters>(1),
        back_after::<Buckets>(10),
        back_after::<Log>(1)
    ));

    let docs = include_str!("setting.rs");
    let missing = rows.iter().filter(|row| !docs.contains(row.as_str()));
    assert_eq!(
        missing.count(),
        0,
        "the docs are to say:\n{}",
        rows.join("\n")
    );
}

/// As limiters with a fixed window are known to let pass twice the limit where two of them meet.
#[test]
fn where_two_periods_meet_no_more_passes_than_the_limit() {
    let mut traffic = vec![PERIOD - NANO; LIMIT as usize];
    traffic.extend(vec![PERIOD; LIMIT as usize]);

    for passes in [
        passes::<TwoCounters>(1, &traffic),
        passes::<Buckets>(10, &traffic),
        passes::<Log>(1, &traffic),
    ] {
        assert_eq!(most_within(PERIOD, &traffic, &passes), LIMIT as usize);
    }
}

proptest! {
    /// Cheats of all kinds: they wait for a while, and then take what they can.
    #[test]
    fn no_more_than_the_limit_passes_in_a_period_less_a_bucket(
        buckets in 2..20_u32,
        steps in vec((0..30_000_u32, 0..200_usize, 0..500_u32), 1..60),
    ) {
        let mut time = Duration::ZERO;
        let mut traffic = Vec::new();
        for (pause, count, distance) in steps {
            time += pause * SECOND / 1_000;
            for _ in 0..count {
                time += distance * SECOND / 1_000;
                traffic.push(time);
            }
        }
        let most = |time, passes: Vec<bool>| most_within(time, &traffic, &passes);

        let less = PERIOD * (buckets - 1) / buckets;
        prop_assert!(most(less, passes::<Buckets>(buckets, &traffic)) <= LIMIT as usize);
        prop_assert!(most(PERIOD, passes::<Log>(1, &traffic)) <= LIMIT as usize);
        prop_assert!(most(PERIOD, passes::<TwoCounters>(1, &traffic)) < 2 * LIMIT as usize);
    }
}
