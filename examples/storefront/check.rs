//! What must hold after a run, on any machine: counts and orders, never times.

mod abuse;

use std::time::Duration;

use anstream::println;
use watertight::Budget;
use watertight::metrics::Snapshot;

use crate::args::Side;
use crate::layers::{CALLS, HEDGES, RETRIES};
use crate::load::GIVE_UP;
use crate::screen::{BAD, GOOD, WORSE, breaker_state, breakers};
use crate::stage::Outcome;

/// The upstreams that die in the incident, and those that do not.
const DEAD: [&str; 2] = ["payments", "recommendations"];
const ALIVE: [&str; 2] = ["inventory", "reviews"];

/// With fewer visitors the two sides differ by too few calls and pages to tell them from chance.
const MIN_VISITORS: u64 = 1_200;

/// Prints what holds and what does not, and returns whether all does.
///
/// Without a verdict nothing has failed.
pub(crate) fn check(outcomes: &[Outcome]) -> bool {
    println!();
    if let Some(reason) = no_verdict(outcomes) {
        println!("{WORSE}no verdict{WORSE:#}: {reason}");
        return true;
    }
    let claims = claims(outcomes);
    for Claim { holds, what } in &claims {
        if *holds {
            println!("{GOOD}holds{GOOD:#}  {what}");
        } else {
            println!("{BAD}FAILS{BAD:#}  {what}");
        }
    }
    claims.iter().all(|claim| claim.holds)
}

/// Says why there is nothing to judge, if so.
fn no_verdict(outcomes: &[Outcome]) -> Option<String> {
    outcomes.iter().find_map(|outcome| {
        let side = outcome.side.name();
        let offered = outcome.totals.tally.offered;
        let late = outcome.totals.late;
        if offered < MIN_VISITORS {
            Some(format!(
                "{offered} visitors to the {side} shop are too few, it takes {MIN_VISITORS}"
            ))
        } else if late * 100 > offered {
            Some(format!(
                "the load generator fell behind, {late} of {offered} visitors came late to the \
                 {side} shop"
            ))
        } else {
            None
        }
    })
}

#[derive(Debug)]
struct Claim {
    holds: bool,
    what: String,
}

fn claims(outcomes: &[Outcome]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for outcome in outcomes {
        claims.push(each_page_is_counted_once(outcome));
        if outcome.side == Side::Protected {
            claims.extend(DEAD.map(|name| opened_and_closed(&outcome.layers, name)));
            claims.extend(ALIVE.map(|name| stayed_closed(&outcome.layers, name)));
            claims.push(retries_within_their_budget(outcome));
            claims.push(hedges_within_their_budget(outcome));
            claims.push(stuck_calls_within_their_bulkhead(outcome));
            claims.push(bystanders_are_served(outcome));
            claims.push(abuse::served_within_its_quota(outcome));
            claims.push(abuse::nobody_else_is_refused(outcome));
            claims.push(abuse::others_are_served(outcome));
        }
    }
    if let [bare, protected] = outcomes {
        claims.push(fewer_calls_to_dead_upstreams(bare, protected));
        claims.push(fewer_failed_pages(bare, protected));
        claims.push(fewer_stuck_calls(bare, protected));
        let stalls = [bare, protected].map(|outcome| outcome.lost_to_stalls);
        let errors = [bare, protected].map(|outcome| outcome.lost_to_errors);
        claims.push(fewer_calls_lost("the inventory stalls", stalls));
        claims.push(fewer_calls_lost("reviews fails", errors));
        claims.push(abuse::less_for_the_abuser(bare, protected));
    }
    claims
}

fn each_page_is_counted_once(outcome: &Outcome) -> Claim {
    let tally = &outcome.totals.tally;
    Claim {
        holds: tally.good + tally.degraded + tally.failed == tally.offered,
        what: format!(
            "{}: {} pages good, {} degraded, {} failed, of {}",
            outcome.side.name(),
            tally.good,
            tally.degraded,
            tally.failed,
            tally.offered
        ),
    }
}

