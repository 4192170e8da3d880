use http::Request;
use watertight_core::{Key, KeyBy};

/// Finds a key in a request of HTTP, alone or with others.
///
/// ```
/// use http::HeaderName;
/// use watertight_http::{ClientKey, HeaderKey, PathKey, PeerKey};
///
/// # fn main() -> Result<(), watertight_core::ConfigError> {
/// // So much of each client on each route.
/// let key = PeerKey::new().and(PathKey::new(["/login", "/users/{id}"])?);
/// // So much of each tenant, and of each address that names none.
/// let key = HeaderKey::new(HeaderName::from_static("x-tenant")).or(PeerKey::new());
/// # Ok(())
/// # }
/// ```
///
/// What is told apart by two kinds of keys at once, and not by pairs of them, is for two layers.
///
/// A type of one's own has these methods, too, once it says that it has them:
/// `impl ClientKey for MyKey {}`. A closure goes in as a [`KeyFn`](watertight_core::KeyFn).
pub trait ClientKey: Sized {
    /// Tells requests apart by both keys together. A request that lacks one has none.
    fn and<K>(self, other: K) -> And<Self, K> {
        And(self, other)
    }

    /// Tells requests apart by the other key where this one is missing.
    ///
    /// It is the client who decides what it leaves out: the second key should be one that it
    /// cannot make up, as [`PeerKey`](super::PeerKey) is.
    fn or<K>(self, other: K) -> Or<Self, K> {
        Or(self, other)
    }
}

/// Tells requests apart by two keys together. Made by [`ClientKey::and`].
#[derive(Clone, Copy, Debug)]
pub struct And<A, B>(A, B);

impl<A, B> ClientKey for And<A, B> {}

impl<A, B, T> KeyBy<Request<T>> for And<A, B>
where
    A: KeyBy<Request<T>>,
    B: KeyBy<Request<T>>,
{
    fn key(&self, request: &Request<T>) -> Option<Key> {
        let (one, other) = (self.0.key(request)?, self.1.key(request)?);
        Some(Key::of((one.as_u128(), other.as_u128())))
    }

    fn label(&self, request: &Request<T>) -> Option<String> {
        match (self.0.label(request), self.1.label(request)) {
            (Some(one), Some(other)) => Some(format!("{one} {other}")),
            (one, other) => one.or(other),
        }
    }
}

/// Tells requests apart by a second key where the first is missing. Made by [`ClientKey::or`].
#[derive(Clone, Copy, Debug)]
pub struct Or<A, B>(A, B);

impl<A, B> ClientKey for Or<A, B> {}

impl<A, B, T> KeyBy<Request<T>> for Or<A, B>
where
    A: KeyBy<Request<T>>,
    B: KeyBy<Request<T>>,
{
    fn key(&self, request: &Request<T>) -> Option<Key> {
        self.0.key(request).or_else(|| self.1.key(request))
    }

    fn label(&self, request: &Request<T>) -> Option<String> {
        if self.0.key(request).is_some() {
            return self.0.label(request);
        }
        self.1.label(request)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use watertight_core::KeyFn;

    use super::*;
    use crate::{ApiKey, HeaderKey};

    const TENANT: HeaderName = HeaderName::from_static("x-tenant");
    const USER: HeaderName = HeaderName::from_static("x-user");

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn both_are_told_apart_by_each() {
        let key = HeaderKey::new(TENANT).and(HeaderKey::new(USER));
        let of = |tenant, user| key.key(&request(&[("x-tenant", tenant), ("x-user", user)]));

        assert!(of("a", "b").is_some());
        assert_eq!(of("a", "b"), of("a", "b"));
        assert_ne!(of("a", "b"), of("a", "c"));
        assert_ne!(of("a", "b"), of("c", "b"));
        assert_ne!(of("a", "b"), of("b", "a"));
        let twice = HeaderKey::new(TENANT).and(HeaderKey::new(TENANT));
        let of = |tenant| twice.key(&request(&[("x-tenant", tenant)]));
        assert_ne!(of("a"), of("b"));
        assert_eq!(key.key(&request(&[("x-tenant", "a")])), None);
        assert_eq!(key.key(&request(&[("x-user", "b")])), None);
    }

    #[test]
    fn the_second_counts_where_the_first_is_missing() {
        let key = HeaderKey::new(TENANT).or(HeaderKey::new(USER));
        let of = |headers: &[_]| key.key(&request(headers));

        let tenant = of(&[("x-tenant", "a")]);
        let user = of(&[("x-user", "a")]);

        assert_eq!(of(&[("x-tenant", "a"), ("x-user", "b")]), tenant);
        assert!(user.is_some());
        // A user cannot pass for a tenant of the same name.
        assert_ne!(user, tenant);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_label_is_of_what_the_key_is_of() {
        let both = HeaderKey::new(TENANT).and(HeaderKey::new(USER));
        let either = HeaderKey::new(TENANT).or(HeaderKey::new(USER));
        let secret = ApiKey::bearer().and(HeaderKey::new(USER));
        let request = request(&[
            ("x-tenant", "a"),
            ("x-user", "b"),
            ("authorization", "Bearer s"),
        ]);

        assert_eq!(both.label(&request).as_deref(), Some("a b"));
        assert_eq!(either.label(&request).as_deref(), Some("a"));
        assert_eq!(secret.label(&request).as_deref(), Some("b"));
        let silent = ApiKey::bearer().or(HeaderKey::new(USER));
        assert_eq!(silent.label(&request), None);
    }

    #[test]
    fn takes_closures() {
        let method = KeyFn::new(|request: &Request<()>| Key::of(request.method().as_str()));
        let key = HeaderKey::new(TENANT).and(method);

        assert!(key.key(&request(&[("x-tenant", "a")])).is_some());
    }
}
