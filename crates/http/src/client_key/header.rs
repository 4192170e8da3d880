use http::Request;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use watertight_core::{Key, KeyBy};

use super::ClientKey;

/// Tells requests apart by a header, such as the tenant that a gateway writes there.
///
/// Clients write headers as they like, and each value has a quota of its own: this is for headers
/// that whoever stands in front sets, or checks. The value is taken byte by byte. A request where
/// it is missing or empty, or comes several times, has no key.
#[derive(Clone, Debug)]
pub struct HeaderKey {
    header: HeaderName,
}

impl HeaderKey {
    /// Tells requests apart by `header`.
    #[must_use]
    pub const fn new(header: HeaderName) -> Self {
        Self { header }
    }
}

impl ClientKey for HeaderKey {}

impl<B> KeyBy<Request<B>> for HeaderKey {
    fn key(&self, request: &Request<B>) -> Option<Key> {
        let value = only(request.headers(), &self.header)?;
        Some(Key::of((self.header.as_str(), value.as_bytes())))
    }

    fn label(&self, request: &Request<B>) -> Option<String> {
        let value = only(request.headers(), &self.header)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }
}

/// Returns the value of a header that comes once and is not empty. Of several values nobody knows
/// which one others go by.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENANT: HeaderName = HeaderName::from_static("x-tenant");

    fn key(values: &[&[u8]]) -> (Option<Key>, Option<String>) {
        let mut request = Request::new(());
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            request.headers_mut().append(TENANT, value);
        }
        let by = HeaderKey::new(TENANT);
        (by.key(&request), by.label(&request))
    }

    #[test]
    fn requests_are_told_apart_by_the_value() {
        let (acme, label) = key(&[b"acme"]);

        assert!(acme.is_some());
        assert_eq!(label.as_deref(), Some("acme"));
        assert_eq!(key(&[b"acme"]).0, acme);
        assert_ne!(key(&[b"globex"]).0, acme);
        assert_ne!(key(&[b"ACME"]).0, acme);
    }

    #[test]
    fn a_request_without_one_value_has_no_key() {
        let none: [&[&[u8]]; 4] = [&[], &[b""], &[b"acme", b"acme"], &[b"", b"acme"]];

        for values in none {
            assert_eq!(key(values), (None, None), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_a_key(value in proptest::collection::vec(0x80..=0xff_u8, 1..20)) {
            let (found, label) = key(&[&value]);

            prop_assert!(found.is_some() && label.is_some());
        }
    }
}
