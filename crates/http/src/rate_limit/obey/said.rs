use std::time::{Duration, SystemTime};

use http::header::{AGE, HeaderMap, RETRY_AFTER};
use http::{HeaderName, Response, StatusCode};
use watertight_core::Key;

use crate::grpc_code::pushback;
use crate::rate_limit::wording::RATE_LIMIT;
use crate::{
    GrpcCode, LegacyRateLimit, LegacyReset, QuotaUnit, RateLimitPolicy, RateLimitStatus,
    retry_after,
};

/// What an answer says of when calls may come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// None for this time.
    Hold(Duration),
    /// As these limits allow. There is at least one.
    Limits(Vec<Limit>),
}

/// A limit on requests, as an answer has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Limit {
    /// Which it is.
    pub(super) id: Key,
    /// How many calls are left.
    pub(super) left: u64,
    /// How many there are in a window.
    pub(super) quota: Option<u64>,
    /// For how long those that are left have to do.
    pub(super) reset: Option<Duration>,
    /// How far apart calls are that use the quota up evenly.
    pub(super) interval: Option<Duration>,
}

impl Said {
    /// Reads what `response` says. `None`: nothing that matters.
    ///
    /// An answer from a cache speaks of a time that is over, and a redirection is to be followed at
    /// once.
    pub(super) fn read<B>(response: &Response<B>, legacy: Option<LegacyReset>) -> Option<Self> {
        let (status, headers) = (response.status(), response.headers());
        if status.is_redirection() || is_cached(headers) {
            return None;
        }
        if let Some(hold) = hold(status, headers) {
            return Some(Self::Hold(hold));
        }
        let mut limits = if headers.contains_key(RATE_LIMIT) {
            limits(headers)
        } else {
            Vec::new()
        };
        if limits.is_empty() {
            limits.extend(older(headers, legacy));
        }
        (!limits.is_empty()).then_some(Self::Limits(limits))
    }
}

fn is_cached(headers: &HeaderMap) -> bool {
    let age = headers.get(AGE).and_then(|age| age.to_str().ok());
    age.is_some_and(|age| age.trim().parse::<u64>().is_ok_and(|age| age > 0))
}

/// Returns how long a refusal asks all to wait.
fn hold(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let refuses = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if refuses.contains(&status) && headers.contains_key(RETRY_AFTER) {
        return retry_after(headers, SystemTime::now);
    }
    let after = pushback(headers)??;
    let refuses = [GrpcCode::ResourceExhausted, GrpcCode::Unavailable];
    refuses.contains(&GrpcCode::find(headers)?).then_some(after)
}

fn limits(headers: &HeaderMap) -> Vec<Limit> {
    let policies = RateLimitPolicy::read(headers);
    let limits = RateLimitStatus::read(headers).into_iter();
    let limits = limits.filter_map(|limit| {
        let policy = limit.policy(&policies);
        if policy.is_some_and(|policy| policy.unit != QuotaUnit::Requests) {
            return None;
        }
        let interval = policy.and_then(interval);
        Some(Limit {
            id: Key::of((limit.name, limit.partition)),
            left: limit.remaining,
            quota: policy.map(|policy| policy.quota),
            reset: limit.reset,
            interval,
        })
    });
    limits.collect()
}

fn interval(policy: &RateLimitPolicy) -> Option<Duration> {
    Some(share(policy.window?, policy.quota))
}

