//! Reads a message by all that reads headers.
//!
//! A message is a status, of which the last digits count, and lines of the form `name: value`. What
//! is none is passed over.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tower::{Layer, Service, service_fn};
use watertight_core::{Classify, KeyBy, ReadDeadline, Signs};
use watertight_http::{
    ByHost, GrpcClassifier, HttpClassifier, HttpDeadlines, HttpNotes, LegacyRateLimit, LegacyReset,
    ObeyServerLayer, RateLimitPolicy, RateLimitStatus, retry_after,
};
use watertight_metrics::Registry;

/// Reads `message`.
pub(crate) fn read(message: &[u8]) {
    let mut lines = message.split(|byte| *byte == b'\n');
    let status = lines.next().unwrap_or_default();
    let status = status
        .iter()
        .fold(0, |n, digit| (10 * n + u16::from(digit % 10)) % 1000);
    let headers: HeaderMap = lines.filter_map(line).collect();

    read_request(&headers);
    read_answer(status.max(100), &headers);
}

fn line(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let value = line[colon + 1..].trim_ascii();
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    Some((name, HeaderValue::from_bytes(value).ok()?))
}

fn read_request(headers: &HeaderMap) {
    let mut request = Request::new(());
    *request.headers_mut() = headers.clone();
    let _ = ByHost.key(&request);
    let _ = HttpDeadlines.time_left(&request);
    let _ = HttpDeadlines.hops(&request);
}

fn read_answer(status: u16, headers: &HeaderMap) {
    let _ = RateLimitPolicy::read(headers);
    let _ = RateLimitStatus::read(headers);
    let _ = LegacyRateLimit::read_early(headers);
    let _ = retry_after(headers, SystemTime::now);
    for reset in [LegacyReset::Seconds, LegacyReset::UnixTime] {
        let _ = LegacyRateLimit::read(headers, reset, SystemTime::now);
        obey(reset, status, headers);
    }
    let answer = answer(status, headers);
    let _ = HttpClassifier::new().classify(Ok(&answer));
    let _ = GrpcClassifier::new().classify(Ok(&answer));
    let _ = HttpNotes.is_exhausted(&answer);
    let _ = HttpNotes.is_unauthorized(&answer);
}

/// Makes three calls, of which none waits.
fn obey(reset: LegacyReset, status: u16, headers: &HeaderMap) {
    let layer = ObeyServerLayer::builder("fuzz")
        .legacy(reset)
        .max_wait(Duration::ZERO)
        .max_waiting(0)
        .registry(&Registry::new())
        .build();
    let inner = |_: Request<()>| ready(Ok::<_, Infallible>(answer(status, headers)));
    let mut client = layer.layer(service_fn(inner));
    for _ in 0..3 {
        let call = pin!(client.call(Request::new(())));
        let polled = call.poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready(), "a call neither waits nor hangs");
    }
}

fn answer(status: u16, headers: &HeaderMap) -> Response<()> {
    let mut answer = Response::builder()
        .status(status)
        .body(())
        .unwrap_or_default();
    *answer.headers_mut() = headers.clone();
    answer
}
