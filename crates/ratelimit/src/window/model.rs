//! Sliding windows beside slow and obvious ones.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use watertight_core::nanos;

use super::taken::Taken;
use super::{Buckets, Log, Room, TwoCounters, Windows, WordWindow};
use crate::decision::Meter;
use crate::ticks::HORIZON;
use crate::words::Direct;
use crate::{Quota, Quotas, WhenFull};

pub(super) const ROOM: Room = Room {
    max_keys: 100,
    when_full: WhenFull::Evict,
};

/// Counts by its list of all takes, in whole numbers that have room for everything.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Exact,
    /// So many buckets to a period.
    Fading(u64),
}

struct Model {
    rule: Rule,
    limit: u128,
    most: u128,
    length: u128,
    takes: Vec<(u128, u128)>,
}

impl Model {
    fn new(quota: &Quota, rule: Rule) -> Self {
        Self {
            rule,
            limit: quota.tokens().into(),
            most: u128::from(quota.tokens()) + u128::from(quota.max_debt()),
            length: nanos(quota.period()).into(),
            takes: Vec::new(),
        }
    }

    /// Returns what is in the window, as a numerator and a denominator.
    fn used(&self, now: u128) -> (u128, u128) {
        let takes = self.takes.iter();
        match self.rule {
            Rule::Exact => {
                let inside = takes.filter(|(at, _)| at + self.length > now);
                (inside.map(|(_, cost)| cost).sum(), 1)
            }
            Rule::Fading(buckets) => {
                let bucket = self.length.div_ceil(buckets.into());
                let running = now / bucket;
                let parts = takes.map(|(at, cost)| match running - at / bucket {
                    age if age < buckets.into() => cost * bucket,
                    age if age == buckets.into() => cost * (bucket - now % bucket),
                    _ => 0,
                });
                (parts.sum(), bucket)
            }
        }
    }

    fn remaining(&self, now: u128) -> u128 {
        let (used, unit) = self.used(now);
        self.limit.saturating_sub(used.div_ceil(unit))
    }

    fn has(&self, cost: u64, now: u128) -> bool {
        let (used, unit) = self.used(now);
        cost == 0 || used + u128::from(cost) * unit <= self.limit * unit
    }

    fn take(&mut self, cost: u64, now: u128) {
        self.takes.push((now, cost.into()));
        self.takes
            .retain(|(at, _)| at + 2 * self.length + 2_000 > now);
    }

    fn charge(&mut self, cost: u64, now: u128) {
        let (used, unit) = self.used(now);
        let room = self.most.saturating_sub(used.div_ceil(unit));
        self.takes.push((now, room.min(cost.into())));
    }

    /// What is no longer in the window is not given back.
    fn give_back(&mut self, cost: u64, now: u128) {
        let mut cost = u128::from(cost);
        let outside = |at: u128| match self.rule {
            Rule::Exact => at + self.length <= now,
            Rule::Fading(buckets) => {
                let bucket = self.length.div_ceil(buckets.into());
                now / bucket - at / bucket > buckets.into()
            }
        };
        for (at, taken) in self.takes.iter_mut().rev() {
            if outside(*at) {
                continue;
            }
            let removed = cost.min(*taken);
            *taken -= removed;
            cost -= removed;
        }
    }
}

/// A window of up to a century of up to many tokens.
fn any_quota(most: u64) -> impl Strategy<Value = Quota> {
    let nanos = (0..62_u32, any::<u64>()).prop_map(|(shift, bits)| (bits >> (1 + shift)).max(1));
    let tokens = (0..62_u32, any::<u64>()).prop_map(|(shift, bits)| bits >> (2 + shift));
    (nanos, tokens, any::<bool>())
        .prop_map(move |(nanos, tokens, debt)| {
            let period = Duration::from_nanos(nanos).min(HORIZON / 100);
            let tokens = tokens.clamp(1, most).min(period.as_nanos() as u64);
            let quota = Quota::new(tokens, period);
            if debt { quota.debt(tokens / 3) } else { quota }
        })
        .prop_filter("a valid one", |quota| quota.validate().is_ok())
}

fn any_quotas(most: u64) -> impl Strategy<Value = Quotas> {
    (
        any_quota(most),
        proptest::collection::vec(any_quota(most), 0..2),
    )
        .prop_map(|(first, others)| others.into_iter().fold(first.into(), Quotas::and))
}

fn least<T: Ord>(all: impl Iterator<Item = T>) -> T {
    all.min().expect("there is a quota")
}

