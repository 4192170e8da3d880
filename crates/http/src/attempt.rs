use http::header::{HeaderMap, HeaderName, HeaderValue};
use watertight_core::Context;

use crate::protocol::Protocol;

/// The header that says which attempt a request is, where 0, or none, is the first.
const RETRY_ATTEMPT: HeaderName = HeaderName::from_static("x-retry-attempt");
/// The same in gRPC.
const GRPC_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// Reads which attempt a request is. What is not a number is ignored, as if the header were not
/// there; of both headers the larger counts.
pub(crate) fn attempt(headers: &HeaderMap) -> u32 {
    let read = |name| headers.get(name).and_then(number).unwrap_or(0);
    read(RETRY_ATTEMPT).max(read(GRPC_ATTEMPTS))
}

/// Writes which attempt a request is, in the header of its protocol.
pub(crate) fn set_attempt(headers: &mut HeaderMap, attempt: u32) {
    let name = match Protocol::of(headers) {
        Protocol::Http => RETRY_ATTEMPT,
        Protocol::Grpc(_) => GRPC_ATTEMPTS,
    };
    headers.insert(name, attempt.into());
}

/// Writes which attempt the request was that this one is made for, if that was a retry: then it is
/// one too, and whoever gets it is not to begin anew.
pub(crate) fn carry_on(headers: &mut HeaderMap) {
    let upstream = Context::with(|context| context.map_or(0, |it| it.upstream_attempt));
    if upstream > attempt(headers) {
        set_attempt(headers, upstream);
    }
}

/// Reads `1*DIGIT`, which is less than what `str::parse` takes.
fn number(value: &HeaderValue) -> Option<u32> {
    let text = value.to_str().ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_first_attempt_says_nothing() {
        assert_eq!(attempt(&HeaderMap::new()), 0);
    }

    #[test]
    fn the_larger_of_the_two_headers_counts() {
        assert_eq!(attempt(&headers(&[(RETRY_ATTEMPT, "2")])), 2);
        assert_eq!(attempt(&headers(&[(GRPC_ATTEMPTS, "3")])), 3);
        assert_eq!(
            attempt(&headers(&[(RETRY_ATTEMPT, "2"), (GRPC_ATTEMPTS, "1")])),
            2
        );
    }

    #[test]
    fn what_is_not_a_number_is_ignored() {
        for value in ["", "-1", "+1", "1.0", "one", "4294967296", "1 1", "0x1"] {
            assert_eq!(attempt(&headers(&[(RETRY_ATTEMPT, value)])), 0, "{value:?}");
        }
        let opaque = HeaderValue::from_bytes(b"\xff").unwrap();
        assert_eq!(number(&opaque), None);
    }

    #[test]
    fn a_request_for_the_sake_of_a_retry_is_one() {
        let retried = |attempt| Context {
            upstream_attempt: attempt,
            ..Context::default()
        };
        let carried = |upstream, own: &[(HeaderName, &str)]| {
            let mut headers = headers(own);
            retried(upstream).enter(|| carry_on(&mut headers));
            attempt(&headers)
        };

        assert_eq!(carried(0, &[]), 0);
        assert_eq!(carried(2, &[]), 2);
        assert_eq!(carried(1, &[(RETRY_ATTEMPT, "3")]), 3);
    }

    #[test]
    fn the_header_is_that_of_the_protocol() {
        let mut http = HeaderMap::new();
        let mut grpc = headers(&[(CONTENT_TYPE, "application/grpc+proto")]);

        set_attempt(&mut http, 1);
        set_attempt(&mut grpc, 2);

        assert_eq!(http["x-retry-attempt"], "1");
        assert_eq!(grpc["grpc-previous-rpc-attempts"], "2");
        assert!(!grpc.contains_key("x-retry-attempt"));
    }
}
