use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};

/// The header or trailer with the status of a gRPC call.
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The header or trailer with the text to a status.
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The header or trailer in which a server says when to come again, in milliseconds.
pub(crate) const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// The status codes of gRPC.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum GrpcCode {
    /// The call did what was asked.
    Ok = 0,
    /// The call was cancelled, usually by the caller.
    Cancelled = 1,
    /// Nobody knows what went wrong.
    Unknown = 2,
    /// The request is wrong, whatever the state of the service.
    InvalidArgument = 3,
    /// The deadline passed before the call was done.
    DeadlineExceeded = 4,
    /// What was asked for is not there.
    NotFound = 5,
    /// What was to be made is there already.
    AlreadyExists = 6,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A quota or a resource is used up.
    ResourceExhausted = 8,
    /// The state of the service forbids it.
    FailedPrecondition = 9,
    /// The call lost against another one.
    Aborted = 10,
    /// Past the valid range.
    OutOfRange = 11,
    /// The service has no such method.
    Unimplemented = 12,
    /// The service broke its own rules.
    Internal = 13,
    /// The service cannot be used at the moment.
    Unavailable = 14,
    /// Data is lost for good.
    DataLoss = 15,
    /// Nobody knows who is calling.
    Unauthenticated = 16,
}

impl GrpcCode {
    /// How many there are.
    pub(crate) const COUNT: usize = 17;

    const ALL: [Self; Self::COUNT] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// Returns the code as it is sent.
    #[must_use]
    pub const fn as_i32(self) -> i32 {
        self as i32
    }

    /// Returns the code that is sent as `code`, where a number that is no code is
    /// [`Unknown`](Self::Unknown).
    #[must_use]
    pub const fn from_i32(code: i32) -> Self {
        if code < 0 || code as usize >= Self::COUNT {
            return Self::Unknown;
        }
        Self::ALL[code as usize]
    }

    /// Returns what a response without a `grpc-status` means by its HTTP status, as gRPC's
    /// "HTTP to gRPC status code mapping" has it: none for 200.
    #[must_use]
    pub fn from_http(status: StatusCode) -> Option<Self> {
        match status.as_u16() {
            200 => None,
            400 => Some(Self::Internal),
            401 => Some(Self::Unauthenticated),
            403 => Some(Self::PermissionDenied),
            404 => Some(Self::Unimplemented),
            429 | 502..=504 => Some(Self::Unavailable),
            _ => Some(Self::Unknown),
        }
    }

    /// Reads the `grpc-status` in headers or trailers. One that cannot be read is
    /// [`Unknown`](Self::Unknown).
    pub(crate) fn find(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(GRPC_STATUS)?.as_bytes();
        Some(match value {
            [one @ b'0'..=b'9'] => Self::from_i32(i32::from(one - b'0')),
            [b'1', two @ b'0'..=b'9'] => Self::from_i32(10 + i32::from(two - b'0')),
            _ => Self::Unknown,
        })
    }
}

/// Reads a `grpc-retry-pushback-ms`: a number of 31 bits without unnecessary zeros. With any other
/// value a client is not to come again, which is `Some(None)`.
pub(crate) fn pushback(headers: &HeaderMap) -> Option<Option<Duration>> {
    let value = headers.get(GRPC_PUSHBACK)?.as_bytes();
    let digits = value.iter().all(u8::is_ascii_digit);
    if !digits || (value.len() > 1 && value[0] == b'0') {
        return Some(None);
    }
    let millis = str::from_utf8(value)
        .ok()
        .and_then(|it| it.parse::<i32>().ok());
    Some(millis.map(|millis| Duration::from_millis(millis.unsigned_abs().into())))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn found(value: &[u8]) -> Option<GrpcCode> {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_STATUS, HeaderValue::from_bytes(value).unwrap());
        GrpcCode::find(&headers)
    }

    #[test]
    fn every_code_is_read_as_it_is_sent() {
        for code in GrpcCode::ALL {
            assert_eq!(GrpcCode::from_i32(code.as_i32()), code);
            assert_eq!(found(code.as_i32().to_string().as_bytes()), Some(code));
        }
    }

    #[test]
    fn what_is_no_code_is_unknown() {
        for value in ["17", "-1", "99", "014", "1 ", "", "ok", "4294967296"] {
            assert_eq!(
                found(value.as_bytes()),
                Some(GrpcCode::Unknown),
                "{value:?}"
            );
        }
        assert_eq!(GrpcCode::from_i32(-1), GrpcCode::Unknown);
        assert_eq!(GrpcCode::find(&HeaderMap::new()), None);
    }

    #[test]
    fn maps_the_status_of_http() {
        use GrpcCode::{
            Internal, PermissionDenied, Unauthenticated, Unavailable, Unimplemented, Unknown,
        };
        let table = [
            (400, Internal),
            (401, Unauthenticated),
            (403, PermissionDenied),
            (404, Unimplemented),
            (429, Unavailable),
            (502, Unavailable),
            (503, Unavailable),
            (504, Unavailable),
            (500, Unknown),
            (302, Unknown),
            (204, Unknown),
        ];

        for (status, code) in table {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(GrpcCode::from_http(status), Some(code), "{status}");
        }
        assert_eq!(GrpcCode::from_http(StatusCode::OK), None);
    }

    proptest! {
        #[test]
        fn any_value_is_some_code(value in proptest::collection::vec(any::<u8>(), 0..6)) {
            if HeaderValue::from_bytes(&value).is_ok() {
                prop_assert!(found(&value).is_some());
            }
        }

        #[test]
        fn a_pushback_is_read_if_it_is_written_as_numbers_are(millis: i32) {
            let headers = HeaderMap::from_iter([(GRPC_PUSHBACK, millis.into())]);
            let expected = u64::try_from(millis).ok().map(Duration::from_millis);
            prop_assert_eq!(pushback(&headers), Some(expected));
        }
    }
}