/// Makes so many random decisions with `meter` beside models of the same quotas.
fn decide_beside_models(
    meter: &dyn Meter,
    quotas: &Quotas,
    rule: Rule,
    (epoch, decisions): (Instant, usize),
    random: &mut StdRng,
) {
    let quotas = quotas.as_slice();
    let mut models: Vec<_> = quotas.iter().map(|quota| Model::new(quota, rule)).collect();
    let period = quotas[random.random_range(0..quotas.len())].period();
    let limit = least(quotas.iter().map(Quota::tokens));
    let mut now = epoch + HORIZON.mul_f64(random.random::<f64>() / 2.0);

    for step in 0..decisions {
        if random.random_bool(0.5) {
            now += period.mul_f64(2.0_f64.powi(random.random_range(-20..2)));
        }
        let cost = match random.random_range(0..8) {
            0 => 0,
            1..4 => 1,
            4..7 => limit >> random.random_range(0..10),
            _ => random.random_range(0..=limit).saturating_mul(2),
        };
        let at = (now - epoch).as_nanos();
        let all_have = models.iter().all(|model| model.has(cost, at));
        let said = || format!("{step}: {cost} of {quotas:?} by {rule:?}");
        match random.random_range(0..20) {
            0..13 => {
                let decision = meter.take(None, cost, now);
                assert_eq!(decision.admitted, all_have, "{}", said());
                if let Some(after) = decision.retry_after
                    && random.random_bool(0.2)
                {
                    let passes = |after| meter.peek(None, cost, now + after).admitted;
                    assert!(!passes(after - Duration::from_nanos(1)), "{}", said());
                    assert!(passes(after), "{}", said());
                    now += after;
                }
                if all_have {
                    models.iter_mut().for_each(|model| model.take(cost, at));
                }
            }
            13..15 => {
                let least = least(models.iter().map(|model| model.remaining(at)));
                let (taken, _) = meter.take_up_to(None, cost, now);
                assert_eq!(u128::from(taken), least.min(cost.into()), "{}", said());
                models.iter_mut().for_each(|model| model.take(taken, at));
            }
            15..17 => {
                meter.give_back(None, cost, now);
                models
                    .iter_mut()
                    .for_each(|model| model.give_back(cost, at));
            }
            _ => {
                meter.charge(None, cost, now);
                models.iter_mut().for_each(|model| model.charge(cost, at));
            }
        }
        let at = (now - epoch).as_nanos();
        let least = least(models.iter().map(|model| model.remaining(at)));
        let status = meter.peek(None, 0, now).status;
        assert_eq!(u128::from(status.remaining), least, "{}", said());
    }
}

fn decide_with<T: Taken>(rule: Rule, decisions: usize) {
    let buckets = match rule {
        Rule::Exact => 1,
        Rule::Fading(buckets) => buckets as u32,
    };
    let mut runner = TestRunner::deterministic();
    let mut random = StdRng::seed_from_u64(86);
    for _ in 0..decisions / 200 {
        let tree = any_quotas(1 << 60)
            .new_tree(&mut runner)
            .expect("any will do");
        let (quotas, epoch) = (tree.current(), Instant::now());
        let windows = Windows::<T>::new(&quotas, buckets, ROOM, epoch);
        decide_beside_models(&windows, &quotas, rule, (epoch, 200), &mut random);
    }
}

#[test]
fn decisions_of_a_log_are_those_of_the_model() {
    decide_with::<Log>(Rule::Exact, 20_000);
}

#[test]
fn decisions_of_buckets_are_those_of_the_model() {
    for buckets in [1, 2, 7, 10] {
        decide_with::<Buckets>(Rule::Fading(buckets), 10_000);
    }
}

#[test]
fn decisions_of_two_counters_are_those_of_the_model() {
    decide_with::<TwoCounters>(Rule::Fading(1), 20_000);
}

#[test]
fn decisions_of_two_counters_in_a_word_are_those_of_the_model() {
    let mut runner = TestRunner::deterministic();
    let mut random = StdRng::seed_from_u64(87);
    let mut in_words = 0;
    for _ in 0..300 {
        let tree = any_quota(1 << 24)
            .new_tree(&mut runner)
            .expect("any will do");
        let (quota, epoch) = (tree.current(), Instant::now());
        let Some(window) = WordWindow::new(&quota, Direct::new(1), epoch) else {
            continue;
        };
        let rule = Rule::Fading(1);
        decide_beside_models(&window, &quota.into(), rule, (epoch, 200), &mut random);
        in_words += 1;
    }
    assert!(in_words > 100, "{in_words}");
}
