use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZero;

use siphasher::sip128::{Hasher128, SipHasher24};

/// What a keyed layer tells its callers apart by: a stable 128-bit hash of a tenant, a host, an
/// address.
///
/// The hash is the same in every process, version and machine, so that processes can share state
/// by it; a table in one process mixes it with a secret of that process. What was hashed cannot be
/// read back from it.
///
/// ```
/// use watertight_core::Key;
///
/// assert_eq!(Key::of("tenant-7"), Key::of(String::from("tenant-7")));
/// assert_ne!(Key::of(("tenant-7", 80_u16)), Key::of(("tenant-7", 81_u16)));
/// ```
// Two words and not a `u128`: that is aligned to 16 bytes, and so is all that it is in. Whether
// there is a key would then be 16 bytes to read that were written as 8, which processors wait for.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// It is never 0, so that an `Option` of a key is two words as well, and goes in registers.
    high: NonZero<u64>,
    low: u64,
}

impl Key {
    /// Makes the key of a string, bytes, an integer, an address, or a tuple of such.
    #[must_use]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "so that `Key::of(\"text\")` reads well"
    )]
    pub fn of(part: impl KeyPart) -> Self {
        // The hash's own key is public on purpose: it has to be the same everywhere.
        let mut hasher = KeyHasher(SipHasher24::new_with_keys(
            u64::from_le_bytes(*b"watertig"),
            u64::from_le_bytes(*b"ht::Key1"),
        ));
        part.feed(&mut hasher);
        let hash = hasher.0.finish128().as_u128();
        Self {
            high: NonZero::new((hash >> 64) as u64).unwrap_or(NonZero::<u64>::MIN),
            low: hash as u64,
        }
    }

    /// Returns the hash.
    #[must_use]
    #[inline]
    pub const fn as_u128(self) -> u128 {
        (self.high.get() as u128) << 64 | self.low as u128
    }
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.as_u128());
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:032x})", self.as_u128())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.as_u128())
    }
}

/// What a [`Key`] can be made of.
///
/// Two parts feed the same bytes only if they are equal: what varies in length starts with its
/// length.
#[diagnostic::on_unimplemented(
    message = "no `Key` can be made of a `{Self}`",
    note = "make it of a string, bytes, an integer, an IP address, or a tuple of these"
)]
pub trait KeyPart {
    /// Feeds the part into the hash.
    fn feed(&self, hasher: &mut KeyHasher);
}

/// The hash that the parts of a [`Key`] are fed into.
#[derive(Debug)]
pub struct KeyHasher(SipHasher24);

impl KeyHasher {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn length(&mut self, length: usize) {
        self.bytes(&(length as u64).to_le_bytes());
    }
}

impl KeyPart for [u8] {
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.length(self.len());
        hasher.bytes(self);
    }
}

impl KeyPart for str {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.as_bytes().feed(hasher);
    }
}

impl KeyPart for String {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.as_str().feed(hasher);
    }
}

impl KeyPart for Vec<u8> {
    fn feed(&self, hasher: &mut KeyHasher) {
        self.as_slice().feed(hasher);
    }
}

impl<T: KeyPart + ?Sized> KeyPart for &T {
    fn feed(&self, hasher: &mut KeyHasher) {
        (**self).feed(hasher);
    }
}

impl<T: KeyPart> KeyPart for Option<T> {
    fn feed(&self, hasher: &mut KeyHasher) {
        match self {
            None => hasher.bytes(&[0]),
            Some(part) => {
                hasher.bytes(&[1]);
                part.feed(hasher);
            }
        }
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl KeyPart for $integer {
            #[inline]
            fn feed(&self, hasher: &mut KeyHasher) {
                hasher.bytes(&self.to_le_bytes());
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

impl KeyPart for Ipv4Addr {
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.bytes(&self.octets());
    }
}

impl KeyPart for Ipv6Addr {
    fn feed(&self, hasher: &mut KeyHasher) {
        hasher.bytes(&self.octets());
    }
}

/// An IPv4 address and the IPv6 address it maps to are one key.
impl KeyPart for IpAddr {
    fn feed(&self, hasher: &mut KeyHasher) {
        match self.to_canonical() {
            Self::V4(address) => address.feed(hasher),
            Self::V6(address) => address.feed(hasher),
        }
    }
}

impl KeyPart for SocketAddr {
    fn feed(&self, hasher: &mut KeyHasher) {
        (self.ip(), self.port()).feed(hasher);
    }
}

macro_rules! tuples {
    ($(($($part:ident)+))*) => {$(
        impl<$($part: KeyPart),+> KeyPart for ($($part,)+) {
            #[allow(non_snake_case, reason = "the parts are named after their types")]
            fn feed(&self, hasher: &mut KeyHasher) {
                let ($($part,)+) = self;
                $($part.feed(hasher);)+
            }
        }
    )*};
}

tuples!((A) (A B) (A B C) (A B C D));

/// Says by which key a request is served. A closure becomes one by `.key(..)` on a builder.
#[diagnostic::on_unimplemented(
    message = "`{Self}` finds no key in a request of type `{Req}`",
    label = "not a `KeyBy<{Req}>`",
    note = "pass a closure to `.key(|request: &{Req}| ..)`"
)]
pub trait KeyBy<Req> {
    /// Whether requests are told apart at all. False for [`Unkeyed`] alone.
    const KEYED: bool = true;

