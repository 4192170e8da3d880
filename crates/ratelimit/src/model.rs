//! Token buckets beside slow and obvious ones.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use watertight_core::{Key, nanos};

use crate::decision::Meter;
use crate::past::Past;
use crate::quota::tests::any_quota;
use crate::tables::Tables;
use crate::ticks::{HORIZON, Ticks};
use crate::token_bucket::TokenBucket;
use crate::window::Room;
use crate::words::Direct;
use crate::{Quota, Quotas, WhenFull};

const SECOND: Duration = Duration::from_secs(1);

/// A bucket that says what is in it, in whole numbers without bounds: the balance at the time of
/// the last change, to which all is added that has come in since.
struct Model {
    ticks: Ticks,
    epoch: Instant,
    token: i128,
    capacity: i128,
    debt: i128,
    balance: i128,
    since: i128,
}

impl Model {
    fn new(quota: &Quota, epoch: Instant) -> Self {
        let (capacity, debt) = (quota.capacity(), quota.max_debt());
        let ticks = Ticks::new(quota.tokens(), quota.period(), capacity + debt);
        let token = i128::from(ticks.of(1));
        Self {
            since: ticks.at(0).into(),
            epoch,
            balance: i128::from(capacity) * token,
            capacity: i128::from(capacity) * token,
            debt: i128::from(debt) * token,
            token,
            ticks,
        }
    }

    /// Returns the model of another quota, from which as much has been taken.
    fn followed_by(&self, quota: &Quota, now: Instant) -> Self {
        let mut next = Self::new(quota, self.epoch);
        let owed = self.capacity - self.balance(now);
        let converted = |owed: i128| owed * next.token / self.token;
        let taken = converted(owed.min(self.capacity)).min(next.capacity);
        let debt = converted((owed - self.capacity).max(0)).min(next.debt);
        next.put(next.capacity - taken - debt, now);
        next
    }

    fn tick(&self, now: Instant) -> i128 {
        self.ticks.at(nanos(now - self.epoch)).into()
    }

    fn balance(&self, now: Instant) -> i128 {
        self.capacity
            .min(self.balance + self.tick(now) - self.since)
    }

    fn remaining(&self, now: Instant) -> u64 {
        (self.balance(now).max(0) / self.token) as u64
    }

    fn has(&self, cost: u64, now: Instant) -> bool {
        cost == 0 || i128::from(cost) * self.token <= self.balance(now)
    }

    fn put(&mut self, balance: i128, now: Instant) {
        // What changes nothing is not even looked at: a time that steps back loses nothing.
        if balance != self.balance(now) {
            self.balance = balance;
            self.since = self.tick(now);
        }
    }

    fn take(&mut self, cost: u64, now: Instant) {
        self.put(self.balance(now) - i128::from(cost) * self.token, now);
    }

    fn give_back(&mut self, cost: u64, now: Instant) {
        if self.balance(now) < self.capacity {
            self.put(self.balance(now) + i128::from(cost) * self.token, now);
        }
    }

    fn charge(&mut self, cost: u64, now: Instant) {
        let before = self.balance(now);
        let after = before - i128::from(cost) * self.token;
        self.put(after.max(-self.debt).min(before), now);
    }
}

/// Returns the least of what there is one of at least.
fn least(all: impl Iterator<Item = u64>) -> u64 {
    all.min().expect("there is a quota")
}

/// Makes so many random decisions beside models of the same quotas.
fn decide_beside_models(quotas: &Quotas, decisions: usize, random: &mut StdRng) {
    let epoch = Instant::now();
    let words = Direct::new(quotas.as_slice().len());
    let bucket = TokenBucket::new(quotas, words, epoch);
    let quotas = quotas.as_slice();
    let mut models: Vec<_> = quotas
        .iter()
        .map(|quota| Model::new(quota, epoch))
        .collect();
    let window = quotas[random.random_range(0..quotas.len())].window();
    let capacity = least(quotas.iter().map(Quota::capacity));
    // Most start at once, some after years.
    let mut now = epoch + HORIZON.mul_f64(random.random::<f64>() / 2.0);
    if random.random_bool(0.5) {
        now = epoch;
    }

    for step in 0..decisions {
        let stays = window.mul_f64(2.0_f64.powi(random.random_range(-40..2)));
        now = match random.random_range(0..20) {
            0..10 => now,
            10..19 => (now + stays).min(epoch + HORIZON),
            _ => now.checked_sub(stays).map_or(epoch, |then| then.max(epoch)),
        };
        let cost = match random.random_range(0..8) {
            0 => 0,
            1..4 => 1,
            4..7 => capacity >> random.random_range(0..64),
            _ => random.random_range(0..=capacity).saturating_mul(2),
        };
        let all_have = models.iter().all(|model| model.has(cost, now));
        match random.random_range(0..20) {
            0..12 => {
                let decision = bucket.take(None, cost, now);
                assert_eq!(decision.admitted, all_have, "{step}: {cost} of {quotas:?}");
                if all_have {
                    models.iter_mut().for_each(|model| model.take(cost, now));
                }
            }
            12..14 => {
                let most = least(models.iter().map(|model| model.remaining(now))).min(cost);
                let (taken, decision) = bucket.take_up_to(None, cost, now);
                assert_eq!(taken, most, "{step}: up to {cost} of {quotas:?}");
                assert_eq!(decision.admitted, most > 0 || cost == 0);
                models.iter_mut().for_each(|model| model.take(most, now));
            }
            14..16 => {
                let decision = bucket.peek(None, cost, now);
                assert_eq!(decision.admitted, all_have, "{step}: {cost} of {quotas:?}");
            }
            16..18 => {
                bucket.give_back(None, cost, now);
                models
                    .iter_mut()
                    .for_each(|model| model.give_back(cost, now));
            }
            _ => {
                bucket.charge(None, cost, now);
                models.iter_mut().for_each(|model| model.charge(cost, now));
            }
        }
        let tightest = least(models.iter().map(|model| model.remaining(now)));
        let status = bucket.peek(None, 0, now).status;
        assert_eq!(status.remaining, tightest, "{step}: {quotas:?}");
    }
}

