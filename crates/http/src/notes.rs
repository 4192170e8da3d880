use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use watertight_core::{Note, QuotaStatus, RetriesExhausted, Signs};

use crate::GrpcCode;
use crate::grpc_code::GRPC_PUSHBACK;
use crate::protocol::Protocol;
use crate::rate_limit::Wording;

/// The header of an answer that was retried below as often as may be.
const RETRY_EXHAUSTED: HeaderName = HeaderName::from_static("x-retry-exhausted");
/// What `x-retry-exhausted` says.
const YES: HeaderValue = HeaderValue::from_static("1");
/// A pushback that says never.
const NEVER: HeaderValue = HeaderValue::from_static("-1");

/// Writes notes into the headers of responses, and reads them and other signs there.
///
/// | note or sign | HTTP | gRPC |
/// | --- | --- | --- |
/// | the retries are exhausted | `x-retry-exhausted: 1` | `grpc-retry-pushback-ms: -1` |
/// | how a rate limit stands that has `.announce(true)` | `RateLimit`, `RateLimit-Policy`: [`RateLimitNotes`](crate::RateLimitNotes) | the same |
/// | not the right credentials | status 401 | `grpc-status: 16`, UNAUTHENTICATED, in the head |
///
/// Both forms are read on every answer. An answer is written to as gRPC has it if its content type
/// is `application/grpc`, or one that starts so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HttpNotes;

impl<B> Note<Response<B>, RetriesExhausted> for HttpNotes {
    fn note(&self, response: &mut Response<B>, _: RetriesExhausted) {
        mark_exhausted(response.headers_mut());
    }
}

impl<B> Note<Response<B>, QuotaStatus> for HttpNotes {
    fn note(&self, response: &mut Response<B>, quota: QuotaStatus) {
        Wording::PLAIN.write(response.headers_mut(), &quota);
    }
}

/// Says on an answer that retries are exhausted.
pub(crate) fn mark_exhausted(headers: &mut HeaderMap) {
    match Protocol::of(headers) {
        Protocol::Http => headers.insert(RETRY_EXHAUSTED, YES),
        Protocol::Grpc(_) => headers.insert(GRPC_PUSHBACK, NEVER),
    };
}

impl<B> Signs<Response<B>> for HttpNotes {
    fn is_exhausted(&self, response: &Response<B>) -> bool {
        let says = |name, value| response.headers().get(name) == Some(&value);
        says(RETRY_EXHAUSTED, YES) || says(GRPC_PUSHBACK, NEVER)
    }

    fn is_unauthorized(&self, response: &Response<B>) -> bool {
        response.status() == StatusCode::UNAUTHORIZED || is_unauthenticated(response.headers())
    }
}

fn is_unauthenticated(headers: &HeaderMap) -> bool {
    GrpcCode::find(headers) == Some(GrpcCode::Unauthenticated)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXHAUSTED: RetriesExhausted = RetriesExhausted { attempts: 3 };

    fn response(content_type: &str) -> Response<()> {
        let response = Response::builder().header("content-type", content_type);
        response.body(()).unwrap()
    }

    #[test]
    fn an_answer_is_marked_in_its_own_language() {
        let mut http = response("application/json");
        let mut grpc = response("application/grpc+proto");

        HttpNotes.note(&mut http, EXHAUSTED);
        HttpNotes.note(&mut grpc, EXHAUSTED);

        assert_eq!(http.headers()["x-retry-exhausted"], "1");
        assert_eq!(grpc.headers()["grpc-retry-pushback-ms"], "-1");
        assert!(!grpc.headers().contains_key("x-retry-exhausted"));
        assert!(!http.headers().contains_key("grpc-retry-pushback-ms"));
    }

    #[test]
    fn marks_are_read_where_they_were_written() {
        for content_type in ["text/plain", "application/grpc"] {
            let mut response = response(content_type);
            assert!(!HttpNotes.is_exhausted(&response));

            HttpNotes.note(&mut response, EXHAUSTED);

            assert!(HttpNotes.is_exhausted(&response), "{content_type}");
        }
    }

    #[test]
    fn a_pushback_that_names_a_time_is_no_mark() {
        let mut response = response("application/grpc");
        response
            .headers_mut()
            .insert(GRPC_PUSHBACK, HeaderValue::from_static("100"));

        assert!(!HttpNotes.is_exhausted(&response));
    }

    #[test]
    fn a_mark_takes_the_place_of_a_hint() {
        let mut response = response("application/grpc");
        response
            .headers_mut()
            .insert(GRPC_PUSHBACK, HeaderValue::from_static("100"));

        HttpNotes.note(&mut response, EXHAUSTED);

        let values = response.headers().get_all(GRPC_PUSHBACK);
        assert_eq!(values.iter().collect::<Vec<_>>(), ["-1"]);
    }

    #[test]
    fn unauthorized_is_said_by_the_status_of_either() {
        let with = |status: u16, code: &str| {
            let response = Response::builder()
                .status(status)
                .header("grpc-status", code);
            HttpNotes.is_unauthorized(&response.body(()).unwrap())
        };

        assert!(with(401, ""));
        assert!(with(200, "16"));
        assert!(!with(403, "7"));
        assert!(!with(200, "0"));
    }
}
