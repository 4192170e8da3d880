use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;
use watertight_core::{
    Context, DynError, Name, ReadDeadline, SaysExceeded, ScopeResponse, WriteDeadline, causes,
};

use super::grpc_timeout;
use crate::grpc_code::GrpcCode;
use crate::protocol::Protocol;
use crate::{ScopedBody, TimedBody};

/// The header in which gRPC says how long a caller waits.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The header in which others say so, in milliseconds from now on.
const DEADLINE_MS: HeaderName = HeaderName::from_static("x-deadline-ms");
/// The header that names the services that a request has come through.
const DEADLINE_CHAIN: HeaderName = HeaderName::from_static("x-deadline-chain");

/// Reads in the headers of requests how long their callers wait, and writes it there.
///
/// | header | value |
/// | --- | --- |
/// | `grpc-timeout` | at most eight digits and a unit: `H`, `M`, `S`, `m`, `u`, `n` |
/// | `x-deadline-ms` | the milliseconds that are left |
/// | `x-deadline-chain` | the [`Hops`](watertight_core::Hops): `gateway=230, orders=40` |
///
/// All of them count the time that is left when the request is sent, so that clocks need not
/// agree; the time on the way is what nobody counts. Both headers of deadlines are read on any
/// request, and the earlier holds. What is malformed is ignored, as if it were not there, and so is
/// all but the first of several; zero is a deadline that has passed. A request is written to as
/// gRPC has it if its content type is `application/grpc`, or one that starts so. A value that is
/// there already, such as that of `tonic::Request::set_timeout`, stays if it is less.
///
/// The body of a response is made in the [`Context`] of its call, and cut off at the deadline:
/// [`TimedBody`] says how.
///
/// These answers say that the time of their call is over:
///
/// | answer | from |
/// | --- | --- |
/// | the status 504 | HTTP |
/// | DEADLINE_EXCEEDED in the headers | gRPC |
/// | CANCELLED in the headers | gRPC: the timer of tonic's server, and of others |
/// | the error "Timeout expired" | the timer of a tonic `Channel`, which reads `grpc-timeout` too |
///
/// A status in trailers is not looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HttpDeadlines;

impl<B> ReadDeadline<Request<B>> for HttpDeadlines {
    fn time_left(&self, request: &Request<B>) -> Option<Duration> {
        let headers = request.headers();
        match (grpc_timeout(headers), milliseconds(headers)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn hops<'a>(&self, request: &'a Request<B>) -> Option<&'a str> {
        request.headers().get(DEADLINE_CHAIN)?.to_str().ok()
    }

    fn forget_time_left(&self, request: &mut Request<B>) {
        request.headers_mut().remove(GRPC_TIMEOUT);
        request.headers_mut().remove(DEADLINE_MS);
    }
}

impl<B> WriteDeadline<Request<B>> for HttpDeadlines {
    fn set_time_left(&self, request: &mut Request<B>, left: Duration) -> bool {
        let told = Told::on(request.headers(), left);
        let (name, value) = match told {
            Told::Grpc(left) => (GRPC_TIMEOUT, grpc_timeout::write(left).try_into()),
            Told::Milliseconds(whole) => (DEADLINE_MS, Ok(whole.into())),
        };
        if let Ok(value) = value {
            request.headers_mut().insert(name, value);
        }
        told.is_enough()
    }

    fn is_enough(&self, request: &Request<B>, left: Duration) -> bool {
        Told::on(request.headers(), left).is_enough()
    }

    fn set_hops(&self, request: &mut Request<B>, hops: &str) {
        if let Ok(hops) = HeaderValue::from_str(hops) {
            request.headers_mut().insert(DEADLINE_CHAIN, hops);
        }
    }
}

impl<B> SaysExceeded<Response<B>> for HttpDeadlines {
    fn says_exceeded(&self, answer: Result<&Response<B>, &DynError>) -> bool {
        match answer {
            Ok(response) => {
                response.status() == StatusCode::GATEWAY_TIMEOUT
                    || matches!(
                        GrpcCode::find(response.headers()),
                        Some(GrpcCode::DeadlineExceeded | GrpcCode::Cancelled)
                    )
            }
            // What tonic calls `TimeoutExpired` has no more than its words.
            Err(error) => causes(error).any(|cause| cause.to_string() == "Timeout expired"),
        }
    }
}

