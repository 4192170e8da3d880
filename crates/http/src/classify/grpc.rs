use std::error::Error;
use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, Response};
use watertight_core::{Classify, DynError, End, Failure, FailureKind, Outcome};

use super::transport::{IsConnect, classify_body_error, classify_error};
use super::verdict::Verdict;
use crate::grpc_code::{GrpcCode, pushback};
use crate::retry_after;

/// Says what gRPC answers mean. Set by `.grpc()` on a builder, together with
/// [`AtBodyEnd`](crate::AtBodyEnd).
///
/// | `grpc-status` | outcome | retryable |
/// | --- | --- | --- |
/// | UNAVAILABLE | `Failure(Overloaded)` | yes |
/// | DEADLINE_EXCEEDED | `Failure(Timeout)` | yes |
/// | RESOURCE_EXHAUSTED | `Failure(RateLimited)`, weight 0.25 | yes |
/// | UNKNOWN, INTERNAL, DATA_LOSS | `Failure(Server)` | no |
/// | CANCELLED | `Ignored`: the caller's doing | |
/// | OK and all others, which are about the request | `Success` | |
/// | none at the end of the body | `Failure(Server)` | no |
/// | none at the end of a gRPC-Web body, whose trailers are data | `Ignored` | |
/// | none, and the body is dropped | `Ignored` | |
/// | none, and the HTTP status is not 200 | as [`GrpcCode::from_http`] maps it | |
///
/// Errors and bodies that break off are as with [`HttpClassifier`](crate::HttpClassifier).
///
/// The status of an answer without messages is in its headers and decides at once. Any other is in
/// the trailers, and until they come the answer is `Ignored`: a layer that ends its calls
/// [at the response](watertight_core::AtResponse) learns nothing from it, and never takes it for
/// a success.
///
/// A failure obeys `grpc-retry-pushback-ms` as gRPC's proposal A6 has it: it says when to come
/// again, and one that is negative or cannot be read says never. Without it the failure carries
/// the `Retry-After` of whatever HTTP proxy answered.
///
/// ```
/// use watertight_http::{GrpcClassifier, GrpcCode};
///
/// let strict = GrpcClassifier::new()
///     .failure([GrpcCode::Unimplemented])
///     .retryable([GrpcCode::Aborted])
///     .ignore([GrpcCode::Unauthenticated]);
/// ```
///
/// A code that is made a failure and is not in the table as one is a [`FailureKind::Client`]
/// one.
#[derive(Clone, Copy)]
pub struct GrpcClassifier {
    verdicts: [Verdict; GrpcCode::COUNT],
    is_connect: IsConnect,
}

impl GrpcClassifier {
    /// Creates the classifier with the meanings in the table above.
    #[must_use]
    pub const fn new() -> Self {
        let mut verdicts = [Verdict::Success; GrpcCode::COUNT];
        verdicts[GrpcCode::Cancelled as usize] = Verdict::Ignored;
        verdicts[GrpcCode::Unknown as usize] = Verdict::Permanent;
        verdicts[GrpcCode::DeadlineExceeded as usize] = Verdict::Retryable;
        verdicts[GrpcCode::ResourceExhausted as usize] = Verdict::Retryable;
        verdicts[GrpcCode::Internal as usize] = Verdict::Permanent;
        verdicts[GrpcCode::Unavailable as usize] = Verdict::Retryable;
        verdicts[GrpcCode::DataLoss as usize] = Verdict::Permanent;
        Self {
            verdicts,
            is_connect: |_| false,
        }
    }

    /// Makes the `codes` successes.
    #[must_use]
    pub fn success(self, codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        self.with(codes, |_| Verdict::Success)
    }

    /// Makes the `codes` failures, which are retryable if they are UNAVAILABLE, DEADLINE_EXCEEDED
    /// or RESOURCE_EXHAUSTED.
    #[must_use]
    pub fn failure(self, codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        self.with(codes, |code| match code {
            GrpcCode::Unavailable | GrpcCode::DeadlineExceeded | GrpcCode::ResourceExhausted => {
                Verdict::Retryable
            }
            _ => Verdict::Permanent,
        })
    }

    /// Makes the `codes` failures that are retryable.
    #[must_use]
    pub fn retryable(self, codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        self.with(codes, |_| Verdict::Retryable)
    }

    /// Makes the `codes` failures that are not retryable.
    #[must_use]
    pub fn permanent(self, codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        self.with(codes, |_| Verdict::Permanent)
    }

    /// Makes the `codes` say nothing.
    #[must_use]
    pub fn ignore(self, codes: impl IntoIterator<Item = GrpcCode>) -> Self {
        self.with(codes, |_| Verdict::Ignored)
    }

