use http::Request;
use http::header::{AUTHORIZATION, HeaderName};
use watertight_core::{Key, KeyBy};

use super::ClientKey;
use super::header::only;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Tells clients apart by the secret that they show: a bearer token, or the key in `X-Api-Key`.
///
/// Of the secret nothing is kept but its hash, and it has no label, so that it gets into no log and
/// no snapshot. The hash hides what cannot be guessed: a secret of a few digits is found by trying
/// all of them.
///
/// There is one header that it is read from, the one by which the service lets clients in: whoever
/// could choose between two would write a new secret into the other with each request. And behind
/// what lets them in is where this belongs. In front of it a client that makes secrets up has a
/// quota for each: limit [`PeerKey`](super::PeerKey) there. A token that clients get anew, such as
/// a JWT, is a new key each time; what it says of its owner makes a better one.
///
/// A request where the header is missing, comes several times or is malformed has no key.
#[derive(Clone, Debug)]
pub struct ApiKey {
    header: HeaderName,
    is_bearer: bool,
}

impl ApiKey {
    /// Reads the token in `Authorization: Bearer ...` (RFC 6750, section 2.1).
    ///
    /// The name of the scheme may be written in capitals or not. Other schemes are no key: that of
    /// `Basic` would be a new one with each password that somebody tries.
    #[must_use]
    pub const fn bearer() -> Self {
        Self {
            header: AUTHORIZATION,
            is_bearer: true,
        }
    }

    /// Reads the whole of `X-Api-Key`.
    #[must_use]
    pub const fn x_api_key() -> Self {
        Self::in_header(X_API_KEY)
    }

    /// Reads the whole of another header.
    #[must_use]
    pub const fn in_header(header: HeaderName) -> Self {
        Self {
            header,
            is_bearer: false,
        }
    }

    fn secret<'a, B>(&self, request: &'a Request<B>) -> Option<&'a [u8]> {
        let value = only(request.headers(), &self.header)?.as_bytes();
        let secret = if self.is_bearer {
            bearer(value)?
        } else {
            value.trim_ascii()
        };
        (!secret.is_empty()).then_some(secret)
    }
}

impl ClientKey for ApiKey {}

impl<B> KeyBy<Request<B>> for ApiKey {
    fn key(&self, request: &Request<B>) -> Option<Key> {
        let secret = self.secret(request)?;
        Some(Key::of((self.header.as_str(), secret)))
    }
}

/// Reads the token of the bearer scheme. What is not in its grammar is left out by some who read
/// it and not by others, so that one token would be many keys.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let space = value.iter().position(|&byte| byte == b' ')?;
    let (scheme, token) = (&value[..space], value[space..].trim_ascii());
    let is_token = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (scheme.eq_ignore_ascii_case(b"bearer") && token.iter().all(is_token)).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn key(by: &ApiKey, values: &[&[u8]]) -> Option<Key> {
        let mut request = Request::new(());
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            request.headers_mut().append(&by.header, value);
        }
        assert_eq!(by.label(&request), None);
        by.key(&request)
    }

    #[test]
    fn clients_are_told_apart_by_the_token() {
        let token = key(&ApiKey::bearer(), &[b"Bearer mF_9.B5f-4.1JqM"]);

        assert!(token.is_some());
        assert_ne!(key(&ApiKey::bearer(), &[b"Bearer mF_9.B5f-4.1Jqm"]), token);
    }

    /// A client that could write its token in many ways would have many quotas.
    #[test]
    fn one_token_is_one_key() {
        let token = key(&ApiKey::bearer(), &[b"Bearer abc=="]);

        for same in [
            "bearer abc==",
            "BEARER abc==",
            "Bearer   abc==",
            " Bearer abc== ",
        ] {
            assert_eq!(
                key(&ApiKey::bearer(), &[same.as_bytes()]),
                token,
                "{same:?}"
            );
        }
        let plain = key(&ApiKey::x_api_key(), &[b"abc"]);
        assert_eq!(key(&ApiKey::x_api_key(), &[b" abc\t"]), plain);
        let bearer = key(&ApiKey::bearer(), &[b"Bearer abc"]);
        assert_ne!(bearer, plain, "they are let in by others");
    }

    #[test]
    fn what_is_no_token_is_no_key() {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "abc",
            "Basic dXNlcjpwYXNz",
            "Bearer a b",
            "Bearer a,b",
            "Bearer \"a\"",
            "Bearer a, Bearer b",
            "Bearer\ta",
        ] {
            assert_eq!(
                key(&ApiKey::bearer(), &[value.as_bytes()]),
                None,
                "{value:?}"
            );
        }
        assert_eq!(key(&ApiKey::bearer(), &[]), None);
        assert_eq!(key(&ApiKey::bearer(), &[b"Bearer a", b"Bearer a"]), None);
        assert_eq!(key(&ApiKey::x_api_key(), &[b"  "]), None);
        assert_eq!(key(&ApiKey::x_api_key(), &[b"a", b"b"]), None);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let by = ApiKey::bearer();

        let key = key(&by, &[b"Bearer s3cr3t"]).unwrap();

        assert!(!format!("{by:?} {key:?} {key}").contains("s3cr3t"));
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_not(value in proptest::collection::vec(0x80..=0xff_u8, 0..20), scheme: bool) {
            let value = if scheme { [b"Bearer ", &value[..]].concat() } else { value };
            let (bearer, plain) = (ApiKey::bearer(), ApiKey::x_api_key());

            prop_assert_eq!(key(&bearer, &[&value]), None);
            prop_assert_eq!(key(&plain, &[&value]).is_some(), !value.is_empty());
        }
    }
}