impl<B: Body> ScopeResponse<Response<B>> for HttpDeadlines {
    type Response = Response<ScopedBody<TimedBody<B>>>;

    fn scope(&self, response: Response<B>, context: Option<Context>, name: Name) -> Self::Response {
        let Some(context) = context else {
            return response.map(|body| ScopedBody::unscoped(TimedBody::untimed(body)));
        };
        let protocol = Protocol::of(response.headers());
        response.map(|body| {
            let body = match context.deadline {
                Some(deadline) => TimedBody::until(body, deadline, name, protocol),
                None => TimedBody::untimed(body),
            };
            ScopedBody::new(body, context)
        })
    }
}

/// What a request says, in the language that it speaks.
#[derive(Clone, Copy)]
enum Told {
    Grpc(Duration),
    Milliseconds(u64),
}

impl Told {
    /// Says `left`, or what `headers` say already if that is less.
    fn on(headers: &HeaderMap, left: Duration) -> Self {
        let least = |said: Option<Duration>| said.map_or(left, |said| said.min(left));
        match Protocol::of(headers) {
            Protocol::Grpc(_) => Self::Grpc(least(grpc_timeout(headers))),
            Protocol::Http => {
                let whole = least(milliseconds(headers)).as_millis();
                Self::Milliseconds(u64::try_from(whole).unwrap_or(u64::MAX))
            }
        }
    }

    const fn is_enough(self) -> bool {
        match self {
            Self::Grpc(left) => !left.is_zero(),
            Self::Milliseconds(whole) => whole > 0,
        }
    }
}

fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    grpc_timeout::read(headers.get(GRPC_TIMEOUT)?)
}