fn decide_beside_models_of_all_sizes(decisions: usize) {
    let mut runner = TestRunner::deterministic();
    let mut random = StdRng::seed_from_u64(81);
    for _ in 0..decisions / 1_000 {
        let tree = any_quotas().new_tree(&mut runner).expect("any will do");
        decide_beside_models(&tree.current(), 1_000, &mut random);
    }
}

fn any_quotas() -> impl Strategy<Value = Quotas> {
    (any_quota(), vec(any_quota(), 0..3))
        .prop_map(|(first, others)| others.into_iter().fold(first.into(), Quotas::and))
}

#[test]
fn a_hundred_thousand_decisions_are_those_of_the_model() {
    decide_beside_models_of_all_sizes(100_000);
}

#[test]
#[ignore = "takes some seconds more"]
fn ten_million_decisions_are_those_of_the_model() {
    decide_beside_models_of_all_sizes(10_000_000);
}

/// The bucket of the text books, exact: the unit is a token by the nanoseconds of the period.
struct Ideal {
    quota: Quota,
    balance: u128,
    since: Instant,
}

impl Ideal {
    fn take_all(&mut self, now: Instant) -> u64 {
        let period = self.quota.period().as_nanos();
        let more = (now - self.since).as_nanos() * u128::from(self.quota.tokens());
        self.balance = (self.balance + more).min(u128::from(self.quota.capacity()) * period);
        self.since = now;
        let taken = self.balance / period;
        self.balance -= taken * period;
        taken as u64
    }
}

/// Somebody takes all there is, again and again, from the start or after many years.
#[test]
fn at_every_rate_the_total_is_within_one_token_of_the_ideal() {
    let mut random = StdRng::seed_from_u64(123_456_789);
    for quota in [
        Quota::per_second(1_000_000_000),
        Quota::per_second(999_999_999),
        Quota::per_second(300_000_000),
        Quota::per_second(123_456_789),
        Quota::per_second(123_456_789).burst(100_000_000_000_000_000),
        Quota::per_second(1_000).burst(1),
        Quota::per_second(3),
        Quota::new(7, 13 * SECOND),
        Quota::new(1, 10 * SECOND),
        Quota::per_day(1),
        Quota::per_day(1).burst(1_000_000_000_000),
        Quota::new(1, Quota::MAX_PERIOD),
    ] {
        for idle_years in [0, 1, 98] {
            let epoch = Instant::now();
            let bucket = TokenBucket::new(&quota.into(), Direct::new(1), epoch);
            let mut now = epoch + idle_years * 365 * 86_400 * SECOND;
            let mut ideal = Ideal {
                quota,
                balance: u128::from(quota.capacity()) * quota.period().as_nanos(),
                since: now,
            };
            let (mut total, mut ideal_total) = (0, 0);

            let step = quota.window().min(HORIZON / 500_000);
            for _ in 0..5_000 {
                now += step.mul_f64(random.random());
                total += bucket.take_up_to(None, u64::MAX, now).0;
                ideal_total += ideal.take_all(now);
                assert!(
                    total.abs_diff(ideal_total) <= 1,
                    "{quota:?} after {idle_years} years: {total} and not {ideal_total}"
                );
            }
        }
    }
}