/// Returns an equal part of `time` for each of `calls`.
pub(super) fn share(time: Duration, calls: u64) -> Duration {
    let nanos = time.as_nanos() / u128::from(calls.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn older(headers: &HeaderMap, legacy: Option<LegacyReset>) -> Option<Limit> {
    const NAMES: [HeaderName; 2] = [
        HeaderName::from_static("ratelimit-remaining"),
        HeaderName::from_static("x-ratelimit-remaining"),
    ];

    let [early, custom] = NAMES.map(|name| headers.contains_key(name));
    let limit = if early {
        LegacyRateLimit::read_early(headers)
    } else {
        let meaning = legacy.filter(|_| custom)?;
        LegacyRateLimit::read(headers, meaning, SystemTime::now)
    };
    let limit = limit?;
    Some(Limit {
        id: Key::of(""),
        left: limit.remaining,
        quota: limit.limit,
        reset: limit.reset,
        interval: None,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn said(status: u16, lines: &[(&'static str, &str)]) -> Option<Said> {
        said_to(None, status, lines)
    }

    fn said_to(
        legacy: Option<LegacyReset>,
        status: u16,
        lines: &[(&'static str, &str)],
    ) -> Option<Said> {
        let mut response = Response::builder().status(status).body(()).unwrap();
        for (name, value) in lines {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        Said::read(&response, legacy)
    }

    fn only(said: Option<Said>) -> Limit {
        match said {
            Some(Said::Limits(limits)) if limits.len() == 1 => limits[0],
            said => panic!("it is one limit, and not {said:?}"),
        }
    }

    #[test]
    fn a_retry_after_goes_before_the_limits() {
        let lines = [
            ("retry-after", "20"),
            ("ratelimit", r#""dynamic";r=15;t=40"#),
        ];

        for status in [429, 503] {
            assert_eq!(said(status, &lines), Some(Said::Hold(20 * SECOND)));
        }
        assert_eq!(only(said(200, &lines)).left, 15);
    }

    #[test]
    fn a_redirection_is_not_stalled() {
        let lines = [("ratelimit", r#""p";r=0;t=10"#), ("retry-after", "20")];

        assert_eq!(said(301, &lines), None);
    }

    #[test]
    fn what_comes_from_a_cache_is_of_another_time() {
        let limit = ("ratelimit", r#""p";r=0;t=10"#);

        assert_eq!(said(200, &[limit, ("age", "3")]), None);
        assert_eq!(said(429, &[("retry-after", "9"), ("age", "3")]), None);
        assert_eq!(only(said(200, &[limit, ("age", "0")])).left, 0);
    }

    #[test]
    fn the_rate_is_that_of_the_policy_and_is_not_inferred() {
        let limit = only(said(
            200,
            &[
                ("ratelimit", r#""somepolicy";r=10000;t=10"#),
                ("ratelimit-policy", r#""somepolicy";q=10000;w=1000"#),
            ],
        ));

        assert_eq!(limit.interval, Some(SECOND / 10));
        assert_eq!((limit.left, limit.quota), (10_000, Some(10_000)));
    }

    #[test]
    fn what_is_no_limit_on_requests_is_passed_over() {
        let lines = [
            ("ratelimit", r#""bytes";r=0;t=10, "calls";r=5;t=10"#),
            (
                "ratelimit-policy",
                r#""bytes";q=9;qu="content-bytes", "calls";q=9;w=9"#,
            ),
        ];

        assert_eq!(only(said(200, &lines)).left, 5);
        assert_eq!(said(200, &lines[..0]), None);
    }

    #[test]
    fn partitions_of_one_policy_are_limits_of_their_own() {
        let two = r#""a";r=5;pk=:eA==:, "a";r=0;pk=:eQ==:"#;
        let Some(Said::Limits(limits)) = said(200, &[("ratelimit", two)]) else {
            panic!("they are limits");
        };

        assert_eq!(limits.len(), 2);
        assert_ne!(limits[0].id, limits[1].id);
    }

    #[test]
    fn a_malformed_policy_leaves_the_limit() {
        let limit = only(said(
            200,
            &[
                ("ratelimit", r#""a";r=5;t=10"#),
                ("ratelimit-policy", "a;q=5;w=10"),
            ],
        ));

        assert_eq!((limit.left, limit.quota, limit.interval), (5, None, None));
    }

    #[test]
    fn older_headers_are_read_where_there_are_no_newer_ones() {
        let custom = [("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "30")];
        let early = [
            custom[0],
            ("ratelimit-remaining", "3"),
            ("ratelimit-reset", "60"),
        ];
        let newer = [early[1], ("ratelimit", r#""a";r=1"#)];
        let seconds = Some(LegacyReset::Seconds);

        assert_eq!(said(200, &custom), None);
        assert_eq!(
            only(said_to(seconds, 200, &custom)).reset,
            Some(30 * SECOND)
        );
        assert_eq!(only(said_to(seconds, 200, &early)).left, 3);
        assert_eq!(only(said(200, &early)).reset, Some(60 * SECOND));
        assert_eq!(only(said(200, &newer)).left, 1);
        let malformed = [early[1], ("ratelimit", "a;r=1")];
        assert_eq!(only(said(200, &malformed)).left, 3);
    }

    #[test]
    fn a_pushback_of_a_grpc_refusal_holds_and_others_do_not() {
        let pushed = |code, after| {
            said(
                200,
                &[("grpc-status", code), ("grpc-retry-pushback-ms", after)],
            )
        };

        assert_eq!(pushed("8", "1500"), Some(Said::Hold(SECOND * 3 / 2)));
        assert_eq!(pushed("14", "10"), Some(Said::Hold(SECOND / 100)));
        let unreadable = ["-1", "soon", "+5", "007", "2147483648"].map(|after| ("8", after));
        for (code, after) in [("13", "10"), ("0", "10")].into_iter().chain(unreadable) {
            assert_eq!(pushed(code, after), None, "{code} {after}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_ignored(
            status in 100..600_u16,
            lines in proptest::collection::vec(
                (0..NAMES.len(), "[ -~]{0,40}|[0-9]{1,25}|\"a\";r=[0-9]{1,16};t=[0-9]{1,16}"),
                0..6,
            ),
        ) {
            let mut response = Response::builder().status(status).body(()).unwrap();
            for (name, value) in lines {
                let value = HeaderValue::from_str(&value).unwrap();
                response.headers_mut().append(NAMES[name], value);
            }
            for legacy in [None, Some(LegacyReset::Seconds), Some(LegacyReset::UnixTime)] {
                Said::read(&response, legacy);
            }
        }
    }

    const NAMES: [&str; 12] = [
        "ratelimit",
        "ratelimit-policy",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "retry-after",
        "age",
        "grpc-status",
        "grpc-retry-pushback-ms",
    ];
}
