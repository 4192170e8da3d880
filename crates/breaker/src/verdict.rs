use watertight_core::{Failure, FailureKind, Outcome, Record, Run};

/// What a result means to the circuit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    Good {
        slow: bool,
    },
    Bad {
        failure: Failure,
        slow: bool,
    },
    /// Nobody waited for the result, and it would have been slow.
    SlowDrop,
}

impl Verdict {
    /// Returns `None` for an outcome that does not vote.
    pub(crate) fn of(outcome: &Outcome, slow: bool) -> Option<Self> {
        match outcome {
            Outcome::Success => Some(Self::Good { slow }),
            Outcome::Failure(failure) if failure.kind != FailureKind::Rejected => Some(Self::Bad {
                failure: *failure,
                slow,
            }),
            Outcome::Failure(_) | Outcome::Ignored => None,
        }
    }

    pub(crate) fn is_bad(&self) -> bool {
        matches!(self, Self::Bad { .. })
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Bad { failure, .. } => Some(failure),
            Self::Good { .. } | Self::SlowDrop => None,
        }
    }

    /// What goes into the window. A service that says "too many" is alive: that neither makes a
    /// row of failures longer nor ends it.
    pub(crate) fn record(&self) -> Record {
        match *self {
            Self::Good { slow } => Record {
                weight: 0.0,
                slow,
                run: Run::Break,
            },
            Self::Bad { failure, slow } => Record {
                weight: failure.weight,
                slow,
                run: if failure.kind != FailureKind::RateLimited && failure.weight > 0.0 {
                    Run::Extend
                } else {
                    Run::Keep
                },
            },
            Self::SlowDrop => Record {
                weight: 0.0,
                slow: true,
                run: Run::Keep,
            },
        }
    }

    /// How much of a failure it is for a probe. There a slow answer is one, and so is a service
    /// that says "too many" to a handful of calls.
    pub(crate) fn weight_of_a_probe(&self) -> f64 {
        match *self {
            Self::Good { slow: false } => 0.0,
            Self::Good { slow: true } | Self::SlowDrop | Self::Bad { slow: true, .. } => 1.0,
            Self::Bad { failure, .. } if failure.kind == FailureKind::RateLimited => 1.0,
            // `max` takes the other number where one is NaN.
            Self::Bad { failure, .. } => f64::from(failure.weight).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(kind: FailureKind, weight: f32) -> Verdict {
        Verdict::of(&Failure::new(kind).weight(weight).into(), false).unwrap()
    }

    #[test]
    fn a_rejection_from_below_does_not_vote() {
        let rejected = Failure::new(FailureKind::Rejected).weight(1.0).into();

        assert!(Verdict::of(&rejected, false).is_none());
        assert!(Verdict::of(&Outcome::Ignored, true).is_none());
    }

    #[test]
    fn too_many_requests_neither_extends_nor_ends_a_row() {
        assert_eq!(bad(FailureKind::RateLimited, 0.25).record().run, Run::Keep);
        assert_eq!(bad(FailureKind::Server, 1.0).record().run, Run::Extend);
        assert_eq!(bad(FailureKind::Server, f32::NAN).weight_of_a_probe(), 0.0);
    }

    #[test]
    fn too_many_requests_and_slowness_fail_a_probe() {
        assert_eq!(bad(FailureKind::RateLimited, 0.25).weight_of_a_probe(), 1.0);
        assert_eq!(Verdict::Good { slow: true }.weight_of_a_probe(), 1.0);
        assert_eq!(Verdict::Good { slow: false }.weight_of_a_probe(), 0.0);
    }
}
