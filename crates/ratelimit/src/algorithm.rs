use std::fmt;

use watertight_core::ConfigError;

use crate::{LeakyBucket, Quotas, SlidingWindow};

/// How a limit counts what comes: [`TokenBucket`], [`SlidingWindow`] or [`LeakyBucket`], which is
/// plain data in the settings of a layer.
pub trait Algorithm:
    Clone
    + fmt::Debug
    + Default
    + PartialEq
    + Into<AnyAlgorithm>
    + TryFrom<AnyAlgorithm>
    + Send
    + Sync
    + 'static
{
    /// The name in metrics and snapshots, such as `token_bucket`.
    const KIND: &'static str;

    /// Checks every field, with the quotas that it is to serve.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    fn validate(&self, quotas: &Quotas) -> Result<(), ConfigError>;
}

/// Saves up what was not used, up to a burst, and lets pass what there is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct TokenBucket {}

impl Algorithm for TokenBucket {
    const KIND: &'static str = "token_bucket";

    fn validate(&self, _: &Quotas) -> Result<(), ConfigError> {
        Ok(())
    }
}

impl Algorithm for SlidingWindow {
    const KIND: &'static str = "sliding_window";

    fn validate(&self, quotas: &Quotas) -> Result<(), ConfigError> {
        Self::validate(self, quotas)
    }
}

impl Algorithm for LeakyBucket {
    const KIND: &'static str = "leaky_bucket";

    fn validate(&self, quotas: &Quotas) -> Result<(), ConfigError> {
        Self::validate(self, quotas)
    }
}

/// One of the algorithms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AnyAlgorithm {
    /// See [`TokenBucket`].
    TokenBucket(TokenBucket),
    /// See [`SlidingWindow`].
    SlidingWindow(SlidingWindow),
    /// See [`LeakyBucket`].
    LeakyBucket(LeakyBucket),
}

impl From<TokenBucket> for AnyAlgorithm {
    fn from(algorithm: TokenBucket) -> Self {
        Self::TokenBucket(algorithm)
    }
}

impl From<SlidingWindow> for AnyAlgorithm {
    fn from(algorithm: SlidingWindow) -> Self {
        Self::SlidingWindow(algorithm)
    }
}

impl From<LeakyBucket> for AnyAlgorithm {
    fn from(algorithm: LeakyBucket) -> Self {
        Self::LeakyBucket(algorithm)
    }
}

impl TryFrom<AnyAlgorithm> for TokenBucket {
    type Error = AnyAlgorithm;

    fn try_from(algorithm: AnyAlgorithm) -> Result<Self, AnyAlgorithm> {
        match algorithm {
            AnyAlgorithm::TokenBucket(algorithm) => Ok(algorithm),
            other => Err(other),
        }
    }
}

impl TryFrom<AnyAlgorithm> for SlidingWindow {
    type Error = AnyAlgorithm;

    fn try_from(algorithm: AnyAlgorithm) -> Result<Self, AnyAlgorithm> {
        match algorithm {
            AnyAlgorithm::SlidingWindow(algorithm) => Ok(algorithm),
            other => Err(other),
        }
    }
}

impl TryFrom<AnyAlgorithm> for LeakyBucket {
    type Error = AnyAlgorithm;

    fn try_from(algorithm: AnyAlgorithm) -> Result<Self, AnyAlgorithm> {
        match algorithm {
            AnyAlgorithm::LeakyBucket(algorithm) => Ok(algorithm),
            other => Err(other),
        }
    }
}