    /// Takes the errors that `is_connect` picks as [`FailureKind::Connect`] too: see
    /// [`HttpClassifier::connect_error`](crate::HttpClassifier::connect_error).
    #[must_use]
    pub fn connect_error(mut self, is_connect: fn(&(dyn Error + 'static)) -> bool) -> Self {
        self.is_connect = is_connect;
        self
    }

    fn with(
        mut self,
        codes: impl IntoIterator<Item = GrpcCode>,
        verdict: impl Fn(GrpcCode) -> Verdict,
    ) -> Self {
        for code in codes {
            self.verdicts[code as usize] = verdict(code);
        }
        self
    }

    /// Classifies a `code` that came with these headers or trailers.
    fn outcome(&self, code: GrpcCode, headers: &HeaderMap) -> Outcome {
        match self.verdicts[code as usize].outcome(kind(code)) {
            Outcome::Failure(failure) => hinted(failure, headers).into(),
            outcome => outcome,
        }
    }
}

impl Default for GrpcClassifier {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for GrpcClassifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcClassifier").finish_non_exhaustive()
    }
}

impl<B> Classify<Response<B>> for GrpcClassifier {
    fn classify(&self, result: Result<&Response<B>, &DynError>) -> Outcome {
        let response = match result {
            Ok(response) => response,
            Err(error) => return classify_error(error, self.is_connect),
        };
        let headers = response.headers();
        GrpcCode::find(headers)
            .or_else(|| GrpcCode::from_http(response.status()))
            .map_or(Outcome::Ignored, |code| self.outcome(code, headers))
    }

