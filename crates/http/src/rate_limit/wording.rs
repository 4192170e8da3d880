use std::array;
use std::borrow::Cow;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;
use watertight_core::{Key, QuotaStatus};

use super::legacy::{LegacyReset, write_legacy};

pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How answers speak of a rate limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wording {
    /// Whether policies go by the names of their layers.
    pub(crate) names: bool,
    /// Writes `X-RateLimit-*` as well.
    pub(crate) legacy: Option<LegacyReset>,
}

impl Wording {
    /// As [`HttpNotes`](crate::HttpNotes) has it.
    pub(crate) const PLAIN: Self = Self {
        names: false,
        legacy: None,
    };

    /// Writes how a rate limit stands, after draft-ietf-httpapi-ratelimit-headers-11. Each limit
    /// that a request came through adds a line, which makes a list of them.
    pub(crate) fn write(self, headers: &mut HeaderMap, quota: &QuotaStatus) {
        // A name that is no string of structured fields, which are of printable ASCII, is not said.
        if let Some(name) = self.start(quota) {
            let (limit, window) = (integer(quota.limit), seconds(quota.window).max(1));
            let (remaining, reset) = (integer(quota.remaining), seconds(quota.reset));
            let policy = name.clone().number(";q=", limit).number(";w=", window);
            policy.append_to(headers, RATE_LIMIT_POLICY);
            let state = name.number(";r=", remaining).number(";t=", reset);
            state.append_to(headers, RATE_LIMIT);
        }
        if let Some(reset) = self.legacy {
            write_legacy(headers, quota, reset);
        }
    }

    /// Starts a member of a list with the name of the policy.
    fn start(self, quota: &QuotaStatus) -> Option<Line> {
        if self.names {
            Line::string(quota.policy.as_str().as_bytes())
        } else {
            Line::string(&hash(quota))
        }
    }

    /// Writes how the limit stands that refused a call which may come again after `retry_after`.
    ///
    /// The time that is named is that one, and no later: a `Retry-After` should not be earlier than
    /// the `t` beside it, and a client would wait until all of the quota is back.
    pub(crate) fn write_refusal(
        self,
        headers: &mut HeaderMap,
        quota: &QuotaStatus,
        retry_after: Option<Duration>,
    ) {
        let reset = retry_after.map_or(quota.reset, |after| after.min(quota.reset));
        self.write(headers, &QuotaStatus { reset, ..*quota });
    }

    /// Returns the name by which clients know the policy.
    pub(crate) fn name(self, quota: &QuotaStatus) -> Cow<'static, str> {
        if self.names {
            return quota.policy.as_str().into();
        }
        let digits = hash(quota).map(char::from);
        Cow::Owned(digits.iter().collect())
    }
}

/// Returns what stands for the name of a policy that is not told.
fn hash(quota: &QuotaStatus) -> [u8; 8] {
    let hash = Key::of(quota.policy.as_str()).as_u128() as u32;
    array::from_fn(|place| {
        let digit = hash >> (28 - 4 * place) & 0xf;
        b"0123456789abcdef"[digit as usize]
    })
}

/// A line of a header that is being written. Only what is longer than most is ever on the heap
/// before it is whole.
#[derive(Clone)]
struct Line(SmallVec<[u8; 64]>);

impl Line {
    /// Starts it with a string of RFC 9651, if `text` can be one.
    fn string(text: &[u8]) -> Option<Self> {
        let mut line = Self(SmallVec::new());
        line.0.push(b'"');
        for &byte in text {
            match byte {
                b'"' | b'\\' => line.0.extend_from_slice(&[b'\\', byte]),
                b' '..=b'~' => line.0.push(byte),
                _ => return None,
            }
        }
        line.0.push(b'"');
        Some(line)
    }

    /// Adds a parameter that is a number.
    fn number(mut self, key: &str, n: u64) -> Self {
        self.0.extend_from_slice(key.as_bytes());
        let mut digits = itoa::Buffer::new();
        self.0.extend_from_slice(digits.format(n).as_bytes());
        self
    }

    fn append_to(self, headers: &mut HeaderMap, name: HeaderName) {
        if let Ok(value) = HeaderValue::from_bytes(&self.0) {
            headers.append(name, value);
        }
    }
}

