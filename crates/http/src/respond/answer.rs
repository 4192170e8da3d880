use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use watertight_core::{BoxError, DynError, QuotaStatus, Reason, Rejection, RetriesExhausted};

use crate::GrpcCode;
use crate::grpc_code::{GRPC_MESSAGE, GRPC_PUSHBACK, GRPC_STATUS};
use crate::notes::mark_exhausted;
use crate::protocol::Protocol;
use crate::rate_limit::Wording;

/// The error that an answer stands for, in the [extensions](Response::extensions) of the response:
/// for logs, never for clients.
#[derive(Clone)]
pub struct Cause(Arc<DynError>);

impl Cause {
    /// Returns the error.
    #[must_use]
    pub fn error(&self) -> &DynError {
        &*self.0
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cause").field(&self.0).finish()
    }
}

/// How much an answer says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    pub(super) gateway: bool,
    /// Of a rate limit, and whether other layers are named as well.
    pub(super) wording: Wording,
}

/// Makes the answer that stands for `error`.
pub(super) fn answer(error: BoxError, protocol: Protocol, style: Style) -> Response<Full<Bytes>> {
    let says = Says::of(&*error, style);
    let mut response = match protocol {
        Protocol::Http => says.over_http(),
        Protocol::Grpc(content_type) => says.over_grpc(content_type),
    };
    if let Some(quota) = &says.quota {
        let headers = response.headers_mut();
        style
            .wording
            .write_refusal(headers, quota, says.retry_after);
    }
    if RetriesExhausted::is_marked(&*error) {
        mark_exhausted(response.headers_mut());
    }
    response.extensions_mut().insert(Cause(error.into()));
    response
}

/// What a client is told.
struct Says {
    status: StatusCode,
    code: GrpcCode,
    reason: Option<Reason>,
    name: Option<String>,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// How the limit stands that refused.
    quota: Option<QuotaStatus>,
    /// What its policy is called.
    policy: Option<Cow<'static, str>>,
}

impl Says {
    fn of(error: &DynError, style: Style) -> Self {
        match Rejection::find(error) {
            Some(rejection) => Self::of_rejection(rejection, style),
            None if style.gateway => Self::of_other(
                StatusCode::BAD_GATEWAY,
                GrpcCode::Unavailable,
                "a service behind this one failed",
            ),
            None => Self::of_other(
                StatusCode::INTERNAL_SERVER_ERROR,
                GrpcCode::Internal,
                "the service failed",
            ),
        }
    }

    fn of_rejection(rejection: &Rejection, style: Style) -> Self {
        let (reason, quota) = (rejection.reason(), rejection.quota());
        let name = style.wording.names.then(|| rejection.name().to_owned());
        Self {
            status: StatusCode::from_u16(reason.http_status())
                .unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            code: GrpcCode::from_i32(reason.grpc_code()),
            reason: Some(reason),
            detail: match &name {
                Some(name) => format!("{name}: {reason}").into(),
                None => reason.to_string().into(),
            },
            name,
            retry_after: rejection.retry_after(),
            policy: quota.map(|quota| style.wording.name(quota)),
            quota: quota.copied(),
        }
    }

    fn of_other(status: StatusCode, code: GrpcCode, detail: &'static str) -> Self {
        Self {
            status,
            code,
            reason: None,
            name: None,
            detail: detail.into(),
            retry_after: None,
            quota: None,
            policy: None,
        }
    }

    fn over_http(&self) -> Response<Full<Bytes>> {
        let problem = Problem {
            kind: self.kind(),
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            reason: self.reason.map(Reason::as_str),
            retry_after_ms: self.retry_after.map(millis),
            name: self.name.as_deref(),
            violated_policies: self.violated_policies(),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();

        let mut response = Response::new(Full::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds(after).into());
        }
        response
    }

    fn violated_policies(&self) -> Option<[&str; 1]> {
        let policy = self.policy.as_deref()?;
        self.is_quota_exceeded().then_some([policy])
    }

    /// Whether it is the limit that refused, and no deadline within it.
    fn is_quota_exceeded(&self) -> bool {
        self.quota.is_some() && self.reason == Some(Reason::RateLimited)
    }

    /// Returns the type of the problem.
    fn kind(&self) -> &'static str {
        if self.is_quota_exceeded() {
            return QUOTA_EXCEEDED;
        }
        "about:blank"
    }

    fn over_grpc(&self, content_type: &'static str) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(GRPC_STATUS, self.code.as_i32().into());
        // What is percent-encoded is always a valid header.
        if let Ok(message) = HeaderValue::try_from(percent_encoded(&self.detail)) {
            headers.insert(GRPC_MESSAGE, message);
        }
        if let Some(after) = self.retry_after {
            headers.insert(GRPC_PUSHBACK, pushback(after).into());
        }
        response
    }
}

/// The type of problem that draft-ietf-httpapi-ratelimit-headers-11 has for a refusal.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// A problem of RFC 9457, and members of ours. There is nothing to read about most types of problem
/// that the status does not say, which is what `about:blank` means.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    violated_policies: Option<[&'a str; 1]>,
}

/// Whole seconds, rounded up, and never 0: it is not time yet.
fn seconds(after: Duration) -> u64 {
    let more = u64::from(after.subsec_nanos() > 0);
    after.as_secs().saturating_add(more).max(1)
}

/// Whole milliseconds, rounded up, and never 0.
fn millis(after: Duration) -> u64 {
    let millis = after.as_nanos().div_ceil(1_000_000).max(1);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// Milliseconds that a gRPC client can read: it takes 32 bits with a sign.
fn pushback(after: Duration) -> i32 {
    i32::try_from(millis(after)).unwrap_or(i32::MAX)
}

/// Encodes a `grpc-message`: the printable characters of ASCII but `%` stand for themselves.
fn percent_encoded(text: &str) -> String {
    const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hints_are_rounded_up_and_never_nothing() {
        let hints = [
            (Duration::ZERO, 1, 1),
            (Duration::from_nanos(1), 1, 1),
            (Duration::from_millis(1000), 1, 1000),
            (Duration::from_micros(1_000_001), 2, 1001),
            (Duration::from_millis(2500), 3, 2500),
        ];

        for (after, in_seconds, in_millis) in hints {
            assert_eq!(seconds(after), in_seconds, "{after:?}");
            assert_eq!(millis(after), in_millis, "{after:?}");
        }
    }

    #[test]
    fn hints_that_are_too_long_saturate() {
        assert_eq!(seconds(Duration::MAX), u64::MAX);
        assert_eq!(millis(Duration::MAX), u64::MAX);
        assert_eq!(pushback(Duration::MAX), i32::MAX);
    }

    #[test]
    fn a_message_is_encoded_as_grpc_has_it() {
        assert_eq!(
            percent_encoded("50% of ~ \"é\"\n"),
            "50%25 of ~ \"%C3%A9\"%0A"
        );
    }

    proptest! {
        #[test]
        fn every_message_is_a_header(text: String) {
            prop_assert!(HeaderValue::try_from(percent_encoded(&text)).is_ok());
        }
    }
}