/// Reads `1*DIGIT`. What there is no room for is the most that there is.
fn milliseconds(headers: &HeaderMap) -> Option<Duration> {
    let digits = headers.get(DEADLINE_MS)?.to_str().ok()?;
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| Duration::from_millis(digits.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn request(headers: &[(HeaderName, &str)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().append(name, value);
        }
        request
    }

    fn read(headers: &[(HeaderName, &str)]) -> Option<Duration> {
        HttpDeadlines.time_left(&request(headers))
    }

    const GRPC: (HeaderName, &str) = (CONTENT_TYPE, "application/grpc+proto");

    #[test]
    fn a_request_without_a_deadline_has_none() {
        assert_eq!(read(&[]), None);
        assert_eq!(HttpDeadlines.hops(&request(&[])), None);
    }

    #[test]
    fn the_earlier_of_the_two_headers_holds() {
        assert_eq!(read(&[(DEADLINE_MS, "250")]), Some(250 * MS));
        assert_eq!(read(&[(GRPC_TIMEOUT, "2S")]), Some(2000 * MS));
        for (ms, earlier) in [("1999", 1999), ("2001", 2000), ("soon", 2000)] {
            let both = [(GRPC_TIMEOUT, "2S"), (DEADLINE_MS, ms)];
            assert_eq!(read(&both), Some(earlier * MS), "{ms}");
        }
        let several = [(DEADLINE_MS, "5"), (DEADLINE_MS, "1")];
        assert_eq!(read(&several), Some(5 * MS));
    }

    #[test]
    fn milliseconds_are_digits() {
        for value in ["", "-1", "+1", "1.5", "1e3", "10ms", "10 ", "0x10", "NaN"] {
            assert_eq!(read(&[(DEADLINE_MS, value)]), None, "{value:?}");
        }
        assert_eq!(read(&[(DEADLINE_MS, "0")]), Some(Duration::ZERO));
        assert_eq!(read(&[(DEADLINE_MS, "007")]), Some(7 * MS));
        let most = Duration::from_millis(u64::MAX);
        assert_eq!(read(&[(DEADLINE_MS, "99999999999999999999")]), Some(most));
    }

    #[test]
    fn what_is_forgotten_is_said_in_no_language() {
        let said = [GRPC, (GRPC_TIMEOUT, "0S"), (DEADLINE_MS, "0")];
        let mut request = request(&[said[0].clone(), said[1].clone(), said[2].clone()]);

        HttpDeadlines.forget_time_left(&mut request);

        assert_eq!(HttpDeadlines.time_left(&request), None);
        assert_eq!(request.headers().len(), 1);
    }

    #[test]
    fn a_request_is_told_in_its_own_language() {
        let (mut http, mut grpc) = (request(&[]), request(&[GRPC]));
        let left = Duration::from_micros(1_234_567);

        assert!(HttpDeadlines.set_time_left(&mut http, left));
        assert!(HttpDeadlines.set_time_left(&mut grpc, left));

        assert_eq!(http.headers()[DEADLINE_MS], "1234");
        assert_eq!(grpc.headers()[GRPC_TIMEOUT], "1234567u");
        assert_eq!((http.headers().len(), grpc.headers().len()), (1, 2));
    }

    #[test]
    fn what_is_said_already_stays_if_it_is_less() {
        for (said, written) in [("700", "700"), ("1300", "1000"), ("soon", "1000")] {
            let mut request = request(&[(DEADLINE_MS, said)]);
            assert!(HttpDeadlines.set_time_left(&mut request, 1000 * MS));
            assert_eq!(request.headers()[DEADLINE_MS], written);
        }
        for (said, written) in [("7m", "7000000n"), ("2S", "1000000u"), ("2s", "1000000u")] {
            let mut request = request(&[GRPC, (GRPC_TIMEOUT, said)]);
            assert!(HttpDeadlines.set_time_left(&mut request, 1000 * MS));
            assert_eq!(request.headers()[GRPC_TIMEOUT], written);
        }
    }

    #[test]
    fn what_is_too_little_to_be_said_is_nothing() {
        let less_than_a_millisecond = Duration::from_nanos(999_999);

        assert!(!HttpDeadlines.set_time_left(&mut request(&[]), less_than_a_millisecond));
        assert!(HttpDeadlines.set_time_left(&mut request(&[GRPC]), less_than_a_millisecond));
        assert!(!HttpDeadlines.set_time_left(&mut request(&[GRPC, (GRPC_TIMEOUT, "0S")]), MS));
    }

    #[test]
    fn hops_are_read_as_they_were_written() {
        let mut request = request(&[(DEADLINE_CHAIN, "gateway=230")]);
        assert_eq!(HttpDeadlines.hops(&request), Some("gateway=230"));

        HttpDeadlines.set_hops(&mut request, "gateway=230, orders=40");

        assert_eq!(HttpDeadlines.hops(&request), Some("gateway=230, orders=40"));
        HttpDeadlines.set_hops(&mut request, "no\nheader");
        assert_eq!(HttpDeadlines.hops(&request), Some("gateway=230, orders=40"));
    }

    #[test]
    fn only_some_answers_say_that_the_time_is_over() {
        let says = |status: u16, code: Option<&str>| {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(code) = code {
                let code = HeaderValue::from_str(code).unwrap();
                response.headers_mut().insert("grpc-status", code);
            }
            HttpDeadlines.says_exceeded(Ok(&response))
        };

        for (status, code) in [(504, None), (200, Some("4")), (200, Some("1"))] {
            assert!(says(status, code), "{status}, {code:?}");
        }
        for (status, code) in [
            (200, None),
            (408, None),
            (500, None),
            (503, None),
            (200, Some("0")),
            (200, Some("2")),
            (200, Some("14")),
            (200, Some("four")),
        ] {
            assert!(!says(status, code), "{status}, {code:?}");
        }
    }

    #[test]
    fn the_timer_of_a_client_is_known_by_its_words_however_deep() {
        let says = |error: watertight_core::BoxError| {
            SaysExceeded::<Response<()>>::says_exceeded(&HttpDeadlines, Err(&*error))
        };
        let inside = |words: &'static str| Box::new(std::io::Error::other(words));

        assert!(says("Timeout expired".into()));
        assert!(says(inside("Timeout expired")));
        assert!(!says(inside("Connection reset")));
    }

    proptest! {
        #[test]
        fn never_more_is_written_than_is_left(nanos: u64, shift in 0..64, is_grpc: bool) {
            let left = Duration::from_nanos(nanos >> shift);
            let mut request = if is_grpc { request(&[GRPC]) } else { request(&[]) };

        let is_enough = HttpDeadlines.is_enough(&request, left);
            let sent = HttpDeadlines.set_time_left(&mut request, left);

            let read = HttpDeadlines.time_left(&request).unwrap();
            prop_assert!(read <= left);
            prop_assert_eq!(sent, !read.is_zero());
            prop_assert_eq!(is_enough, sent);
        }
    }
}
