use std::collections::BTreeMap;

use watertight_core::{ConfigError, Mode};

use crate::algorithm::{Algorithm, AnyAlgorithm};
use crate::store::StoreConfig;
use crate::{LeakyBucket, MissingKey, Quotas, SlidingWindow, TokenBucket, WhenFull};

/// The settings of a rate limit that are plain data.
///
/// ```
/// use watertight_ratelimit::{Quota, TokenBucketConfig};
///
/// let config = TokenBucketConfig {
///     max_keys: 1_000_000,
///     ..TokenBucketConfig::new(Quota::per_second(10).burst(50))
/// };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct RateLimitConfig<A> {
    /// How much may come; where there are keys, of each.
    pub quotas: Quotas,
    /// How it is counted.
    #[cfg_attr(
        feature = "serde",
        serde(
            default = "A::default",
            bound(deserialize = "A: Default + serde::Deserialize<'de>")
        )
    )]
    pub algorithm: A,
    /// How much may come instead of the calls that have a plan, by the names of the plans: any but
    /// `total`, a number or nothing, which the policies of the layer are called.
    #[cfg_attr(feature = "serde", serde(default))]
    pub plans: BTreeMap<String, Quotas>,
    /// How much may come of all keys and plans together. It is always a token bucket.
    #[cfg_attr(feature = "serde", serde(default))]
    pub total: Option<Quotas>,
    /// How many keys there is room for, of each plan, at least 1.
    #[cfg_attr(feature = "serde", serde(default = "max_keys"))]
    pub max_keys: usize,
    /// What happens to a key that is new where there is no room for it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub when_full: WhenFull,
    /// What becomes of a call in which no key is found.
    #[cfg_attr(feature = "serde", serde(default))]
    pub missing_key: MissingKey,
    /// Whether answers say how much is left. Refusals say it anyhow.
    #[cfg_attr(feature = "serde", serde(default))]
    pub announce: bool,
    /// How a layer with a [store](crate::RateLimitBuilder::store) gets on with it. One without has
    /// no use for it.
    #[cfg_attr(feature = "serde", serde(default))]
    pub store: StoreConfig,
    /// Whether the limit refuses and delays calls, or only counts.
    #[cfg_attr(feature = "serde", serde(default))]
    pub mode: Mode,
}

/// The settings of a [`TokenBucketLayer`](crate::TokenBucketLayer).
pub type TokenBucketConfig = RateLimitConfig<TokenBucket>;

/// The settings of a [`SlidingWindowLayer`](crate::SlidingWindowLayer).
pub type SlidingWindowConfig = RateLimitConfig<SlidingWindow>;

/// The settings of a [`LeakyBucketLayer`](crate::LeakyBucketLayer).
pub type LeakyBucketConfig = RateLimitConfig<LeakyBucket>;

/// Under 2 MB for each quota, and more clients than most services have at a time.
const MAX_KEYS: usize = 65_536;

impl<A: Algorithm> RateLimitConfig<A> {
    /// Under 2 MB for each quota, and more clients than most services have at a time.
    pub const MAX_KEYS: usize = MAX_KEYS;
    /// Somebody who brings many keys keeps nobody else out, and gains nothing for the old ones.
    pub const WHEN_FULL: WhenFull = WhenFull::Evict;
    /// No free pass for who leaves out what he is told apart by.
    pub const MISSING_KEY: MissingKey = MissingKey::Refuse;
    /// To find it out and write it takes longer than to let the call pass, and most callers have no
    /// use for it.
    pub const ANNOUNCE: bool = false;

    /// Makes the settings that are the default but for the quotas, which have none.
    #[must_use]
    pub fn new(quotas: impl Into<Quotas>) -> Self {
        Self {
            quotas: quotas.into(),
            algorithm: A::default(),
            plans: BTreeMap::new(),
            total: None,
            max_keys: Self::MAX_KEYS,
            when_full: Self::WHEN_FULL,
            missing_key: Self::MISSING_KEY,
            announce: Self::ANNOUNCE,
            store: StoreConfig::default(),
            mode: Mode::Enforce,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed. Where there are
    /// keys, a layer allows no more of them than [`SlidingWindow::MAX_LOGGED_FOR_KEYS`] says.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for quotas in self.all_quotas() {
            quotas.validate()?;
            self.algorithm.validate(quotas)?;
        }
        let is_taken =
            |name: &&String| *name == "total" || name.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(name) = self.plans.keys().find(is_taken) {
            let allowed = "a name other than `total`, a number or nothing";
            return Err(ConfigError::new("plans", name, allowed));
        }
        self.total.iter().try_for_each(Quotas::validate)?;
        self.store.validate()?;
        if !(1..=Self::MOST_KEYS).contains(&self.max_keys) {
            let allowed = format!("in 1..={}", Self::MOST_KEYS);
            return Err(ConfigError::new("max_keys", self.max_keys, allowed));
        }
        Ok(())
    }

    /// The most that `max_keys` can be: more than fits into the memory of most machines.
    const MOST_KEYS: usize = 1 << 28;

