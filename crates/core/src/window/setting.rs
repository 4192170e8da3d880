use std::time::Duration;

use crate::ConfigError;

/// Which of the calls that have ended count: the last so many, those of the last so long, or all,
/// the less the older they are.
///
/// A window of calls is the default choice: it knows a little service as well as a busy one, and
/// a success costs it next to nothing. A window of time forgets also when no calls come. A
/// decaying window has no edge at which a burst of failures suddenly leaves it.
///
/// With the feature `serde` it reads `{"calls": 100}`, `{"time": {"span": "10s", "buckets": 10}}`
/// or `{"decay": "30s"}`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "Kind", into = "Kind")
)]
pub struct Window {
    pub(super) kind: Kind,
    /// Buckets have been asked for in a window that has none.
    misplaced: Option<u32>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
pub(super) enum Kind {
    Calls(u32),
    Time {
        #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
        span: Duration,
        #[cfg_attr(feature = "serde", serde(default = "default_buckets"))]
        buckets: u32,
    },
    Decay(#[cfg_attr(feature = "serde", serde(with = "humantime_serde"))] Duration),
}

impl Window {
    /// The most calls that a window of calls may hold. They take eight bytes each.
    pub const MAX_CALLS: u32 = 65_535;

    /// How many buckets a window of time has, unless [`buckets`](Self::buckets) says otherwise:
    /// what leaves at once is a tenth.
    pub const BUCKETS: u32 = 10;

    /// The most buckets that a window of time may have.
    pub const MAX_BUCKETS: u32 = 1_000;

    /// The shortest time that one bucket may span.
    pub const MIN_BUCKET: Duration = Duration::from_millis(1);

    /// The shortest half-life that a decaying window may have.
    pub const MIN_HALF_LIFE: Duration = Duration::from_millis(100);

    /// The last `n` calls, in some order that is each thread's own.
    #[must_use]
    pub const fn calls(n: u32) -> Self {
        Self::of(Kind::Calls(n))
    }

    /// The calls that ended in the last `span`.
    #[must_use]
    pub const fn time(span: Duration) -> Self {
        Self::of(Kind::Time {
            span,
            buckets: Self::BUCKETS,
        })
    }

    /// All calls, but one that ended a `half_life` ago counts half as much as one that ends now.
    #[must_use]
    pub const fn decay(half_life: Duration) -> Self {
        Self::of(Kind::Decay(half_life))
    }

    /// Sets in how many parts a window of time moves on: it spans between `n - 1` and `n` of them.
    #[must_use]
    pub const fn buckets(mut self, n: u32) -> Self {
        match &mut self.kind {
            Kind::Time { buckets, .. } => *buckets = n,
            Kind::Calls(_) | Kind::Decay(_) => self.misplaced = Some(n),
        }
        self
    }

    /// Checks that there can be such a window.
    ///
    /// # Errors
    ///
    /// If it holds no calls or too many, has no buckets or too many, if a bucket or the half-life
    /// is too short, or if it was given buckets and is not a window of time.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if let Some(buckets) = self.misplaced {
            let allowed = "left out, unless it is a window of time";
            return Err(ConfigError::new("window.buckets", buckets, allowed));
        }
        match self.kind {
            Kind::Calls(1..=Self::MAX_CALLS) => Ok(()),
            Kind::Calls(n) => {
                let allowed = format!("in 1..={}", Self::MAX_CALLS);
                Err(ConfigError::new("window.calls", n, allowed))
            }
            Kind::Time { buckets, .. } if buckets == 0 || buckets > Self::MAX_BUCKETS => {
                let allowed = format!("in 1..={}", Self::MAX_BUCKETS);
                Err(ConfigError::new("window.buckets", buckets, allowed))
            }
            Kind::Time { span, buckets } if span / buckets < Self::MIN_BUCKET => {
                let allowed = format!("at least {:?} to a bucket", Self::MIN_BUCKET);
                Err(ConfigError::new("window.time", span, allowed))
            }
            Kind::Decay(half_life) if half_life < Self::MIN_HALF_LIFE => {
                let allowed = format!("at least {:?}", Self::MIN_HALF_LIFE);
                Err(ConfigError::new("window.decay", half_life, allowed))
            }
            Kind::Time { .. } | Kind::Decay(_) => Ok(()),
        }
    }

    /// Whether time alone changes what is in the window.
    #[must_use]
    pub const fn is_timed(&self) -> bool {
        !matches!(self.kind, Kind::Calls(_))
    }

    /// Returns how many calls a window of calls holds, and `None` for the timed ones.
    #[must_use]
    pub const fn size(&self) -> Option<u32> {
        match self.kind {
            Kind::Calls(n) => Some(n),
            Kind::Time { .. } | Kind::Decay(_) => None,
        }
    }

    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            misplaced: None,
        }
    }
}

impl From<Kind> for Window {
    fn from(kind: Kind) -> Self {
        Self::of(kind)
    }
}

impl From<Window> for Kind {
    fn from(window: Window) -> Self {
        window.kind
    }
}

#[cfg(feature = "serde")]
const fn default_buckets() -> u32 {
    Window::BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_usual_windows_are_valid() {
        for window in [
            Window::calls(1),
            Window::calls(65_535),
            Window::time(10 * SECOND),
            Window::time(SECOND).buckets(1_000),
            Window::decay(SECOND),
        ] {
            assert_eq!(window.validate(), Ok(()));
        }
    }

    #[test]
    fn says_which_field_cannot_be() {
        for (window, field) in [
            (Window::calls(0), "window.calls"),
            (Window::calls(65_536), "window.calls"),
            (Window::calls(10).buckets(3), "window.buckets"),
            (Window::decay(SECOND).buckets(10), "window.buckets"),
            (Window::time(SECOND).buckets(0), "window.buckets"),
            (Window::time(10 * SECOND).buckets(1_001), "window.buckets"),
            (Window::time(Duration::from_millis(9)), "window.time"),
            (Window::time(Duration::ZERO), "window.time"),
            (Window::decay(Duration::ZERO), "window.decay"),
        ] {
            assert_eq!(window.validate().unwrap_err().field(), field, "{window:?}");
        }
    }

    #[test]
    fn only_a_window_of_calls_has_a_size() {
        assert_eq!(Window::calls(7).size(), Some(7));
        assert_eq!(Window::time(SECOND).size(), None);
        assert!(Window::decay(SECOND).is_timed());
        assert!(!Window::calls(7).is_timed());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_as_one_would_write_it() {
        for (window, text) in [
            (Window::calls(100), r#"{"calls":100}"#),
            (
                Window::time(10 * SECOND).buckets(5),
                r#"{"time":{"span":"10s","buckets":5}}"#,
            ),
            (Window::decay(30 * SECOND), r#"{"decay":"30s"}"#),
        ] {
            assert_eq!(serde_json::to_string(&window).unwrap(), text);
            assert_eq!(serde_json::from_str::<Window>(text).unwrap(), window);
        }
        let short = r#"{"time":{"span":"10s"}}"#;
        assert_eq!(
            serde_json::from_str::<Window>(short).unwrap(),
            Window::time(10 * SECOND)
        );
    }
}
