//! How many calls may be in flight.

use watertight_core::ConfigError;

/// How many calls may be in flight.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Limit {
    /// So many, at least 1.
    Fixed(usize),
}

impl Limit {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Fixed(0) => Err(ConfigError::new("limit", 0, "at least 1")),
            Self::Fixed(_) => Ok(()),
        }
    }
}

impl From<usize> for Limit {
    fn from(limit: usize) -> Self {
        Self::Fixed(limit)
    }
}
