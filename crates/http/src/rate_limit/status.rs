use std::time::Duration;

use http::HeaderMap;

use super::RateLimitPolicy;
use super::field::{Member, members};
use super::wording::RATE_LIMIT;

/// How one limit of a server stands for a client: a member of `RateLimit`, after
/// draft-ietf-httpapi-ratelimit-headers-11.
///
/// ```
/// use std::time::Duration;
/// use watertight_http::RateLimitStatus;
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("ratelimit", r#""burst";r=50;t=30"#.parse().unwrap());
///
/// let limits = RateLimitStatus::read(&headers);
/// assert_eq!(limits[0].remaining, 50);
/// assert_eq!(limits[0].reset, Some(Duration::from_secs(30)));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RateLimitStatus {
    /// The name of the policy.
    pub name: String,
    /// How much is left.
    pub remaining: u64,
    /// For how long that has to do.
    pub reset: Option<Duration>,
    /// Which part of the clients it is for, in the server's own terms.
    pub partition: Option<Vec<u8>>,
}

impl RateLimitStatus {
    /// Reads the limits off the headers of an answer.
    ///
    /// A malformed header is ignored as a whole, as the draft has it: then there are none.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Vec<Self> {
        members(headers, &RATE_LIMIT, Self::of)
    }

    /// Returns the policy of this limit among `policies`: the one of its name, and of its partition
    /// where both name one.
    #[must_use]
    pub fn policy<'a>(&self, policies: &'a [RateLimitPolicy]) -> Option<&'a RateLimitPolicy> {
        let is_apart = |policy: &RateLimitPolicy| {
            let both = policy.partition.as_ref().zip(self.partition.as_ref());
            both.is_some_and(|(its, own)| its != own)
        };
        let mut policies = policies.iter();
        policies.find(|policy| policy.name == self.name && !is_apart(policy))
    }

    fn of(member: &Member<'_>) -> Option<Self> {
        Some(Self {
            name: member.name()?.to_owned(),
            remaining: member.number("r")??,
            reset: member.seconds("t")?,
            partition: member.bytes("pk")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::rate_limit::wording::RATE_LIMIT_POLICY;

    fn read(lines: &[&str]) -> Vec<RateLimitStatus> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(RATE_LIMIT, line.parse().unwrap());
        }
        RateLimitStatus::read(&headers)
    }

    fn limit(name: &str, remaining: u64, reset: Option<u64>) -> RateLimitStatus {
        RateLimitStatus {
            name: name.to_owned(),
            remaining,
            reset: reset.map(Duration::from_secs),
            partition: None,
        }
    }

    #[test]
    fn reads_each_limit() {
        assert_eq!(
            read(&[r#""default";r=50;t=30"#]),
            [limit("default", 50, Some(30))]
        );
        assert_eq!(
            read(&[r#""default";r=999;pk=:dHJpYWwxMjEzMjM=:"#]),
            [RateLimitStatus {
                partition: Some(b"trial121323".to_vec()),
                ..limit("default", 999, None)
            }]
        );
    }

    #[test]
    fn several_lines_are_one_list() {
        let both = [limit("a", 1, None), limit("b", 2, None)];

        assert_eq!(read(&[r#""a";r=1"#, r#""b";r=2"#]), both);
        assert_eq!(read(&[r#""a";r=1, "b";r=2"#]), both);
    }

    #[test]
    fn of_parameters_of_one_key_the_last_counts() {
        let last = limit("a", 2, Some(3));
        assert_eq!(read(&[r#""a";r=1;t=1;x;y="z";w;r=2;t=3"#]), [last]);
        assert_eq!(read(&[r#""a";r=1;r="2""#]), []);
    }

    #[test]
    fn a_number_has_fifteen_digits_at_most() {
        assert_eq!(
            read(&[r#""x";r=999999999999999"#])[0].remaining,
            999_999_999_999_999
        );
        assert_eq!(read(&[r#""x";r=1000000000000000"#]), []);
    }

    #[test]
    fn one_malformed_member_spoils_all() {
        let malformed = [
            "quota;t=1",
            r#"("default");r=1"#,
            "quota;r=1;t=1",
            r#""default""#,
            r#""default";r=-1"#,
            r#""default";r=1.5"#,
            r#""default";r="5""#,
            r#""default";r"#,
            r#""default";r=1;t=-1"#,
            r#""default";r=1;t=1.0"#,
            r#""default";r=1;pk=5"#,
            r#""default";r=1,,"b";r=1"#,
            r#""früh";r=1"#,
        ];

        for line in malformed {
            assert_eq!(read(&[line]), [], "{line}");
            assert_eq!(read(&[r#""good";r=1"#, line]), [], "{line}");
        }
        assert_eq!(read(&[""]), []);
    }

    #[test]
    fn a_limit_is_joined_with_its_policy_by_name() {
        let mut headers = HeaderMap::new();
        let policies = r#""hour";q=1000;w=3600, "day";q=5000;w=86400"#;
        headers.insert(RATE_LIMIT_POLICY, policies.parse().unwrap());
        let policies = RateLimitPolicy::read(&headers);
        let [day] = &read(&[r#""day";r=100;t=36000"#])[..] else {
            panic!("it is one limit");
        };

        assert_eq!(day.policy(&policies).map(|policy| policy.quota), Some(5000));
        assert_eq!(limit("week", 1, None).policy(&policies), None);
    }

    #[test]
    fn policies_of_one_name_are_told_apart_by_their_partitions() {
        let mut headers = HeaderMap::new();
        let policies = r#""a";q=1;pk=:YQ==:, "a";q=2;pk=:Yg==:"#;
        headers.insert(RATE_LIMIT_POLICY, policies.parse().unwrap());
        let policies = RateLimitPolicy::read(&headers);
        let of = |line| {
            read(&[line])[0]
                .policy(&policies)
                .map(|policy| policy.quota)
        };

        assert_eq!(of(r#""a";r=1;pk=:Yg==:"#), Some(2));
        assert_eq!(of(r#""a";r=1;pk=:Yw==:"#), None);
        assert_eq!(of(r#""a";r=1"#), Some(1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            name in "[ -~]{0,12}",
            remaining in 0..1_000_000_000_000_000_u64,
            reset in 0..1_000_000_u64,
        ) {
            let quota = watertight_core::QuotaStatus {
                policy: watertight_core::Name::new(&name),
                limit: remaining,
                remaining,
                reset: Duration::from_secs(reset),
                window: Duration::from_secs(60),
            };
            let mut headers = HeaderMap::new();
            let wording = crate::rate_limit::Wording { names: true, legacy: None };

            wording.write(&mut headers, &quota);

            prop_assert_eq!(
                RateLimitStatus::read(&headers),
                [limit(&name, remaining, Some(reset))]
            );
            prop_assert_eq!(RateLimitPolicy::read(&headers)[0].quota, remaining);
        }

        #[test]
        fn any_header_is_read_or_ignored(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let mut headers = HeaderMap::new();
                headers.insert(RATE_LIMIT, value.clone());
                headers.insert(RATE_LIMIT_POLICY, value);
                let _ = RateLimitStatus::read(&headers);
                let _ = RateLimitPolicy::read(&headers);
            }
        }
    }
}
