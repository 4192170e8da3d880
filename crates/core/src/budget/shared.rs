use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::machine::Machine;
use super::settings::{Settings, Style};
use crate::{ConfigError, FailureKind};

/// How much extra work, such as retries and hedges, may come on top of the calls.
///
/// A service that is too slow gets no faster by being asked again. Where each call may be tried
/// three times, an outage makes three times the load, which is what keeps the outage going. A limit
/// on the attempts of one call does not help: what must be bounded is the share of all.
///
/// A clone is the same budget. One may serve any number of layers, retries and hedges alike:
///
/// ```
/// use std::time::Duration;
/// use watertight_core::Budget;
///
/// let budget = Budget::ratio(0.1).window(Duration::from_secs(30));
/// let for_retries = budget.clone();
/// let for_hedges = budget;
/// ```
///
/// Settings are made before the first clone: each makes a budget of its own, which starts afresh.
/// There is no lock in it, no allocation after it was made, and memory is constant, some kilobytes.
///
/// # Styles
///
/// | Style | An extra attempt is allowed | What feeds it |
/// | --- | --- | --- |
/// | [`ratio`](Self::ratio) | while they are fewer than a share of the calls | first attempts |
/// | [`tokens`](Self::tokens) | while the bucket holds what it costs | successes |
/// | [`grpc`](Self::grpc) | while the bucket is more than half full | successes; failures drain it |
/// | [`concurrent`](Self::concurrent) | while those in flight are fewer than a share of the calls in flight | calls in flight |
/// | [`unlimited`](Self::unlimited) | always | |
///
/// A ratio is the style to choose if there is no reason for another: it alone says how much the
/// load can grow. The two of tokens bound what comes of *failures*. Extra attempts that succeed are
/// free there, so that they do not bound hedges of a service that is merely slow.
///
/// # What a ratio promises
///
/// With a ratio `r`, a floor of `m` per second and a window `W`, in any interval of length `W`:
///
/// ```text
/// extra attempts <= r x (first attempts in the W before the last of them was paid for) + m x W
/// ```
///
/// So the load is at most `1 + r` times that of the calls, plus `m` per second, even if everything
/// fails. Nothing is saved up for longer than `W`: the burst after a quiet hour is at most `m x W`,
/// which with the defaults is 100 attempts. An attempt that is paid for and waits, for its backoff,
/// counts until `W` after it was sent, so that those who wait cannot all come at once on top of the
/// rest. One that is dropped before it was sent is given back, and was never there.
///
/// First attempts are counted without a look at the clock, so that an attempt may count for
/// less long than `W`, by a thirtieth of it in the usual case: what is allowed in a steady stream is
/// 0.95 to 1 times the formula. A clock that steps back is taken to stand still.
///
/// # One handle or many
///
/// The attempts made for each call, when every other attempt fails, at most four are made, and each
/// client calls once a second (from the 20th second to the 60th; a test of this crate prints the
/// table):
///
/// | Clients | one handle, `m` = 0 | one handle, `m` = 10 | each its own, `m` = 10 | each its own `tokens(500)` |
/// | --- | --- | --- | --- | --- |
/// | 10 | 1.09 | 1.90 | 1.89 | 1.89 |
/// | 100 | 1.10 | 1.20 | 1.88 | 1.87 |
/// | 1,000 | 1.10 | 1.11 | 1.88 | 1.87 |
/// | 10,000 | 1.10 | 1.10 | 1.88 | 1.87 |
///
/// A private budget is made for the traffic of one client, and a client that makes few calls lives
/// on its floor, or on the bucket that it started with. Ten thousand of them have ten thousand
/// floors. So share one handle among all that call the same service: make it once, clone it into
/// the layers.
///
/// Side by side, that is. Layers one around the other, a retry around a hedge, see each call one
/// after the other, and each counts its first attempt: a ratio of 0.1 that the two share allows two
/// tenths of the calls. Give each its own there, or share a smaller one. Further attempts of the outer
/// one feed neither, as the [`Context`](crate::Context) tells.
///
/// The default floor is there for the few and quiet: with 10 calls a second, a tenth of them would
/// be one retry a second, and one slow minute could not be bridged. Below `m / r` calls a second,
/// which is 100 with the defaults, it is the floor that bounds, and at 10 a second it lets every
/// call be tried twice. If that is too much for what is below, or if many processes call the same
/// service, lower it: [`min_per_second(0.0)`](Self::min_per_second) leaves the ratio alone.
///
/// # With tower
///
/// With the feature `tower` it is a budget for tower's own retry, too. What tower deposits is a
/// first attempt and a success in one; what it withdraws is sent at once. It never says when
/// an attempt is over, so a [`concurrent`](Self::concurrent) budget allows none there.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    machine: Machine,
}

impl Budget {
    /// How many extra attempts per second a budget of a ratio always allows, unless
    /// [`min_per_second`](Self::min_per_second) says otherwise: a client that makes but a few calls
    /// can retry, too.
    pub const MIN_PER_SECOND: f64 = 10.0;

    /// The most that [`min_per_second`](Self::min_per_second) may be.
    pub const MAX_PER_SECOND: f64 = 1_000_000.0;

    /// How long first attempts count for a budget of a ratio, unless [`window`](Self::window) says
    /// otherwise: long enough to smooth, short enough to forget before an outage is over.
    pub const WINDOW: Duration = Duration::from_secs(10);

    /// The shortest [`window`](Self::window).
    pub const MIN_WINDOW: Duration = Duration::from_millis(1);

    /// The longest [`window`](Self::window).
    pub const MAX_WINDOW: Duration = Duration::from_secs(3_600);

