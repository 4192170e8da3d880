//! How much load clients make of a service that fails every other attempt.

use std::time::Duration;

use tokio::time::Instant;

use super::Budget;
use crate::{Failure, FailureKind};

const MAX_ATTEMPTS: u32 = 4;
const SECONDS: u32 = 60;

/// Returns how many attempts are made for each call in the last two thirds of a minute. Each client
/// calls once a second, at a moment of its own.
fn load(clients: u32, budget: impl Fn(u32) -> Budget) -> f64 {
    let start = Instant::now();
    let budgets: Vec<_> = (0..clients).map(budget).collect();
    let failure = Failure::new(FailureKind::Server);
    let mut coin = Coin(7);
    let (mut calls, mut attempts) = (0, 0);

    for second in 0..SECONDS {
        for (client, budget) in budgets.iter().enumerate() {
            let now = start
                + second * Duration::from_secs(1)
                + client as u32 * Duration::from_secs(1) / clients;
            let machine = budget.machine();
            machine.begin(false, || now);
            let (mut made, mut last) = (1, 0);
            let succeeded = loop {
                if coin.toss() {
                    break true;
                }
                if made == MAX_ATTEMPTS {
                    break false;
                }
                let Some(cost) = machine.withdraw(&failure, || now) else {
                    break false;
                };
                machine.send(|| now);
                made += 1;
                last = cost;
            };
            if succeeded {
                machine.succeed(last);
            }
            if second >= SECONDS / 3 {
                calls += 1;
                attempts += made;
            }
        }
    }
    f64::from(attempts) / f64::from(calls)
}

/// A xorshift generator.
struct Coin(u64);

impl Coin {
    fn toss(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 63 == 0
    }
}

#[test]
fn clients_that_share_a_handle_make_no_more_load_than_it_says_however_many_they_are() {
    println!("clients  one handle  its floor 10/s  floor 10/s each  tokens(500) each");
    for clients in [10, 100, 1_000, 10_000] {
        let bare = Budget::ratio(0.1).min_per_second(0.0);
        let floored = Budget::ratio(0.1);
        let shared = load(clients, |_| bare.clone());
        let with_floor = load(clients, |_| floored.clone());
        let private = load(clients, |_| Budget::ratio(0.1));
        let tokens = load(clients, |_| Budget::tokens(500));
        println!(
            "{clients:>7}  {shared:>10.3}  {with_floor:>14.3}  {private:>15.3}  {tokens:>16.3}"
        );

        assert!((1.08..=1.12).contains(&shared), "{shared}");
        assert!(private > 1.8, "{private}");
        assert!(tokens > 1.8, "{tokens}");
        // The floor is 10/s on top of a tenth, whoever is there to use it.
        let most = 1.12 + 10.0 / f64::from(clients);
        assert!(with_floor <= most, "{with_floor}");
    }
}
