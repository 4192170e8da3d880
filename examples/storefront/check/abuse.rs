//! What must hold of a client that asks for too much, and of those beside it.

use super::Claim;
use crate::door::CLIENT;
use crate::stage::Outcome;

pub(super) fn served_within_its_quota(outcome: &Outcome) -> Claim {
    let abuser = outcome.abuser;
    let periods = abuser.stayed.div_duration_f64(CLIENT.period());
    let most = CLIENT.capacity() + (periods * CLIENT.tokens() as f64) as u64;
    Claim {
        holds: abuser.refused > 0 && abuser.served <= most,
        what: format!(
            "{} pages for the client that asks for {}, and its quota allows {most}",
            abuser.served, abuser.asked
        ),
    }
}

pub(super) fn nobody_else_is_refused(outcome: &Outcome) -> Claim {
    let tally = &outcome.totals.tally;
    Claim {
        holds: tally.refused == 0,
        what: format!(
            "{} of the {} visitors were told that they ask for too much",
            tally.refused, tally.offered
        ),
    }
}

pub(super) fn others_are_served(outcome: &Outcome) -> Claim {
    let others = &outcome.totals.in_abuse;
    Claim {
        // A machine that does other things as well may make a few of them late.
        holds: others.served() >= 0.95,
        what: format!(
            "{:.1} % of the {} pages came in time that others asked for meanwhile",
            others.served() * 100.0,
            others.offered
        ),
    }
}

pub(super) fn less_for_the_abuser(bare: &Outcome, protected: &Outcome) -> Claim {
    let (without, with) = (bare.abuser.served, protected.abuser.served);
    Claim {
        holds: with * 4 < without,
        what: format!("{with} pages for the abusive client with layers, {without} without"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::outcome;
    use super::*;
    use crate::abuse::Abuser;
    use crate::args::Side;
    use crate::incident::Phases;
    use crate::page::{Page, Verdict, Visitor};
    use crate::stats::Stats;

    fn abused(side: Side, served: u64, refused: u64) -> Outcome {
        Outcome {
            abuser: Abuser {
                asked: 2_000,
                served,
                refused,
                stayed: Duration::from_secs(2),
            },
            ..outcome(side, 0, 0)
        }
    }

    #[test]
    fn the_abuser_has_to_be_refused_and_to_have_no_more_than_its_quota() {
        let holds =
            |served, refused| served_within_its_quota(&abused(Side::Protected, served, refused));

        // The burst, and what comes in two seconds.
        assert!(holds(120, 1).holds);
        assert!(!holds(121, 1).holds);
        assert!(!holds(120, 0).holds);
    }

    #[test]
    fn the_abuser_has_to_get_far_less_with_layers() {
        let bare = abused(Side::Bare, 400, 0);

        assert!(less_for_the_abuser(&bare, &abused(Side::Protected, 99, 0)).holds);
        assert!(!less_for_the_abuser(&bare, &abused(Side::Protected, 100, 0)).holds);
    }

    /// A run in which a hundred others came, so many in vain.
    fn beside_the_abuser(failed: u64, verdict: Verdict) -> Outcome {
        let stats = Stats::new(Phases {
            abuse: Duration::ZERO..Duration::MAX,
            ..Phases::default()
        });
        for number in 0..100 {
            let visitor = Visitor {
                number,
                page: Page::Product,
                due: Duration::ZERO,
            };
            let verdict = if number < failed {
                verdict
            } else {
                Verdict::Good
            };
            stats.offered(visitor);
            stats.answered(visitor, Duration::ZERO, verdict);
        }
        Outcome {
            totals: stats.take_totals(),
            ..outcome(Side::Protected, 0, 0)
        }
    }

    #[test]
    fn others_have_to_be_served_meanwhile() {
        assert!(others_are_served(&beside_the_abuser(5, Verdict::Failed)).holds);
        assert!(!others_are_served(&beside_the_abuser(6, Verdict::Failed)).holds);
        assert!(!others_are_served(&outcome(Side::Protected, 0, 0)).holds);
    }

    #[test]
    fn none_of_the_others_may_be_refused_for_asking_too_much() {
        assert!(nobody_else_is_refused(&beside_the_abuser(1, Verdict::Failed)).holds);
        assert!(!nobody_else_is_refused(&beside_the_abuser(1, Verdict::Refused)).holds);
    }
}
