use std::time::Duration;

/// What an answer means to whoever counts, repeats or replaces calls.
///
/// Made from a response or an error by a [`Classify`](crate::Classify).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The call did what was asked.
    Success,
    /// The call failed.
    Failure(Failure),
    /// The answer says nothing about the health of the service, and counts nowhere.
    Ignored,
}

impl Outcome {
    /// Returns a failure of `kind`, with the weight and retryability that go with it.
    #[must_use]
    pub const fn failure(kind: FailureKind) -> Self {
        Self::Failure(Failure::new(kind))
    }

    /// Returns true if this is a success.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }

    /// Returns true if this is a failure, of whatever kind.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Failure(_))
    }

    /// Returns the failure, if it is one.
    #[must_use]
    pub const fn as_failure(&self) -> Option<&Failure> {
        match self {
            Self::Failure(failure) => Some(failure),
            Self::Success | Self::Ignored => None,
        }
    }
}

/// A failed call: of what kind, how grave, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// How much the failure counts in a rate: 1 is a whole failure, 0 none. A weight that is
    /// negative or not a number counts as 0.
    pub weight: f32,
    /// How long the service asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the service wants to be asked again after exactly `retry_after`, as a pushback of
    /// gRPC does, and not just no earlier.
    pub exact: bool,
    /// Whether the same request may well succeed if it is sent again. Whether that is *safe* is
    /// [`Repeat`](crate::Repeat)'s to say.
    pub retryable: bool,
}

impl Failure {
    /// How much [`FailureKind::RateLimited`] counts in a rate: the service is alive and says no,
    /// so four such answers weigh as much as one broken one.
    pub const RATE_LIMITED_WEIGHT: f32 = 0.25;

    /// Creates a failure of `kind`.
    ///
    /// It weighs 1, or [`RATE_LIMITED_WEIGHT`](Self::RATE_LIMITED_WEIGHT) if it is a
    /// [`RateLimited`](FailureKind::RateLimited) one, and 0 if it is
    /// [`Rejected`](FailureKind::Rejected). All kinds are retryable but
    /// [`Client`](FailureKind::Client) and [`Rejected`](FailureKind::Rejected).
    #[must_use]
    pub const fn new(kind: FailureKind) -> Self {
        Self {
            kind,
            weight: match kind {
                FailureKind::RateLimited => Self::RATE_LIMITED_WEIGHT,
                FailureKind::Rejected => 0.0,
                _ => 1.0,
            },
            retry_after: None,
            exact: false,
            retryable: !matches!(kind, FailureKind::Client | FailureKind::Rejected),
        }
    }

    /// Sets how much the failure counts in a rate.
    #[must_use]
    pub const fn weight(mut self, weight: f32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets how long the service asked to be left alone.
    #[must_use]
    pub const fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// Sets after exactly how long the service wants to be asked again, if at all.
    #[must_use]
    pub const fn pushback(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self.exact = true;
        self
    }

    /// Sets whether the same request may well succeed if it is sent again.
    #[must_use]
    pub const fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// What went wrong with a call.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum FailureKind {
    /// No answer came in time.
    Timeout,
    /// The request provably never reached the service: to send it again is safe whatever it is.
    Connect,
    /// The service says that it has too much to do.
    Overloaded,
    /// The service says that this caller asks too often.
    RateLimited,
    /// The service is at fault.
    Server,
    /// The request is at fault.
    Client,
    /// One of our own layers ended the call. Neutral for everything that votes, whatever the
    /// weight; a fallback acts on it.
    Rejected,
    /// Anything else, such as an error that nothing is known about, or a panic.
    Other,
}

impl FailureKind {
    /// Returns the kind's name in events and metrics, such as `rate_limited`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::Client => "client",
            Self::Rejected => "rejected",
            Self::Other => "other",
        }
    }
}
