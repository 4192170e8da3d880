use watertight_core::{Failure, FailureKind, Outcome};

/// What a status was configured to mean.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Verdict {
    Success,
    Ignored,
    /// A failure that the same request may well not meet again.
    Retryable,
    /// A failure that the same request would meet again.
    Permanent,
}

impl Verdict {
    /// Makes an outcome of the verdict: a failure is of this `kind`.
    pub(super) fn outcome(self, kind: FailureKind) -> Outcome {
        match self {
            Self::Success => Outcome::Success,
            Self::Ignored => Outcome::Ignored,
            Self::Retryable => Failure::new(kind).retryable(true).into(),
            Self::Permanent => Failure::new(kind).retryable(false).into(),
        }
    }
}
