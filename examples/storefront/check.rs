//! What must hold after a run, on any machine: counts and orders, never times.

use anstream::println;
use watertight::metrics::Snapshot;

use crate::args::Side;
use crate::screen::{BAD, GOOD, WORSE, breaker_state};
use crate::stage::Outcome;

/// The upstreams that die in the incident, and those that do not.
const DEAD: [&str; 2] = ["payments", "recommendations"];
const ALIVE: [&str; 2] = ["inventory", "reviews"];

/// Prints what holds and what does not, and returns whether all does.
///
/// Where the visitors did not come when they should have, there is nothing to judge.
pub(crate) fn check(outcomes: &[Outcome]) -> bool {
    println!();
    for outcome in outcomes {
        let totals = &outcome.totals;
        let side = outcome.side.name();
        if totals.late * 100 > totals.tally.offered {
            println!(
                "{WORSE}no verdict{WORSE:#}: the load generator fell behind, {} of {} visitors came \
                 late to the {side} shop",
                totals.late, totals.tally.offered
            );
            return true;
        }
    }

    let mut claims = Claims::default();
    for outcome in outcomes {
        claims.each_page_is_counted_once(outcome);
        if outcome.side == Side::Protected {
            claims.breakers_did_their_work(&outcome.layers);
        }
    }
    if let [bare, protected] = outcomes {
        claims.layers_help(bare, protected);
    }
    claims.all_hold
}

#[derive(Debug)]
struct Claims {
    all_hold: bool,
}

impl Default for Claims {
    fn default() -> Self {
        Self { all_hold: true }
    }
}

impl Claims {
    fn claim(&mut self, holds: bool, what: &str) {
        if holds {
            println!("{GOOD}holds{GOOD:#}  {what}");
        } else {
            println!("{BAD}FAILS{BAD:#}  {what}");
        }
        self.all_hold &= holds;
    }

    fn each_page_is_counted_once(&mut self, outcome: &Outcome) {
        let tally = &outcome.totals.tally;
        let counted = tally.good + tally.degraded + tally.failed;
        self.claim(
            counted == tally.offered,
            &format!(
                "{}: {} pages good, {} degraded, {} failed, of {}",
                outcome.side.name(),
                tally.good,
                tally.degraded,
                tally.failed,
                tally.offered
            ),
        );
    }

    fn breakers_did_their_work(&mut self, layers: &Snapshot) {
        for name in DEAD {
            let opened = times_opened(layers, name);
            let state = breaker_state(layers, name).unwrap_or("missing");
            self.claim(
                opened > 0 && state == "closed",
                &format!("{name}: its breaker opened {opened} times and ends {state}"),
            );
        }
        for name in ALIVE {
            let opened = times_opened(layers, name);
            self.claim(
                opened == 0,
                &format!(
                    "{name}: its breaker opened {opened} times, since most of its answers are good"
                ),
            );
        }
    }

    fn layers_help(&mut self, bare: &Outcome, protected: &Outcome) {
        let (without, with) = (bare.dead_calls, protected.dead_calls);
        self.claim(
            with < without,
            &format!("{with} calls to dead upstreams with layers, {without} without"),
        );
        let (without, with) = (bare.totals.tally.failed, protected.totals.tally.failed);
        self.claim(
            with < without,
            &format!("{with} failed pages with layers, {without} without"),
        );
    }
}

/// Returns how often the breaker that is called `name` has opened, failed probes aside.
fn times_opened(layers: &Snapshot, name: &str) -> u64 {
    let breakers = layers
        .instances
        .iter()
        .filter(|layer| layer.kind == "breaker");
    breakers
        .filter(|layer| layer.name.as_str() == name)
        .flat_map(|breaker| &breaker.transitions)
        .filter(|transition| transition.from == "closed" && transition.to == "open")
        .map(|transition| transition.count)
        .sum()
}
