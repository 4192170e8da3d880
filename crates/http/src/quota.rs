use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use watertight_core::QuotaStatus;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Writes how a rate limit stands, after draft-ietf-httpapi-ratelimit-headers-11. Each limit that a
/// request came through adds a line, which makes a list of them.
///
/// A name that is no string of structured fields, which are of printable ASCII, is not written.
pub(crate) fn write_quota(headers: &mut HeaderMap, quota: &QuotaStatus) {
    let Some(name) = string(quota.policy.as_ref()) else {
        return;
    };
    let (limit, window) = (integer(quota.limit), seconds(quota.window).max(1));
    let (remaining, reset) = (integer(quota.remaining), seconds(quota.reset));
    append(
        headers,
        RATE_LIMIT_POLICY,
        format!("{name};q={limit};w={window}"),
    );
    append(
        headers,
        RATE_LIMIT,
        format!("{name};r={remaining};t={reset}"),
    );
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.append(name, value);
    }
}

/// Returns `name` as a string of RFC 9651.
fn string(name: &str) -> Option<String> {
    let is_printable = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_printable.then(|| format!("\"{}\"", name.replace('\\', r"\\").replace('"', "\\\"")))
}

/// Returns `n`, or the largest integer of RFC 9651, which has 15 digits.
fn integer(n: u64) -> u64 {
    n.min(999_999_999_999_999)
}

/// Rounds up: who comes back at the second that was named is not too early.
fn seconds(duration: Duration) -> u64 {
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

    fn written(quotas: &[QuotaStatus]) -> [Vec<String>; 2] {
        let mut headers = HeaderMap::new();
        for quota in quotas {
            write_quota(&mut headers, quota);
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
}