fn opened_and_closed(layers: &Snapshot, name: &str) -> Claim {
    let opened = times_opened(layers, name);
    let refused = calls_refused(layers, name);
    let state = breaker_state(layers, name).unwrap_or("missing");
    Claim {
        holds: opened > 0 && refused > 0 && state == "closed",
        what: format!(
            "{name}: its breaker left closed {opened} times, refused {refused} calls and ends {state}"
        ),
    }
}

fn stayed_closed(layers: &Snapshot, name: &str) -> Claim {
    let opened = times_opened(layers, name);
    let state = breaker_state(layers, name).unwrap_or("missing");
    Claim {
        holds: opened == 0 && state == "closed",
        what: format!(
            "{name}: its breaker left closed {opened} times, since most of its answers are good"
        ),
    }
}

fn fewer_calls_to_dead_upstreams(bare: &Outcome, protected: &Outcome) -> Claim {
    let (without, with) = (bare.dead_calls, protected.dead_calls);
    Claim {
        // Without layers two runs differ by a call or two, and the order alone would be luck.
        holds: with * 4 <= without * 3,
        what: format!("{with} calls to dead upstreams with layers, {without} without"),
    }
}

fn fewer_failed_pages(bare: &Outcome, protected: &Outcome) -> Claim {
    let (without, with) = (bare.totals.tally.failed, protected.totals.tally.failed);
    Claim {
        holds: with < without,
        what: format!("{with} failed pages with layers, {without} without"),
    }
}

fn retries_within_their_budget(outcome: &Outcome) -> Claim {
    let extra = outcome.extra;
    let most = allowed(RETRIES, extra.calls, outcome.length);
    Claim {
        holds: extra.retries > 0 && extra.retries <= most,
        what: format!(
            "{} retries of {} calls, and their budget allows {most}",
            extra.retries, extra.calls
        ),
    }
}

fn hedges_within_their_budget(outcome: &Outcome) -> Claim {
    let extra = outcome.extra;
    let most = allowed(HEDGES, extra.hedged_calls, outcome.length);
    Claim {
        holds: extra.hedges_won > 0 && extra.hedges <= most,
        what: format!(
            "{} hedges of {} calls, {} of them won, and their budget allows {most}",
            extra.hedges, extra.hedged_calls, extra.hedges_won
        ),
    }
}

fn stuck_calls_within_their_bulkhead(outcome: &Outcome) -> Claim {
    let most = outcome.most_stuck;
    Claim {
        holds: most > 0 && most <= CALLS as u64,
        what: format!(
            "{most} calls at most were in flight to an upstream that hangs, and its bulkhead \
             allows {CALLS}"
        ),
    }
}

fn bystanders_are_served(outcome: &Outcome) -> Claim {
    let bystanders = &outcome.totals.in_hang;
    Claim {
        // A machine that does other things as well may make a few of them late.
        holds: bystanders.served() >= 0.95,
        what: format!(
            "{:.1} % of the {} pages came in time that need nothing that hangs",
            bystanders.served() * 100.0,
            bystanders.offered
        ),
    }
}

fn fewer_stuck_calls(bare: &Outcome, protected: &Outcome) -> Claim {
    let (without, with) = (bare.most_stuck, protected.most_stuck);
    Claim {
        holds: with < without,
        what: format!("{with} calls in flight to an upstream that hangs, {without} without layers"),
    }
}

/// Returns how many extra attempts a budget of a `ratio` allows: in each of its windows so many for
/// each of `calls`, and its floor.
fn allowed(ratio: f64, calls: u64, length: Duration) -> u64 {
    let windows = (length + GIVE_UP).div_duration_f64(Budget::WINDOW).ceil();
    let floor = Budget::MIN_PER_SECOND * Budget::WINDOW.as_secs_f64();
    (ratio * calls as f64 + windows * floor) as u64
}

fn fewer_calls_lost(meanwhile: &str, [without, with]: [f64; 2]) -> Claim {
    Claim {
        holds: with * 2.0 < without,
        what: format!(
            "{:.1} % of the calls lost with layers while {meanwhile}, {:.1} % without",
            with * 100.0,
            without * 100.0
        ),
    }
}

