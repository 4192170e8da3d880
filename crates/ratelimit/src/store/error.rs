use std::error::Error;
use std::fmt;

use watertight_core::{BoxError, causes};

/// Why a store did not say what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// It said why.
    Failed(BoxError),
    /// It did not answer within [`StoreConfig::timeout`](super::StoreConfig::timeout).
    TimedOut,
}

impl StoreError {
    /// Returns what an error of a store comes to: it may say that its time was over.
    pub(super) fn of(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        let is_timeout = |cause: &(dyn Error + 'static)| {
            let cause = cause.downcast_ref();
            matches!(cause, Some(Self::TimedOut))
        };
        if causes(&*error).any(is_timeout) {
            return Self::TimedOut;
        }
        Self::Failed(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "the store failed: {error}"),
            Self::TimedOut => f.write_str("the store did not answer in time"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(&**error),
            Self::TimedOut => None,
        }
    }
}
