use std::time::Duration;

use http::HeaderMap;

use super::field::{Member, members};
use super::wording::RATE_LIMIT_POLICY;

/// A policy by which a server limits its clients: a member of `RateLimit-Policy`, after
/// draft-ietf-httpapi-ratelimit-headers-11.
///
/// ```
/// use std::time::Duration;
/// use watertight_http::RateLimitPolicy;
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("ratelimit-policy", r#""burst";q=100;w=60"#.parse().unwrap());
///
/// let policies = RateLimitPolicy::read(&headers);
/// assert_eq!(policies[0].quota, 100);
/// assert_eq!(policies[0].window, Some(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RateLimitPolicy {
    /// The name, by which [`RateLimitStatus`](super::RateLimitStatus) speaks of it.
    pub name: String,
    /// How much there is in a window.
    pub quota: u64,
    /// What is counted.
    pub unit: QuotaUnit,
    /// The length of the window, at least a second.
    pub window: Option<Duration>,
    /// Which part of the clients the quota is for, in the server's own terms.
    pub partition: Option<Vec<u8>>,
}

impl RateLimitPolicy {
    /// Reads the policies off the headers of an answer.
    ///
    /// A malformed header is ignored as a whole, as the draft has it: then there are none.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Vec<Self> {
        members(headers, &RATE_LIMIT_POLICY, Self::of)
    }

    fn of(member: &Member<'_>) -> Option<Self> {
        let window = member.seconds("w")?;
        if window.is_some_and(|window| window.is_zero()) {
            return None;
        }
        Some(Self {
            name: member.name()?.to_owned(),
            quota: member.number("q")??,
            unit: QuotaUnit::of(member)?,
            window,
            partition: member.bytes("pk")?,
        })
    }
}

/// What a policy counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum QuotaUnit {
    /// Requests: the default of the draft, which writes it `requests` and `request`.
    Requests,
    /// The bytes of what is sent.
    ContentBytes,
    /// Requests at the same time.
    ConcurrentRequests,
    /// Something that the draft does not know.
    Other,
}

impl QuotaUnit {
    fn of(member: &Member<'_>) -> Option<Self> {
        let Some(unit) = member.parameter("qu") else {
            return Some(Self::Requests);
        };
        Some(match unit.as_string()?.as_str() {
            "requests" | "request" => Self::Requests,
            "content-bytes" => Self::ContentBytes,
            "concurrent-requests" => Self::ConcurrentRequests,
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Vec<RateLimitPolicy> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(RATE_LIMIT_POLICY, line.parse().unwrap());
        }
        RateLimitPolicy::read(&headers)
    }

    fn policy(name: &str, quota: u64, window: u64) -> RateLimitPolicy {
        RateLimitPolicy {
            name: name.to_owned(),
            quota,
            unit: QuotaUnit::Requests,
            window: Some(Duration::from_secs(window)),
            partition: None,
        }
    }

    #[test]
    fn reads_each_policy() {
        let policies = [policy("burst", 100, 60), policy("daily", 1000, 86_400)];

        assert_eq!(
            read(&[r#""burst";q=100;w=60,"daily";q=1000;w=86400"#]),
            policies
        );
        assert_eq!(
            read(&[r#""burst";q=100;w=60"#, r#""daily";q=1000;w=86400"#]),
            policies
        );
    }

    /// The partition keys of the draft's own examples, whose last bits are not zero.
    #[test]
    fn reads_a_partition_key_with_loose_ends() {
        for key in ["sdfjLJUOUH==", "cHsdsRa894=="] {
            let line = format!(r#""peruser";q=65535;qu="content-bytes";w=10;pk=:{key}:"#);

            let policies = read(&[&line]);

            assert_eq!(policies.len(), 1, "{key}");
            assert_eq!(policies[0].unit, QuotaUnit::ContentBytes);
            assert_eq!(policies[0].partition.as_ref().map(Vec::len), Some(7));
        }
    }

    #[test]
    fn a_unit_is_named_as_the_draft_or_its_registry_has_it() {
        let unit = |text: &str| read(&[&format!(r#""a";q=1;qu="{text}""#)])[0].unit;

        assert_eq!(unit("requests"), QuotaUnit::Requests);
        assert_eq!(unit("request"), QuotaUnit::Requests);
        assert_eq!(unit("concurrent-requests"), QuotaUnit::ConcurrentRequests);
        assert_eq!(unit("tokens"), QuotaUnit::Other);
    }

    #[test]
    fn what_is_optional_may_be_missing_and_what_is_unknown_is_passed_over() {
        let [policy] = &read(&[r#""a";q=0;x="y""#])[..] else {
            panic!("it is one policy");
        };

        assert_eq!((policy.quota, policy.window), (0, None));
        assert_eq!(policy.partition, None);
    }

    #[test]
    fn one_malformed_member_spoils_all() {
        let malformed = [
            "quota;q=100;w=1",
            r#""a""#,
            r#""a";w=1"#,
            r#""a";q"#,
            r#""a";q=-1"#,
            r#""a";q=1.5"#,
            r#""a";q="5""#,
            r#""a";q=1;w=0"#,
            r#""a";q=1;w=1.5"#,
            r#""a";q=1;qu=requests"#,
            r#""a";q=1;pk="x""#,
            r#""a";q=1,"#,
            r#"("a";q=1)"#,
            "früh",
            r#""a;q=1"#,
        ];

        for line in malformed {
            assert_eq!(read(&[line]), [], "{line}");
            assert_eq!(read(&[r#""good";q=1;w=1"#, line]), [], "{line}");
        }
    }
}