/// Returns `n`, or the largest integer of RFC 9651, which has 15 digits.
fn integer(n: u64) -> u64 {
    n.min(999_999_999_999_999)
}

/// Rounds up: who comes back at the second that was named is not too early.
pub(super) fn seconds(duration: Duration) -> u64 {
    let part = u64::from(duration.subsec_nanos() > 0);
    integer(duration.as_secs().saturating_add(part))
}

#[cfg(test)]
mod tests {
    use watertight_core::Name;

    use super::*;

    fn quota(policy: &str) -> QuotaStatus {
        QuotaStatus {
            policy: Name::new(policy),
            limit: 100,
            remaining: 50,
            reset: Duration::from_millis(29_001),
            window: Duration::from_secs(60),
        }
    }

    const NAMED: Wording = Wording {
        names: true,
        legacy: None,
    };

    fn written(quotas: &[QuotaStatus]) -> [Vec<String>; 2] {
        written_as(NAMED, quotas)
    }

    fn written_as(wording: Wording, quotas: &[QuotaStatus]) -> [Vec<String>; 2] {
        let mut headers = HeaderMap::new();
        for quota in quotas {
            wording.write(&mut headers, quota);
        }
        [RATE_LIMIT_POLICY, RATE_LIMIT].map(|name| {
            let lines = headers.get_all(name).into_iter();
            lines
                .map(|line| line.to_str().unwrap().to_owned())
                .collect()
        })
    }

    #[test]
    fn each_limit_has_a_line_in_both_headers() {
        let daily = QuotaStatus {
            limit: u64::MAX,
            remaining: 0,
            window: Duration::from_secs(86_400),
            ..quota("daily")
        };

        let [policies, limits] = written(&[quota("burst"), daily]);

        assert_eq!(
            policies,
            [
                r#""burst";q=100;w=60"#,
                r#""daily";q=999999999999999;w=86400"#
            ]
        );
        assert_eq!(limits, [r#""burst";r=50;t=30"#, r#""daily";r=0;t=30"#]);
    }

    #[test]
    fn a_window_below_a_second_is_one() {
        let quick = QuotaStatus {
            window: Duration::from_millis(10),
            reset: Duration::ZERO,
            ..quota("quick")
        };

        assert_eq!(
            written(&[quick]),
            [[r#""quick";q=100;w=1"#], [r#""quick";r=50;t=0"#]]
        );
    }

    #[test]
    fn a_name_is_quoted_or_left_out() {
        let [_, limits] = written(&[quota(r#"a "b" \c"#), quota("früh")]);

        assert_eq!(limits, [r#""a \"b\" \\c";r=50;t=30"#]);
    }

    #[test]
    fn a_name_may_be_longer_than_most() {
        let name = "payments".repeat(20);

        let [policies, limits] = written(&[quota(&name)]);

        assert_eq!(policies, [format!(r#""{name}";q=100;w=60"#)]);
        assert_eq!(limits, [format!(r#""{name}";r=50;t=30"#)]);
    }

    #[test]
    fn an_unexposed_name_is_told_apart_and_does_not_leak() {
        let [policies, limits] = written_as(Wording::PLAIN, &[quota("api"), quota("api/pro")]);

        // The same in every process, or a client would take one limit for two.
        assert_eq!(limits[0], r#""d411a36d";r=50;t=30"#);
        assert_ne!(limits[0], limits[1]);
        assert_eq!(policies[0], r#""d411a36d";q=100;w=60"#);
        assert!(![policies, limits].concat().concat().contains("api"));
    }

    #[test]
    fn a_refusal_names_the_time_after_which_to_come_again() {
        let refused = |after: Option<u64>| {
            let mut headers = HeaderMap::new();
            let after = after.map(Duration::from_millis);
            NAMED.write_refusal(&mut headers, &quota("api"), after);
            headers[RATE_LIMIT].to_str().unwrap().to_owned()
        };

        assert_eq!(refused(Some(1200)), r#""api";r=50;t=2"#);
        assert_eq!(refused(Some(90_000)), r#""api";r=50;t=30"#);
        assert_eq!(refused(None), r#""api";r=50;t=30"#);
    }
}