/// Returns how often the breaker that is called `name` has opened, failed probes aside.
fn times_opened(layers: &Snapshot, name: &str) -> u64 {
    breakers(layers, name)
        .flat_map(|breaker| &breaker.transitions)
        .filter(|transition| transition.from == "closed" && transition.to == "open")
        .map(|transition| transition.count)
        .sum()
}

fn calls_refused(layers: &Snapshot, name: &str) -> u64 {
    breakers(layers, name)
        .map(|breaker| breaker.calls.rejected)
        .sum()
}

#[cfg(test)]
mod tests {
    use tower::{Layer, ServiceExt, service_fn};
    use watertight::breaker::BreakerLayer;
    use watertight::metrics::Registry;
    use watertight::{BoxError, Mode};

    use super::*;
    use crate::abuse::Abuser;
    use crate::extra::Extra;
    use crate::incident::Phases;
    use crate::page::{Page, Verdict, Visitor};
    use crate::stats::Stats;

    pub(super) fn outcome(side: Side, failed: u64, dead_calls: u64) -> Outcome {
        let stats = Stats::new(Phases {
            hang: Duration::ZERO..Duration::MAX,
            ..Phases::default()
        });
        for n in 0..MIN_VISITORS {
            let verdict = if n < failed {
                Verdict::Failed
            } else {
                Verdict::Good
            };
            let visitor = Visitor {
                number: n,
                page: Page::of_visit(n),
                due: Duration::ZERO,
            };
            stats.offered(visitor);
            stats.answered(visitor, Duration::ZERO, verdict);
        }
        Outcome {
            side,
            length: Duration::from_secs(10),
            totals: stats.take_totals(),
            abuser: Abuser::default(),
            dead_calls,
            most_stuck: 0,
            lost_to_stalls: 0.0,
            lost_to_errors: 0.0,
            recovery: None,
            extra: Extra::default(),
            layers: Registry::new().snapshot(),
        }
    }

    fn breaker(mode: Mode, registry: &Registry) -> BreakerLayer {
        BreakerLayer::builder("payments")
            .consecutive_failures(1)
            .mode(mode)
            .registry(registry)
            .build()
    }

    /// Makes a call, which opens the breaker if it is closed.
    async fn fail(breaker: &BreakerLayer) {
        let down = service_fn(async |()| Err::<(), _>(BoxError::from("down")));
        breaker.layer(down).oneshot(()).await.unwrap_err();
    }

    #[test]
    fn nothing_is_judged_when_visitors_came_late() {
        let mut late = outcome(Side::Bare, 0, 0);
        late.totals.late = MIN_VISITORS / 100;
        assert_eq!(no_verdict(&[late]), None);

        let mut late = outcome(Side::Protected, MIN_VISITORS, 0);
        late.totals.late = MIN_VISITORS / 100 + 1;
        let outcomes = [outcome(Side::Bare, 0, 0), late];
        assert!(no_verdict(&outcomes).unwrap().contains("fell behind"));
        assert!(check(&outcomes));
    }

    #[test]
    fn nothing_is_judged_by_few_visitors() {
        let mut few = outcome(Side::Bare, 0, 0);
        few.totals.tally.offered = MIN_VISITORS - 1;

        assert!(no_verdict(&[few]).unwrap().contains("too few"));
    }

    #[test]
    fn a_page_that_is_lost_or_counted_twice_fails() {
        let mut bare = outcome(Side::Bare, 5, 0);
        assert!(each_page_is_counted_once(&bare).holds);
        bare.totals.tally.offered += 1;
        assert!(!each_page_is_counted_once(&bare).holds);

        assert!(!check(&[bare]));
    }

    #[test]
    fn layers_that_do_not_help_fail() {
        let bare = outcome(Side::Bare, 100, 900);

        let protected = outcome(Side::Protected, 99, 676);
        assert!(fewer_failed_pages(&bare, &protected).holds);
        assert!(!fewer_calls_to_dead_upstreams(&bare, &protected).holds);

        let protected = outcome(Side::Protected, 100, 675);
        assert!(!fewer_failed_pages(&bare, &protected).holds);
        assert!(fewer_calls_to_dead_upstreams(&bare, &protected).holds);
    }