    fn classify_end(&self, head: Outcome, end: End<'_>) -> Outcome {
        match end {
            End::Complete(trailers) => {
                let status = trailers.and_then(|trailers| {
                    GrpcCode::find(trailers).map(|code| self.outcome(code, trailers))
                });
                match (status, head) {
                    (Some(status), _) => status,
                    (None, Outcome::Ignored) => missing(),
                    (None, decided) => decided,
                }
            }
            End::Error(error) => classify_body_error(head, error),
            End::Dropped => head,
        }
    }
}

const fn kind(code: GrpcCode) -> FailureKind {
    match code {
        GrpcCode::DeadlineExceeded => FailureKind::Timeout,
        GrpcCode::ResourceExhausted => FailureKind::RateLimited,
        GrpcCode::Unavailable => FailureKind::Overloaded,
        GrpcCode::Unknown | GrpcCode::Internal | GrpcCode::DataLoss => FailureKind::Server,
        _ => FailureKind::Client,
    }
}

/// The stream ended as if all were well, but nobody said so.
fn missing() -> Outcome {
    Failure::new(FailureKind::Server).retryable(false).into()
}

fn hinted(failure: Failure, headers: &HeaderMap) -> Failure {
    match pushback(headers) {
        Some(Some(after)) => failure.pushback(after),
        Some(None) => failure.retryable(false),
        None => failure.retry_after(retry_after(headers, SystemTime::now)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use http::header::RETRY_AFTER;
    use proptest::prelude::*;
    use watertight_core::BoxError;

    use super::*;
    use crate::grpc_code::GRPC_PUSHBACK;
    use crate::grpc_code::GRPC_STATUS;
    use FailureKind::{Client, Overloaded, RateLimited, Server, Timeout};

    /// All that makes the classifier look at an answer: its HTTP status, and headers or trailers.
    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    fn head(classifier: GrpcClassifier, status: u16, pairs: &[(&'static str, &str)]) -> Outcome {
        let mut response = Response::builder().status(status).body(()).unwrap();
        *response.headers_mut() = headers(pairs);
        classifier.classify(Ok(&response))
    }

    fn in_headers(status: &str) -> Outcome {
        head(GrpcClassifier::new(), 200, &[("grpc-status", status)])
    }

    fn end(head: Outcome, end: End<'_>) -> Outcome {
        Classify::<Response<()>>::classify_end(&GrpcClassifier::new(), head, end)
    }

    fn in_trailers(pairs: &[(&'static str, &str)]) -> Outcome {
        end(Outcome::Ignored, End::Complete(Some(&headers(pairs))))
    }

    fn failure(kind: FailureKind, retryable: bool) -> Outcome {
        Failure::new(kind).retryable(retryable).into()
    }

    /// What the codes 0 to 16 mean, in their order.
    fn meanings() -> [Outcome; 17] {
        let success = Outcome::Success;
        [
            success,
            Outcome::Ignored,
            failure(Server, false),
            success,
            failure(Timeout, true),
            success,
            success,
            success,
            failure(RateLimited, true),
            success,
            success,
            success,
            success,
            failure(Server, false),
            failure(Overloaded, true),
            failure(Server, false),
            success,
        ]
    }

    #[test]
    fn the_codes_mean_what_the_table_says_wherever_they_are() {
        for (code, meaning) in meanings().into_iter().enumerate() {
            let code = code.to_string();
            assert_eq!(in_headers(&code), meaning, "{code}");
            assert_eq!(in_trailers(&[("grpc-status", &code)]), meaning, "{code}");
        }
    }

    #[test]
    fn a_code_that_nobody_knows_is_a_failure() {
        for code in ["17", "-1", "ok", ""] {
            assert_eq!(in_headers(code), failure(Server, false), "{code:?}");
        }
    }

    #[test]
    fn nothing_is_known_before_the_status_comes() {
        assert_eq!(head(GrpcClassifier::new(), 200, &[]), Outcome::Ignored);
    }

    #[test]
    fn an_end_without_a_status_is_a_failure() {
        assert_eq!(
            end(Outcome::Ignored, End::Complete(None)),
            failure(Server, false)
        );
        assert_eq!(in_trailers(&[("x-other", "1")]), failure(Server, false));
    }

    #[test]
    fn a_stream_dropped_before_its_status_says_nothing() {
        assert_eq!(end(Outcome::Ignored, End::Dropped), Outcome::Ignored);
    }

    #[test]
    fn a_status_in_the_headers_stands() {
        for head in [Outcome::Success, failure(Overloaded, true)] {
            assert_eq!(end(head, End::Complete(None)), head);
            assert_eq!(end(head, End::Dropped), head);
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_a_failure() {
        let reset: BoxError = "reset".into();

        assert_eq!(
            end(Outcome::Ignored, End::Error(&*reset)),
            Outcome::failure(Server)
        );
    }

    #[test]
    fn without_a_status_that_of_http_counts() {
        let table = [
            (400, failure(Server, false)),
            (401, Outcome::Success),
            (404, Outcome::Success),
            (429, failure(Overloaded, true)),
            (500, failure(Server, false)),
            (503, failure(Overloaded, true)),
        ];

        for (status, meaning) in table {
            assert_eq!(
                head(GrpcClassifier::new(), status, &[]),
                meaning,
                "{status}"
            );
        }
        let both = head(GrpcClassifier::new(), 503, &[("grpc-status", "0")]);
        assert_eq!(both, Outcome::Success);
    }

    #[test]
    fn each_code_can_mean_something_else() {
        let classifier = GrpcClassifier::new()
            .failure([GrpcCode::NotFound])
            .retryable([GrpcCode::Aborted])
            .permanent([GrpcCode::Unavailable])
            .ignore([GrpcCode::Unauthenticated])
            .success([GrpcCode::Unknown]);
        let answer = |code: &str| head(classifier, 200, &[("grpc-status", code)]);

        assert_eq!(answer("5"), failure(Client, false));
        assert_eq!(answer("10"), failure(Client, true));
        assert_eq!(answer("14"), failure(Overloaded, false));
        assert_eq!(answer("16"), Outcome::Ignored);
        assert_eq!(answer("2"), Outcome::Success);
    }

    #[test]
    fn a_pushback_says_when_to_come_again() {
        for (value, millis) in [("0", 0), ("1000", 1000), ("2147483647", 2_147_483_647)] {
            let pairs = [("grpc-status", "14"), ("grpc-retry-pushback-ms", value)];
            let expected = Failure::new(Overloaded)
                .pushback(Duration::from_millis(millis))
                .into();
            assert_eq!(in_trailers(&pairs), expected, "{value}");
            assert_eq!(
                head(GrpcClassifier::new(), 200, &pairs),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn a_pushback_that_is_negative_or_unreadable_says_never() {
        for value in [
            "-1",
            "abc",
            "",
            "1.5",
            "2147483648",
            "007",
            "00",
            "+5",
            " 5",
        ] {
            let pairs = [("grpc-status", "14"), ("grpc-retry-pushback-ms", value)];
            assert_eq!(in_trailers(&pairs), failure(Overloaded, false), "{value:?}");
        }
    }

    #[test]
    fn a_proxys_retry_after_serves_without_a_pushback() {
        let after = |pairs| head(GrpcClassifier::new(), 503, pairs);
        let hint = |outcome: Outcome| outcome.as_failure().unwrap().retry_after;
        assert_eq!(RETRY_AFTER, "retry-after");

        let alone = after(&[("retry-after", "9")]);
        let both = after(&[("retry-after", "9"), ("grpc-retry-pushback-ms", "5")]);

        assert_eq!(hint(alone), Some(Duration::from_secs(9)));
        assert_eq!(hint(both), Some(Duration::from_millis(5)));
    }

    proptest! {
        #[test]
        fn any_trailers_mean_something(
            status in proptest::collection::vec(any::<u8>(), 0..4),
            after in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut trailers = HeaderMap::new();
            if let (Ok(status), Ok(after)) = (HeaderValue::from_bytes(&status), HeaderValue::from_bytes(&after)) {
                trailers.insert(GRPC_STATUS, status);
                trailers.insert(GRPC_PUSHBACK, after);
            }
            end(Outcome::Ignored, End::Complete(Some(&trailers)));
        }
    }
}
