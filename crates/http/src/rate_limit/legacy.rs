use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use watertight_core::QuotaStatus;

use super::wording::seconds;

/// The headers that many services have, and no document describes.
const CUSTOM: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit"),
    remaining: HeaderName::from_static("x-ratelimit-remaining"),
    reset: HeaderName::from_static("x-ratelimit-reset"),
};

/// The headers of the drafts up to draft-ietf-httpapi-ratelimit-headers-06.
const EARLY: Names = Names {
    limit: HeaderName::from_static("ratelimit-limit"),
    remaining: HeaderName::from_static("ratelimit-remaining"),
    reset: HeaderName::from_static("ratelimit-reset"),
};

struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

/// What the number in `X-RateLimit-Reset` is. Services differ, and nothing in the number tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum LegacyReset {
    /// The seconds until then.
    Seconds,
    /// A time of the wall clock, in seconds since 1970.
    UnixTime,
}

/// How the limit of a server stands for a client, as headers have it that are older than
/// [`RateLimitStatus`](super::RateLimitStatus).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LegacyRateLimit {
    /// How much there is in all.
    pub limit: Option<u64>,
    /// How much is left.
    pub remaining: u64,
    /// For how long that has to do.
    pub reset: Option<Duration>,
}

impl LegacyRateLimit {
    /// Reads `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, which is what
    /// `reset` says. `now` gives the wall clock, where that is needed.
    ///
    /// A number that is malformed is not there, and without the second there is no limit.
    pub fn read(
        headers: &HeaderMap,
        reset: LegacyReset,
        now: impl FnOnce() -> SystemTime,
    ) -> Option<Self> {
        let mut limit = Self::by(&CUSTOM, headers)?;
        if reset == LegacyReset::UnixTime {
            limit.reset = limit.reset.map(|at| {
                let now = now().duration_since(UNIX_EPOCH).unwrap_or_default();
                at.saturating_sub(now)
            });
        }
        Some(limit)
    }

    /// Reads `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`, which the drafts up to
    /// draft-ietf-httpapi-ratelimit-headers-06 have. The last is in seconds until then.
    #[must_use]
    pub fn read_early(headers: &HeaderMap) -> Option<Self> {
        Self::by(&EARLY, headers)
    }

    fn by(names: &Names, headers: &HeaderMap) -> Option<Self> {
        Some(Self {
            limit: number(headers, &names.limit),
            remaining: number(headers, &names.remaining)?,
            reset: number(headers, &names.reset).map(Duration::from_secs),
        })
    }
}

/// Writes `X-RateLimit-*`, unless those of a limit with less left are there.
pub(super) fn write_legacy(headers: &mut HeaderMap, quota: &QuotaStatus, reset: LegacyReset) {
    let before = number(headers, &CUSTOM.remaining);
    if before.is_some_and(|before| before <= quota.remaining) {
        return;
    }
    let reset = match reset {
        LegacyReset::Seconds => seconds(quota.reset),
        LegacyReset::UnixTime => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            seconds(now.unwrap_or_default().saturating_add(quota.reset))
        }
    };
    headers.insert(CUSTOM.limit, HeaderValue::from(quota.limit));
    headers.insert(CUSTOM.remaining, HeaderValue::from(quota.remaining));
    headers.insert(CUSTOM.reset, HeaderValue::from(reset));
}

/// Reads `1*DIGIT`, up to a comma or a semicolon: an early `RateLimit-Limit` goes on with policies.
fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    let text = text.split([',', ';']).next()?.trim_matches([' ', '\t']);
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use watertight_core::Name;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn custom(remaining: &str, reset: &str, meaning: LegacyReset) -> Option<LegacyRateLimit> {
        let headers = headers(&[
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", remaining),
            ("x-ratelimit-reset", reset),
        ]);
        LegacyRateLimit::read(&headers, meaning, || UNIX_EPOCH + NOW)
    }

    #[test]
    fn what_a_reset_means_is_never_guessed() {
        let reset = |text, meaning| custom("5", text, meaning).unwrap().reset;

        assert_eq!(
            reset("30", LegacyReset::Seconds),
            Some(Duration::from_secs(30))
        );
        assert_eq!(reset("30", LegacyReset::UnixTime), Some(Duration::ZERO));
        assert_eq!(
            reset("1800000030", LegacyReset::UnixTime),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            reset("1800000030", LegacyReset::Seconds),
            Some(NOW + Duration::from_secs(30))
        );
    }

    #[test]
    fn a_malformed_number_is_not_there() {
        for text in ["", "-1", "1.5", "soon", "0x10", "+1", "１"] {
            assert_eq!(custom(text, "30", LegacyReset::Seconds), None, "{text}");
            let limit = custom("5", text, LegacyReset::UnixTime).unwrap();
            assert_eq!((limit.remaining, limit.reset), (5, None), "{text}");
        }
    }

    #[test]
    fn the_early_drafts_have_policies_behind_the_limit() {
        let headers = headers(&[
            ("ratelimit-limit", "100, 100;w=10"),
            ("ratelimit-remaining", " 7 "),
            ("ratelimit-reset", "99999999999999999999"),
        ]);

        let limit = LegacyRateLimit::read_early(&headers).unwrap();

        assert_eq!((limit.limit, limit.remaining), (Some(100), 7));
        assert_eq!(limit.reset, Some(Duration::from_secs(u64::MAX)));
        assert_eq!(
            LegacyRateLimit::read(&headers, LegacyReset::Seconds, SystemTime::now),
            None
        );
    }

    #[test]
    fn the_limit_with_the_least_left_is_written() {
        let quota = |remaining| QuotaStatus {
            policy: Name::new("api"),
            limit: 10 * remaining,
            remaining,
            reset: Duration::from_millis(1500),
            window: Duration::from_secs(60),
        };
        let mut headers = HeaderMap::new();

        for remaining in [7, 3, 5] {
            write_legacy(&mut headers, &quota(remaining), LegacyReset::Seconds);
        }

        let read = LegacyRateLimit::read(&headers, LegacyReset::Seconds, SystemTime::now);
        let read = read.unwrap();
        assert_eq!((read.limit, read.remaining), (Some(30), 3));
        assert_eq!(read.reset, Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_time_of_the_wall_clock_is_read_as_it_was_written() {
        let quota = QuotaStatus {
            policy: Name::new("api"),
            limit: 10,
            remaining: 0,
            reset: Duration::from_secs(100_000),
            window: Duration::from_secs(100_000),
        };
        let mut headers = HeaderMap::new();

        write_legacy(&mut headers, &quota, LegacyReset::UnixTime);

        let written = number(&headers, &CUSTOM.reset).unwrap();
        let before = UNIX_EPOCH + Duration::from_secs(written - 100_000);
        let read = LegacyRateLimit::read(&headers, LegacyReset::UnixTime, || before);
        assert_eq!(read.unwrap().reset, Some(quota.reset));
    }
}