    #[test]
    fn retries_have_to_be_made_and_to_be_few() {
        let holds = |retries| {
            let mut protected = outcome(Side::Protected, 0, 0);
            protected.extra.calls = 1_000;
            protected.extra.retries = retries;
            retries_within_their_budget(&protected).holds
        };

        // A tenth of the calls, and a hundred for each of two windows.
        assert_eq!([0, 1, 300, 301].map(holds), [false, true, true, false]);
    }

    #[test]
    fn hedges_have_to_win_and_to_be_few() {
        let holds = |hedges, hedges_won| {
            let mut protected = outcome(Side::Protected, 0, 0);
            protected.extra.hedged_calls = 1_000;
            protected.extra.hedges = hedges;
            protected.extra.hedges_won = hedges_won;
            hedges_within_their_budget(&protected).holds
        };

        assert!(!holds(0, 0));
        assert!(!holds(250, 0));
        assert!(holds(250, 1));
        assert!(!holds(251, 1));
    }

    #[test]
    fn layers_have_to_save_most_of_the_calls_that_a_fault_takes() {
        assert!(fewer_calls_lost("", [0.3, 0.14]).holds);
        assert!(!fewer_calls_lost("", [0.3, 0.16]).holds);
        assert!(!fewer_calls_lost("", [0.0, 0.0]).holds);
    }

    #[test]
    fn calls_have_to_get_stuck_and_within_their_bulkhead() {
        let holds = |most_stuck| {
            let mut protected = outcome(Side::Protected, 0, 0);
            protected.most_stuck = most_stuck;
            stuck_calls_within_their_bulkhead(&protected).holds
        };

        assert_eq!([0, 1, 8, 9].map(holds), [false, true, true, false]);
    }

    #[test]
    fn fewer_calls_have_to_get_stuck_with_layers() {
        let stuck = |side, most_stuck| Outcome {
            most_stuck,
            ..outcome(side, 0, 0)
        };
        let bare = stuck(Side::Bare, 8);

        assert!(fewer_stuck_calls(&bare, &stuck(Side::Protected, 7)).holds);
        assert!(!fewer_stuck_calls(&bare, &stuck(Side::Protected, 8)).holds);
    }

    #[test]
    fn pages_that_need_nothing_that_hangs_have_to_come() {
        // Of the visitors who fail, four of five want one of those.
        assert!(bystanders_are_served(&outcome(Side::Protected, 60, 0)).holds);
        assert!(!bystanders_are_served(&outcome(Side::Protected, 61, 0)).holds);

        let mut nobody = outcome(Side::Protected, 0, 0);
        nobody.totals = Stats::new(Phases::default()).take_totals();
        assert!(!bystanders_are_served(&nobody).holds);
    }

    #[tokio::test]
    async fn a_breaker_of_the_dead_has_to_open_and_refuse_and_close() {
        let registry = Registry::new();
        let breaker = breaker(Mode::Enforce, &registry);
        let holds = || opened_and_closed(&registry.snapshot(), "payments").holds;
        assert!(!holds());

        fail(&breaker).await;
        fail(&breaker).await;
        assert!(!holds());

        breaker.handle().reset();
        assert!(holds());
    }

    #[tokio::test]
    async fn a_breaker_of_the_dead_that_refuses_nothing_fails() {
        let registry = Registry::new();
        let breaker = breaker(Mode::Shadow, &registry);

        fail(&breaker).await;
        fail(&breaker).await;
        breaker.handle().reset();

        assert_eq!(times_opened(&registry.snapshot(), "payments"), 1);
        assert!(!opened_and_closed(&registry.snapshot(), "payments").holds);
    }

    #[tokio::test]
    async fn a_breaker_of_the_living_has_to_stay_closed() {
        let registry = Registry::new();
        let breaker = breaker(Mode::Enforce, &registry);
        assert!(stayed_closed(&registry.snapshot(), "payments").holds);
        assert!(!stayed_closed(&registry.snapshot(), "reviews").holds);

        fail(&breaker).await;
        breaker.handle().reset();

        assert!(!stayed_closed(&registry.snapshot(), "payments").holds);
    }
}
