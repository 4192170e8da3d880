use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{Extensions, Request};
use watertight_core::{ConfigError, Key, KeyBy};

use super::{ClientKey, TrustedProxies};

/// Who sends a request, for [`PeerKey`] to find among its
/// [extensions](http::Request::extensions): what accepts a connection puts it there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer(
    /// Its address.
    pub SocketAddr,
);

/// Tells clients apart by their address.
///
/// ```
/// use std::net::SocketAddr;
///
/// use http::Request;
/// use watertight_http::{Peer, PeerKey, TrustedProxies};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/8"])?;
/// let key = PeerKey::new().behind(proxies);
///
/// let mut request = Request::get("/")
///     .header("x-forwarded-for", "what the client says, 203.0.113.9")
///     .body(())?;
/// request.extensions_mut().insert(Peer("10.0.0.1:4711".parse()?));
/// assert_eq!(key.address(&request), Some("203.0.113.9".parse()?));
/// # Ok(())
/// # }
/// ```
///
/// # Where the address comes from
///
/// Each server has its own way to say who is connected:
///
/// | server | so |
/// | --- | --- |
/// | axum, served `into_make_service_with_connect_info::<SocketAddr>()` | `.peer(\|it\| Some(it.get::<ConnectInfo<SocketAddr>>()?.0))` |
/// | tonic | `.peer(\|it\| it.get::<TcpConnectInfo>()?.remote_addr())` |
/// | tonic with TLS | `.peer(\|it\| it.get::<TlsConnectInfo<TcpConnectInfo>>()?.get_ref().remote_addr())` |
/// | hyper, and any other | put a [`Peer`] into the request: `request.extensions_mut().insert(Peer(address))` |
/// | any, on a Unix socket | `.peer(\|_\| Some(([127, 0, 0, 1], 0).into()))`, and `127.0.0.1` is a proxy |
///
/// Without [`peer`](Self::peer) the address is that of a [`Peer`], which no server puts in by itself.
/// A request of which nobody says where it comes from has no key, and neither has one that a proxy
/// sends for [nobody that it knows](TrustedProxies).
///
/// # What is one client
///
/// An IPv4 address is one client, also if it is written as an IPv6 address (`::ffff:192.0.2.1`). Of
/// IPv6 it is a whole network of [`IPV6_PREFIX`](Self::IPV6_PREFIX) bits. Ports do not matter.
#[derive(Clone, Debug)]
pub struct PeerKey {
    peer: fn(&Extensions) -> Option<SocketAddr>,
    proxies: Option<TrustedProxies>,
    ipv6_prefix: u8,
}

impl PeerKey {
    /// The bits of an IPv6 address that tell clients apart: 64. A host has all addresses of such a
    /// network, and takes new ones by itself (RFC 8981).
    pub const IPV6_PREFIX: u8 = 64;

    /// Tells clients apart by the address of the [`Peer`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            peer: |extensions| extensions.get().map(|&Peer(address)| address),
            proxies: None,
            ipv6_prefix: Self::IPV6_PREFIX,
        }
    }

    /// Sets where the address of the connection is found. Default: in [`Peer`].
    #[must_use]
    pub fn peer(mut self, find: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        self.peer = find;
        self
    }

    /// Sets the proxies that may name others as clients. Default: none, and no header is read.
    #[must_use]
    pub fn behind(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Sets how many bits of an IPv6 address tell clients apart. A provider that gives each
    /// customer more than a /64 makes many clients of one; 56 and 48 are usual. Default: 64.
    ///
    /// # Errors
    ///
    /// If it is not in 1..=128.
    pub fn ipv6_prefix(mut self, bits: u8) -> Result<Self, ConfigError> {
        if !(1..=128).contains(&bits) {
            return Err(ConfigError::new("ipv6_prefix", bits, "in 1..=128"));
        }
        self.ipv6_prefix = bits;
        Ok(self)
    }

    /// Returns the address of the client, all of it: for logs, or to fuzz what reads headers.
    pub fn address<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        let peer = (self.peer)(request.extensions())?.ip();
        match &self.proxies {
            Some(proxies) => proxies.client(peer, request.headers()),
            None => Some(peer.to_canonical()),
        }
    }

    /// Returns the key of a client's address, to ask a handle for it.
    #[must_use]
    pub fn key_of(&self, address: IpAddr) -> Key {
        Key::of(self.network(address))
    }

    /// Returns the first address of the network that is one client.
    fn network(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let mask = u128::MAX << (128 - self.ipv6_prefix);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
            address @ IpAddr::V4(_) => address,
        }
    }
}

impl Default for PeerKey {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientKey for PeerKey {}

impl<B> KeyBy<Request<B>> for PeerKey {
    fn key(&self, request: &Request<B>) -> Option<Key> {
        self.address(request).map(|address| self.key_of(address))
    }

