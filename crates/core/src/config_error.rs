use std::error::Error;
use std::fmt;

/// A setting that cannot be: which field, what it was, and what is allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    field: &'static str,
    value: String,
    allowed: String,
}

impl ConfigError {
    /// Creates the error that `field` is `value`, where only `allowed` may be.
    #[must_use]
    pub fn new(field: &'static str, value: impl fmt::Debug, allowed: impl Into<String>) -> Self {
        Self {
            field,
            value: format!("{value:?}"),
            allowed: allowed.into(),
        }
    }

    /// Returns the name of the field.
    #[must_use]
    pub fn field(&self) -> &str {
        self.field
    }

    /// Returns the refused value, as text.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns what is allowed.
    #[must_use]
    pub fn allowed(&self) -> &str {
        &self.allowed
    }

    /// Checks that the ratio `value` of `field` lies in 0.0..=1.0.
    ///
    /// # Errors
    ///
    /// If it does not, or is not a number.
    pub fn check_ratio(field: &'static str, value: f64) -> Result<(), Self> {
        if (0.0..=1.0).contains(&value) {
            return Ok(());
        }
        Err(Self::new(field, value, "a ratio in 0.0..=1.0"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            allowed,
        } = self;
        write!(f, "`{field}` is {value}, but must be {allowed}")
    }
}

impl Error for ConfigError {}