proptest! {
    /// Also what a refusal promises is exact, to the nanosecond.
    #[test]
    fn a_refused_call_passes_when_it_was_told_and_not_before(
        quotas in any_quotas(),
        takes in vec((0.0..1.0_f64, 0.0..1.0_f64), 1..20),
    ) {
        let epoch = Instant::now();
        let words = Direct::new(quotas.as_slice().len());
        let bucket = TokenBucket::new(&quotas, words, epoch);
        let capacity = least(quotas.as_slice().iter().map(Quota::capacity));
        let mut now = epoch;

        for (share, pause) in takes {
            let cost = ((capacity as f64 * share) as u64).clamp(1, capacity);
            let decision = bucket.take(None, cost, now);
            if !decision.admitted {
                let after = decision.retry_after.unwrap();
                prop_assert!(!after.is_zero());
                if now + after < epoch + HORIZON {
                    prop_assert!(bucket.peek(None, cost, now + after).admitted);
                    let before = after - Duration::from_nanos(1);
                    prop_assert!(!bucket.peek(None, cost, now + before).admitted);
                }
            }
            let reset = decision.status.reset;
            now = (now + reset.mul_f64(pause)).min(epoch + HORIZON);
        }
    }

    /// Whatever the next quota is: what was taken stays taken, but for the rounding of a tick.
    #[test]
    fn a_change_of_quota_creates_nothing_and_loses_nothing(
        first in common_quota(),
        steps in vec((option::weighted(0.3, common_quota()), 0.0..1.0_f64, 0..120_u64), 1..30),
    ) {
        let epoch = Instant::now();
        let mut bucket = TokenBucket::new(&first.into(), Direct::new(1), epoch);
        let mut model = Model::new(&first, epoch);
        let (mut quota, mut now) = (first, epoch);

        for (next, share, seconds) in steps {
            now += Duration::from_secs(seconds);
            if let Some(next) = next {
                bucket = bucket.followed_by(&next.into(), Direct::new(1), now);
                model = model.followed_by(&next, now);
                quota = next;
            }
            let cost = ((quota.capacity() as f64 * share) as u64).max(1);
            if bucket.take(None, cost, now).admitted {
                prop_assert!(model.has(cost, now), "created");
                model.take(cost, now);
            } else {
                prop_assert!(!model.has(cost + 1, now), "lost");
            }
            if seconds % 7 == 0 {
                bucket.charge(None, cost, now);
                model.charge(cost, now);
            }
        }
    }

    /// A key that has got everything back may give its slot to others, and is found then by what
    /// was taken before. If there is no room for it, it may be refused for that.
    #[test]
    fn over_changes_a_key_is_given_back_no_more_than_was_taken(
        first in common_quota(),
        steps in vec((option::weighted(0.2, common_quota()), any_act(), 0..2_000_u64, 0..2_u8), 1..40),
        crowds in any::<bool>(),
    ) {
        let (epoch, key) = (Instant::now(), Some(Key::of("acme")));
        let room = Room { max_keys: 16, when_full: WhenFull::Refuse };
        let mut bucket = TokenBucket::new(&first.into(), Tables::new(1, room), epoch);
        let mut model = Model::new(&first, epoch);
        let (mut taken, mut now) = (0, epoch);

        let mut changes = 0;
        for (next, act, millis, crowd) in steps {
            now += Duration::from_millis(millis);
            if let Some(next) = next
                && changes < Past::<Tables>::MOST
            {
                changes += 1;
                bucket = bucket.followed_by(&next.into(), Tables::new(1, room), now);
                model = model.followed_by(&next, now);
            }
            if crowds && crowd > 0 {
                for other in 0..64_u64 {
                    bucket.take(Some(Key::of(other)), 1, now);
                }
            }
            match act {
                Act::Take(cost) if bucket.take(key, cost, now).admitted => {
                    prop_assert!(model.has(cost, now), "created");
                    model.take(cost, now);
                    taken += cost;
                }
                Act::Take(cost) => prop_assert!(crowds || !model.has(cost + 1, now), "lost"),
                Act::GiveBack(cost) => {
                    let cost = cost.min(taken);
                    bucket.give_back(key, cost, now);
                    model.give_back(cost, now);
                    taken -= cost;
                }
            }
            let remaining = bucket.peek(key, 0, now).status.remaining;
            prop_assert!(remaining <= model.remaining(now), "created");
        }
    }
}

fn common_quota() -> impl Strategy<Value = Quota> {
    let seconds = prop_oneof![Just(1), Just(10), Just(60), Just(3_600)];
    (1..1_000_u64, seconds, 1..1_000_u64).prop_map(|(tokens, seconds, burst)| {
        Quota::new(tokens, Duration::from_secs(seconds)).burst(burst)
    })
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Take(u64),
    GiveBack(u64),
}

fn any_act() -> impl Strategy<Value = Act> {
    let cost = || prop_oneof![1..4_u64, 1..1_000_u64];
    prop_oneof![
        2 => cost().prop_map(Act::Take),
        1 => cost().prop_map(Act::GiveBack),
        1 => Just(Act::GiveBack(u64::MAX)),
    ]
}