    fn label(&self, request: &Request<B>) -> Option<String> {
        let network = self.network(self.address(request)?);
        Some(match network {
            IpAddr::V6(_) => format!("{network}/{}", self.ipv6_prefix),
            IpAddr::V4(_) => network.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(peer: &str) -> Request<()> {
        let mut request = Request::new(());
        let address = SocketAddr::new(peer.parse().unwrap(), 4711);
        request.extensions_mut().insert(Peer(address));
        request
    }

    fn key(peer: &str) -> Option<Key> {
        PeerKey::new().key(&request(peer))
    }

    #[test]
    fn clients_are_told_apart_by_their_address() {
        assert!(key("192.0.2.1").is_some());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(PeerKey::new().key(&Request::new(())), None);
    }

    #[test]
    fn an_address_is_told_in_its_plain_form() {
        let (plain, mapped) = ("192.0.2.1", "::ffff:192.0.2.1");
        let by = PeerKey::new();

        assert_eq!(by.address(&request(mapped)), plain.parse().ok());
        assert_eq!(
            by.address(&request("2001:db8::1")),
            "2001:db8::1".parse().ok()
        );
        assert_eq!(Some(by.key_of(mapped.parse().unwrap())), key(plain));
    }

    #[test]
    fn the_port_does_not_matter() {
        let mut other = request("192.0.2.1");
        other
            .extensions_mut()
            .insert(Peer("192.0.2.1:80".parse().unwrap()));

        assert_eq!(PeerKey::new().key(&other), key("192.0.2.1"));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));

        let wide = PeerKey::new().ipv6_prefix(48).unwrap();
        let single = PeerKey::new().ipv6_prefix(128).unwrap();
        let of = |by: &PeerKey, peer| by.key(&request(peer));
        assert_eq!(of(&wide, "2001:db8::1"), of(&wide, "2001:db8:0:1::1"));
        assert_ne!(of(&wide, "2001:db8::1"), of(&wide, "2001:db8:1::1"));
        assert_ne!(of(&single, "2001:db8::1"), of(&single, "2001:db8::2"));
    }

    #[test]
    fn a_label_is_the_client() {
        let label = |peer| PeerKey::new().label(&request(peer)).unwrap();

        assert_eq!(label("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(label("2001:db8::1:2:3:4"), "2001:db8::/64");
    }

    #[test]
    fn a_prefix_out_of_its_range_is_refused() {
        for bits in [0, 129, 255] {
            let error = PeerKey::new().ipv6_prefix(bits).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`ipv6_prefix` is {bits}, but must be in 1..=128")
            );
        }
    }

    #[test]
    fn no_header_is_read_without_proxies() {
        let mut request = request("192.0.2.1");
        for header in ["forwarded", "x-forwarded-for", "x-real-ip"] {
            let value = http::HeaderValue::from_static("for=6.6.6.6");
            request.headers_mut().insert(header, value);
        }

        assert_eq!(PeerKey::new().key(&request), key("192.0.2.1"));
    }

    #[test]
    fn the_client_behind_a_proxy_is_the_key() {
        let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/8"]).unwrap();
        let by = PeerKey::new().behind(proxies);
        let mut through = request("10.0.0.1");
        let lines = "6.6.6.6, 2001:db8::1".parse().unwrap();
        through.headers_mut().insert("x-forwarded-for", lines);

        assert_eq!(by.key(&through), key("2001:db8::2"));

        let unknown = "6.6.6.6, unknown".parse().unwrap();
        through.headers_mut().insert("x-forwarded-for", unknown);
        assert_eq!(by.key(&through), None);
    }

    #[test]
    fn a_server_says_where_the_address_is() {
        #[derive(Clone)]
        struct ConnectInfo<T>(T);
        let by = PeerKey::new().peer(|it| Some(it.get::<ConnectInfo<SocketAddr>>()?.0));
        let mut served = Request::new(());
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        served.extensions_mut().insert(ConnectInfo(address));

        assert_eq!(by.key(&served), key("192.0.2.1"));
        assert_eq!(by.key(&request("192.0.2.1")), None);
    }

    proptest! {
        #[test]
        fn one_key_is_one_network(one: u128, bit in 0..128_u32, bits in 1..=128_u8) {
            let by = PeerKey::new().ipv6_prefix(bits).unwrap();
            let (one, other) = (Ipv6Addr::from_bits(one), Ipv6Addr::from_bits(one ^ 1 << bit));
            prop_assume!(one.to_ipv4_mapped().is_none() && other.to_ipv4_mapped().is_none());

            let same = by.key_of(one.into()) == by.key_of(other.into());

            prop_assert_eq!(same, bit < u32::from(128 - bits));
        }
    }
}