    /// A ratio is below this: who writes 5, 10 or 20 means per cent.
    pub const RATIO_BELOW: f64 = 5.0;

    /// What an extra attempt takes from a budget of [`tokens`](Self::tokens), unless
    /// [`cost`](Self::cost) says otherwise.
    pub const COST: u32 = 14;

    /// The same after a failure of the kind [`RateLimited`](FailureKind::RateLimited) or
    /// [`Overloaded`](FailureKind::Overloaded).
    pub const THROTTLED_COST: u32 = 5;

    /// The most tokens of a budget in the style of [gRPC](Self::grpc).
    pub const MAX_GRPC_TOKENS: u32 = 1_000;

    /// Allows `ratio` extra attempts for each first attempt of the last [`window`](Self::window),
    /// and [`min_per_second`](Self::min_per_second) on top. 0.1 is 10 %.
    ///
    /// What that promises is [above](Self#what-a-ratio-promises).
    #[must_use]
    pub fn ratio(ratio: f64) -> Self {
        Self::of(Settings::ratio(ratio))
    }

    /// Sets how many extra attempts per second a budget of a ratio allows on top of its ratio:
    /// `min` times the window, in a window. Less than a whole one is none, and 0 leaves the ratio
    /// alone.
    #[must_use]
    pub fn min_per_second(self, min: f64) -> Self {
        Self::of(self.shared.settings.min_per_second(min))
    }

    /// Sets over how long a budget of a ratio counts, from [`MIN_WINDOW`](Self::MIN_WINDOW) to
    /// [`MAX_WINDOW`](Self::MAX_WINDOW). A longer one lets a longer burst of failures be retried,
    /// and then fewer for longer.
    #[must_use]
    pub fn window(self, window: Duration) -> Self {
        Self::of(self.shared.settings.window(window))
    }

    /// Has a bucket of `capacity` tokens, which is full at first, as the SDKs of AWS do (there it is
    /// 500).
    ///
    /// An extra attempt takes its [`cost`](Self::cost). If the call succeeds then, what its last
    /// extra attempt has cost comes back; a success without one brings 1. So while a service fails
    /// altogether, `capacity / cost` extra attempts are all there are.
    #[must_use]
    pub fn tokens(capacity: u32) -> Self {
        Self::of(Settings::tokens(capacity))
    }

    /// Sets what an extra attempt after a failure of `kind` takes from a budget of tokens, in
    /// 1..=capacity. [`COST`](Self::COST) and [`THROTTLED_COST`](Self::THROTTLED_COST) are the
    /// defaults.
    #[must_use]
    pub fn cost(self, kind: FailureKind, cost: u32) -> Self {
        Self::of(self.shared.settings.cost(kind, cost))
    }

    /// Has the throttle of gRPC's retries (gRFC A6), with the numbers of a service config.
    ///
    /// The bucket holds `max_tokens` and is full at first. Every failed attempt takes 1, every
    /// success brings `token_ratio`, which counts in thousandths. Extra attempts are made while
    /// there is more than half; they take nothing themselves.
    #[must_use]
    pub fn grpc(max_tokens: u32, token_ratio: f64) -> Self {
        Self::of(Settings::of(Style::Grpc {
            max_tokens,
            token_ratio,
        }))
    }

    /// Allows `ratio` extra attempts in flight for each call in flight, but always `floor`, as Envoy
    /// does (there it is 0.2 and 3).
    ///
    /// A call is in flight from its first attempt until it has its answer, also while it waits for
    /// its backoff; so is an extra attempt from when it is paid for.
    #[must_use]
    pub fn concurrent(ratio: f64, floor: u32) -> Self {
        Self::of(Settings::of(Style::Concurrent { ratio, floor }))
    }

    /// Allows every extra attempt. Whoever takes this has another bound.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::of(Settings::of(Style::Unlimited))
    }

    /// Checks the settings. A budget with settings that cannot be allows no extra attempt.
    ///
    /// # Errors
    ///
    /// If a ratio is negative, not a number, or at least [`RATIO_BELOW`](Self::RATIO_BELOW); if the
    /// floor, the window, a cost or a number of tokens is out of its range; or if something was set
    /// that the style does not have.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.shared.settings.validate()
    }

    #[inline]
    pub(super) fn machine(&self) -> &Machine {
        &self.shared.machine
    }

    fn of(settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                machine: Machine::new(&settings, Instant::now()),
            }),
        }
    }
}

impl From<f64> for Budget {
    fn from(ratio: f64) -> Self {
        Self::ratio(ratio)
    }
}

impl AsRef<Self> for Budget {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Budget")
            .field(&self.shared.settings)
            .finish()
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_number_is_a_ratio() {
        let budget = Budget::from(0.25);

        assert_eq!(
            budget.shared.settings,
            Budget::ratio(0.25)
                .min_per_second(10.0)
                .window(10 * SECOND)
                .shared
                .settings
        );
    }

    #[test]
    fn a_clone_is_the_same_and_a_setting_makes_another() {
        let budget = Budget::ratio(0.1);

        assert!(Arc::ptr_eq(&budget.shared, &budget.clone().shared));
        let other = budget.clone().min_per_second(10.0);
        assert!(!Arc::ptr_eq(&budget.shared, &other.shared));
    }

    #[test]
    fn shows_its_settings() {
        let shown = format!("{:?}", Budget::concurrent(0.2, 3));

        assert!(
            shown.contains("Concurrent { ratio: 0.2, floor: 3 }"),
            "{shown}"
        );
    }
}