    /// Forgets of which type the algorithm is.
    pub(crate) fn into_any(self) -> AnyConfig {
        self.with_algorithm(A::into)
    }
}

impl<A> RateLimitConfig<A> {
    pub(crate) fn with_algorithm<B>(self, algorithm: impl FnOnce(A) -> B) -> RateLimitConfig<B> {
        RateLimitConfig {
            algorithm: algorithm(self.algorithm),
            quotas: self.quotas,
            plans: self.plans,
            total: self.total,
            max_keys: self.max_keys,
            when_full: self.when_full,
            missing_key: self.missing_key,
            announce: self.announce,
            store: self.store,
            mode: self.mode,
        }
    }

    /// Returns the quotas of the calls without a plan, and those of each plan.
    fn all_quotas(&self) -> impl Iterator<Item = &Quotas> {
        [&self.quotas].into_iter().chain(self.plans.values())
    }
}

/// The settings of a layer, whichever it is.
pub(crate) type AnyConfig = RateLimitConfig<AnyAlgorithm>;

impl AnyConfig {
    /// Checks whether there can be so many keys, where there are any, of a valid config.
    pub(crate) fn validate_keys(&self) -> Result<(), ConfigError> {
        let AnyAlgorithm::SlidingWindow(window) = self.algorithm else {
            return Ok(());
        };
        self.all_quotas()
            .try_for_each(|quotas| window.validate_keys(self.max_keys, quotas))
    }

    /// The fields as a snapshot shows them.
    pub(crate) fn describe(&self) -> BTreeMap<&'static str, String> {
        let total = self.total.as_ref();
        BTreeMap::from([
            ("quotas", format!("{:?}", self.quotas.as_slice())),
            ("algorithm", format!("{:?}", self.algorithm)),
            ("plans", format!("{:?}", self.plans)),
            (
                "total",
                total.map_or_else(|| "off".into(), |it| format!("{:?}", it.as_slice())),
            ),
            ("max_keys", self.max_keys.to_string()),
            ("when_full", format!("{:?}", self.when_full)),
            ("missing_key", format!("{:?}", self.missing_key)),
            ("announce", self.announce.to_string()),
            ("store", format!("{:?}", self.store)),
        ])
    }
}

#[cfg(feature = "serde")]
const fn max_keys() -> usize {
    MAX_KEYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quota;

    fn refused(change: impl FnOnce(&mut SlidingWindowConfig)) -> String {
        let mut config = SlidingWindowConfig::new(Quota::per_second(10));
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_allowed() {
        let quota = Quota::per_second(10);

        assert_eq!(TokenBucketConfig::new(quota).validate(), Ok(()));
        assert_eq!(SlidingWindowConfig::new(quota).validate(), Ok(()));
        assert_eq!(LeakyBucketConfig::new(quota).validate(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        assert_eq!(
            refused(|config| config.max_keys = 0),
            "`max_keys` is 0, but must be in 1..=268435456"
        );
    }

    /// Or clients would hear of two policies by one name.
    #[test]
    fn a_plan_is_called_as_no_other_policy_is() {
        for name in ["", "2", "17", "total"] {
            let plan = |config: &mut SlidingWindowConfig| {
                let quota = Quota::per_second(1).into();
                config.plans.insert(name.into(), quota);
            };
            assert!(refused(plan).starts_with("`plans`"), "{name:?}");
        }
    }

    #[test]
    fn every_field_is_checked() {
        let empty = || Quota::per_second(0).into();
        type Change<'a> = &'a dyn Fn(&mut SlidingWindowConfig);
        let changes: [(&str, Change<'_>); 5] = [
            ("quota.tokens", &|config| config.quotas = empty()),
            ("quota.tokens", &|config| {
                config.plans.insert("free".into(), empty());
            }),
            ("quota.tokens", &|config| config.total = Some(empty())),
            ("max_keys", &|config| config.max_keys = usize::MAX),
            ("algorithm.buckets", &|config| {
                config.algorithm = SlidingWindow::Buckets(1);
            }),
        ];

        for (field, change) in changes {
            let message = refused(change);
            assert!(message.starts_with(&format!("`{field}")), "{message}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_fills_in_what_is_missing() {
        let text = r#"{
            "quotas": [{"tokens": 10, "period": "1s", "debt": 20}],
            "algorithm": {"queue": 100, "max_wait": "5s"},
            "plans": {"pro": [{"tokens": 100, "period": "1s"}]},
            "when_full": "refuse", "missing_key": "share"
        }"#;
        let config: LeakyBucketConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.algorithm.queue, 100);
        assert_eq!(config.missing_key, MissingKey::Share);
        assert_eq!(config.max_keys, MAX_KEYS);
        assert!(!config.announce);

        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<LeakyBucketConfig>(&text).unwrap(),
            config
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn quotas_are_required_and_an_unknown_field_refused() {
        for (text, field) in [
            ("{}", "quotas"),
            (
                r#"{"quotas": [{"tokens": 1, "period": "1s"}], "max_kyes": 3}"#,
                "max_kyes",
            ),
        ] {
            let error = serde_json::from_str::<TokenBucketConfig>(text).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
