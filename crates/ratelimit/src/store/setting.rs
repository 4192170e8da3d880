use std::time::Duration;

use watertight_core::ConfigError;

/// How a layer gets on with its store.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct StoreConfig {
    /// How long the store may take to answer, above zero. After that it has failed.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub timeout: Duration,
    /// What becomes of a call when the store fails.
    pub on_failure: OnStoreFailure,
}

impl StoreConfig {
    /// Many times what a store in the same data centre takes, and what a call can bear to wait for
    /// nothing.
    pub const TIMEOUT: Duration = Duration::from_millis(50);
    /// A store that fails does not stop the service, as refusing would, nor leave it open to whoever
    /// makes it fail, as allowing would. How many processes there are a layer does not know, and so
    /// each grants all of the quota: nothing is refused that the store would let pass.
    pub const ON_FAILURE: OnStoreFailure = OnStoreFailure::Local(1.0);

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.timeout.is_zero() {
            let allowed = "above zero";
            return Err(ConfigError::new("store.timeout", self.timeout, allowed));
        }
        if let OnStoreFailure::Local(share) = self.on_failure
            && !(share > 0.0 && share <= 1.0)
        {
            let allowed = "above 0 and at most 1";
            return Err(ConfigError::new("store.on_failure.local", share, allowed));
        }
        Ok(())
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            timeout: Self::TIMEOUT,
            on_failure: Self::ON_FAILURE,
        }
    }
}

/// What becomes of a call when the store fails: it errs, or does not answer in time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum OnStoreFailure {
    /// It passes: for limits that only keep things fair.
    Allow,
    /// It is refused, with [`Reason::NotReady`](watertight_core::Reason::NotReady): for limits that
    /// must hold whatever it costs, such as those of guessing passwords. What the store has said is in
    /// the log, and not in the refusal, which goes to a client.
    Refuse,
    /// This process limits by itself, each quota by this share of it: with one divided by the number
    /// of processes they let pass together what the store would, if the calls come evenly. It knows
    /// nothing of what the store has counted, nor the store of this, and so the burst of it comes on
    /// top.
    ///
    /// A share is rounded down to whole tokens, and what is less than one token is one in a period
    /// that is as much longer.
    Local(f64),
}