    /// Returns the request's key. The requests without one are served together.
    fn key(&self, request: &Req) -> Option<Key>;

    /// Returns how people know the key. It is asked when a key is new, and shown only where
    /// somebody asks for it.
    fn label(&self, request: &Req) -> Option<String> {
        let _ = request;
        None
    }
}

/// Does not tell requests apart: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Unkeyed;

impl<Req> KeyBy<Req> for Unkeyed {
    const KEYED: bool = false;

    fn key(&self, _: &Req) -> Option<Key> {
        None
    }
}

/// A closure that finds a key. Made by `.key(..)` on a builder.
pub struct KeyFn<F, Req> {
    find: F,
    request: PhantomData<fn(Req)>,
}

impl<F, Req, K> KeyFn<F, Req>
where
    F: Fn(&Req) -> K,
    K: Into<Option<Key>>,
{
    /// Finds keys by a closure.
    #[must_use]
    pub const fn new(find: F) -> Self {
        Self {
            find,
            request: PhantomData,
        }
    }
}

impl<F, Req, K> KeyBy<Req> for KeyFn<F, Req>
where
    F: Fn(&Req) -> K,
    K: Into<Option<Key>>,
{
    fn key(&self, request: &Req) -> Option<Key> {
        (self.find)(request).into()
    }
}

impl<F: Clone, Req> Clone for KeyFn<F, Req> {
    fn clone(&self) -> Self {
        Self {
            find: self.find.clone(),
            request: PhantomData,
        }
    }
}

impl<F, Req> fmt::Debug for KeyFn<F, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFn")
    }
}

/// Keys with labels that a closure makes. Made by `.key_label(..)` on a builder.
pub struct Labelled<K, F, Req> {
    key: K,
    label: F,
    request: PhantomData<fn(Req)>,
}

impl<K, F, Req> Labelled<K, F, Req>
where
    F: Fn(&Req) -> String,
{
    /// Gives the keys that `key` finds labels.
    #[must_use]
    pub const fn new(key: K, label: F) -> Self {
        Self {
            key,
            label,
            request: PhantomData,
        }
    }
}

impl<K, F, Req> KeyBy<Req> for Labelled<K, F, Req>
where
    K: KeyBy<Req>,
    F: Fn(&Req) -> String,
{
    const KEYED: bool = K::KEYED;

    fn key(&self, request: &Req) -> Option<Key> {
        self.key.key(request)
    }

    fn label(&self, request: &Req) -> Option<String> {
        Some((self.label)(request))
    }
}

impl<K: Clone, F: Clone, Req> Clone for Labelled<K, F, Req> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            label: self.label.clone(),
            request: PhantomData,
        }
    }
}

impl<K, F, Req> fmt::Debug for Labelled<K, F, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Labelled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash that moves with a version would split the state that processes share.
    #[test]
    fn hashes_never_change() {
        assert_eq!(
            Key::of("tenant-7").to_string(),
            "1383e1667a7bc06dd5edd119303f41a4"
        );
        assert_eq!(
            Key::of(("tenant-7", 80_u16)).to_string(),
            "1f02e3e98fb4947528b75c1c2bf0caff"
        );
    }

    #[test]
    fn whether_there_is_a_key_takes_no_room() {
        assert_eq!(size_of::<Option<Key>>(), size_of::<Key>());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Key::of(("ab", "c")), Key::of(("a", "bc")));
        assert_ne!(
            Key::of((None::<u8>, 1_u8)),
            Key::of((Some(1_u8), None::<u8>))
        );
    }

    #[test]
    fn a_mapped_address_is_the_address() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();

        assert_eq!(Key::of(v4), Key::of(mapped));
    }

    #[test]
    fn a_closure_may_find_a_key_or_not() {
        let always = KeyFn::new(|request: &&str| Key::of(*request));
        let perhaps = KeyFn::new(|request: &&str| (!request.is_empty()).then(|| Key::of(*request)));

        assert_eq!(always.key(&"a"), Some(Key::of("a")));
        assert_eq!(perhaps.key(&"a"), Some(Key::of("a")));
        assert_eq!(perhaps.key(&""), None);
    }
}
