use watertight_core::ConfigError;

use crate::Quota;

/// Quotas that have all to be met: 10 a second *and* 1,000 an hour *and* 10,000 a day.
///
/// Made of [`Quota`]s by [`and`](Quota::and). A call takes its cost from all of them or from none.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Quotas(Vec<Quota>);

impl Quotas {
    /// Every call pays for each quota, and three or four say all that there is to say.
    pub const MOST: usize = 8;

    /// Adds a quota.
    ///
    /// They are asked in this order: the one that refuses most comes best first.
    #[must_use]
    pub fn and(mut self, quota: Quota) -> Self {
        self.0.push(quota);
        self
    }

    /// Sets the [burst](Quota::burst) of the first quota.
    pub(crate) fn with_burst(mut self, burst: u64) -> Self {
        if let Some(first) = self.0.first_mut() {
            *first = first.burst(burst);
        }
        self
    }

    /// Returns the quotas in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Quota] {
        &self.0
    }

    /// Checks the quotas.
    ///
    /// # Errors
    ///
    /// If there are none, or more than [`MOST`](Self::MOST), and what
    /// [`Quota::validate`] says of the first that cannot be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let count = self.0.len();
        if !(1..=Self::MOST).contains(&count) {
            let allowed = format!("in 1..={}", Self::MOST);
            return Err(ConfigError::new("quotas", count, allowed));
        }
        self.0.iter().try_for_each(Quota::validate)
    }
}

impl FromIterator<Quota> for Quotas {
    fn from_iter<I: IntoIterator<Item = Quota>>(quotas: I) -> Self {
        Self(quotas.into_iter().collect())
    }
}

impl From<Quota> for Quotas {
    fn from(quota: Quota) -> Self {
        Self(vec![quota])
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_quota_has_to_be_valid() {
        let quotas = Quota::per_second(10).and(Quota::per_hour(1_000));
        assert_eq!(quotas.validate(), Ok(()));

        let error = quotas.and(Quota::per_day(0)).validate().unwrap_err();
        assert_eq!(error.field(), "quota.tokens");
    }

    #[test]
    fn there_is_at_least_one_and_there_are_not_too_many() {
        let many = (0..=Quotas::MOST).map(|_| Quota::per_second(1)).collect();

        for quotas in [Quotas(Vec::new()), Quotas(many)] {
            assert_eq!(quotas.validate().unwrap_err().field(), "quotas");
        }
    }
}
