use std::net::IpAddr;
use std::sync::Arc;

use http::header::{FORWARDED, HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};
use watertight_core::ConfigError;

use super::address;
use super::elements::{forwarded_for, from_right};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that a server believes when they say for whom they ask.
///
/// They are told by their networks, `10.0.0.0/8` or `2001:db8::/32`, or by a single address, and by
/// the one header that they write. There is no default, and no second header: one that the proxies
/// do not write is passed on as the client wrote it.
///
/// The list in that header is read from the right, since each proxy writes its own client on the
/// right of what it was sent. The client is the first address that is none of the proxies'; what is
/// left of it changes nothing. The lines of a header that comes several times are one list.
///
/// | a request comes | the client is |
/// | --- | --- |
/// | from an address that is none of the proxies' | that address |
/// | from a proxy that names the client | the client |
/// | from a proxy that names proxies alone, or nobody | the leftmost of them, or itself |
/// | from a proxy that names what is no address: `unknown`, `_hidden`, an empty element, text | nobody |
///
/// The networks should hold proxies and nothing else: what is in them may say to be anybody.
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    networks: Arc<[IpNet]>,
    header: HeaderName,
    grammar: Grammar,
}

/// How clients are named in the header.
#[derive(Clone, Copy, Debug)]
enum Grammar {
    /// By their addresses.
    Plain,
    /// In elements with parameters (RFC 7239).
    Forwarded,
}

impl TrustedProxies {
    /// Believes proxies that write `X-Forwarded-For`.
    ///
    /// # Errors
    ///
    /// If one of the networks is no network, or is all addresses: then all could be anybody.
    pub fn x_forwarded_for<N: AsRef<str>>(
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        Self::in_header(X_FORWARDED_FOR, networks)
    }

    /// Believes proxies that write `Forwarded` (RFC 7239).
    ///
    /// # Errors
    ///
    /// If one of the networks is no network, or is all addresses.
    pub fn forwarded<N: AsRef<str>>(
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        Self::new(FORWARDED, Grammar::Forwarded, networks)
    }

    /// Believes proxies that write an address, or a list as that of `X-Forwarded-For`, in another
    /// header, such as `X-Real-IP` or `CF-Connecting-IP`.
    ///
    /// # Errors
    ///
    /// If one of the networks is no network, or is all addresses.
    pub fn in_header<N: AsRef<str>>(
        header: HeaderName,
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        Self::new(header, Grammar::Plain, networks)
    }

    fn new<N: AsRef<str>>(
        header: HeaderName,
        grammar: Grammar,
        networks: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let networks = networks.into_iter().map(|text| network(text.as_ref()));
        Ok(Self {
            networks: networks.collect::<Result<_, _>>()?,
            header,
            grammar,
        })
    }

    /// Returns who asks, if `peer` sends the request.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let mut named = self.named(headers);
        let mut client = peer.to_canonical();
        while self.trusts(client) {
            match named.next() {
                Some(address) => client = address?.to_canonical(),
                None => break,
            }
        }
        Some(client)
    }

    /// Returns who is named, the last one first. `None` is for what is no address.
    fn named<'a>(&self, headers: &'a HeaderMap) -> impl Iterator<Item = Option<IpAddr>> + use<'a> {
        let grammar = self.grammar;
        let lines = headers.get_all(&self.header).into_iter().rev();
        lines
            .flat_map(|line| from_right(line.as_bytes(), b','))
            .map(move |element| address::read(grammar.node(element)?))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|it| it.contains(&address))
    }
}

impl Grammar {
    fn node(self, element: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Plain => Some(element),
            Self::Forwarded => forwarded_for(element),
        }
    }
}

/// Reads a network. One of mapped addresses is one of IPv4, as the addresses themselves are.
fn network(text: &str) -> Result<IpNet, ConfigError> {
    let refused = || {
        let allowed = "an address such as `192.0.2.1`, or a network such as `10.0.0.0/8` that is not all addresses";
        ConfigError::new("trusted_proxies", text, allowed)
    };
    let read = text.trim();
    let network = read.parse().or_else(|_| read.parse().map(IpAddr::into));
    let network: IpNet = network.map_err(|_| refused())?;
    let network = match network {
        IpNet::V6(mapped) => match (mapped.addr().to_ipv4_mapped(), mapped.prefix_len()) {
            (Some(address), bits @ 96..) => Ipv4Net::new(address, bits - 96)
                .map_err(|_| refused())?
                .into(),
            _ => network,
        },
        IpNet::V4(_) => network,
    };
    if network.prefix_len() == 0 {
        return Err(refused());
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const PROXIES: [&str; 3] = ["10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48"];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn headers(lines: &[(HeaderName, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        headers
    }

    /// Who asks, if `peer` sends these lines of `X-Forwarded-For`.
    fn client(peer: &str, lines: &[&str]) -> Option<IpAddr> {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| (X_FORWARDED_FOR, line.as_bytes()))
            .collect();
        let proxies = TrustedProxies::x_forwarded_for(PROXIES).unwrap();
        proxies.client(ip(peer), &headers(&lines))
    }

    fn forwarded(peer: &str, line: &str) -> Option<IpAddr> {
        let proxies = TrustedProxies::forwarded(PROXIES).unwrap();
        proxies.client(ip(peer), &headers(&[(FORWARDED, line.as_bytes())]))
    }

    #[test]
    fn nobody_else_is_believed() {
        for peer in ["203.0.113.9", "192.0.2.8", "2001:db8:2::1", "::1"] {
            assert_eq!(client(peer, &["198.51.100.1"]), Some(ip(peer)));
            assert_eq!(client(peer, &["no address"]), Some(ip(peer)));
            assert_eq!(forwarded(peer, "for=198.51.100.1"), Some(ip(peer)));
        }
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_no_proxy() {
        let a = Some(ip("198.51.100.1"));

        for peer in ["10.0.0.1", "192.0.2.7", "2001:db8:1::9", "::ffff:10.0.0.1"] {
            assert_eq!(client(peer, &["198.51.100.1"]), a, "{peer}");
        }
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 198.51.100.1"]), a);
        assert_eq!(client("10.0.0.1", &["6.6.6.6,198.51.100.1:80,10.0.0.2"]), a);
        assert_eq!(
            client("10.0.0.1", &["6.6.6.6", "198.51.100.1, 10.9.9.9"]),
            a
        );
        assert_eq!(client("10.0.0.1", &["198.51.100.1", "2001:db8:1::2"]), a);
        assert_eq!(
            client("10.0.0.1", &["::ffff:198.51.100.1, ::ffff:10.1.1.1"]),
            a
        );
        assert_eq!(forwarded("10.0.0.1", "for=6.6.6.6, for=198.51.100.1"), a);
        let through_two = r#"for=198.51.100.1;proto=https, for="[2001:db8:1::2]:80";by=_x"#;
        assert_eq!(forwarded("10.0.0.1", through_two), a);
    }

    #[test]
    fn proxies_that_name_nobody_else_ask_for_themselves() {
        assert_eq!(client("10.0.0.1", &[]), Some(ip("10.0.0.1")));
        assert_eq!(
            client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]),
            Some(ip("10.0.0.3"))
        );
    }

    #[test]
    fn what_is_no_address_is_nobody() {
        for name in [
            "unknown",
            "_hidden",
            "",
            "10.0.0.2,",
            "text",
            "unknown, 10.0.0.2",
        ] {
            assert_eq!(client("10.0.0.1", &[name]), None, "{name:?}");
            // And not the next one, whom the client may have named.
            let list = format!("6.6.6.6, {name}");
            assert_eq!(client("10.0.0.1", &[&list]), None, "{name:?}");
        }
        for element in ["for=unknown", "proto=https", "", "for=1.1.1.1;for=2.2.2.2"] {
            let list = format!("for=6.6.6.6, {element}");
            assert_eq!(forwarded("10.0.0.1", &list), None, "{element:?}");
        }
    }

    #[test]
    fn a_header_that_the_proxies_do_not_write_is_not_read() {
        let lines = headers(&[
            (FORWARDED, b"for=6.6.6.6"),
            (X_FORWARDED_FOR, b"198.51.100.1"),
        ]);
        let real_ip = HeaderName::from_static("x-real-ip");
        let peer = ip("10.0.0.1");

        let plain = TrustedProxies::x_forwarded_for(PROXIES).unwrap();
        let other = TrustedProxies::in_header(real_ip, PROXIES).unwrap();

        assert_eq!(plain.client(peer, &lines), Some(ip("198.51.100.1")));
        assert_eq!(other.client(peer, &lines), Some(peer));
    }

    #[test]
    fn a_network_may_be_written_in_many_ways() {
        for text in [
            "10.0.0.0/8",
            "10.1.2.3/8",
            " 10.0.0.0/8 ",
            "10.0.0.1",
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.1",
        ] {
            let proxies = TrustedProxies::x_forwarded_for([text]).unwrap();
            assert!(proxies.trusts(ip("10.0.0.1")), "{text}");
            assert!(!proxies.trusts(ip("11.0.0.1")), "{text}");
        }
        let none = TrustedProxies::x_forwarded_for::<&str>([]).unwrap();
        assert!(!none.trusts(ip("10.0.0.1")));
    }

    #[test]
    fn what_is_no_network_or_all_of_them_is_refused() {
        for text in [
            "",
            "proxy",
            "10.0.0.0/33",
            "10.0.0/8",
            "0.0.0.0/0",
            "::/0",
            "::ffff:0.0.0.0/96",
        ] {
            let error = TrustedProxies::forwarded(["10.0.0.1", text]).unwrap_err();
            assert_eq!(error.field(), "trusted_proxies", "{text}");
            assert_eq!(error.value(), format!("{text:?}"));
        }
    }

    /// An address that is one of the proxies' or not.
    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<IpAddr>(),
            any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
            any::<[u8; 10]>().prop_map(|low| {
                let mut octets = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                octets[6..].copy_from_slice(&low);
                IpAddr::from(octets)
            }),
        ]
    }

    /// What may be in a header, and more than a client could send.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            Just(b','),
            Just(b'"'),
            Just(b'\\'),
            (0x20..=0xff_u8).prop_filter("a header has no DEL", |byte| *byte != 0x7f),
        ];
        vec(byte, 0..40)
    }

    /// The obvious way: all that is named, the peer last, without the proxies on the right.
    fn model(peer: IpAddr, named: &[IpAddr]) -> IpAddr {
        let proxies = TrustedProxies::forwarded(PROXIES).unwrap();
        let chain: Vec<IpAddr> = named.iter().copied().chain([peer]).collect();
        let stranger = chain
            .iter()
            .rposition(|it| !proxies.trusts(it.to_canonical()));
        chain[stranger.unwrap_or_default()].to_canonical()
    }

    proptest! {
        #[test]
        fn the_client_is_the_last_stranger_in_the_chain(
            peer in any_address(),
            named in vec(any_address(), 0..6),
            lines in 1..3_usize,
        ) {
            let node = |address: &IpAddr| match address {
                IpAddr::V4(address) => format!("for={address}"),
                IpAddr::V6(address) => format!("for=\"[{address}]:443\""),
            };
            let (mut plain, mut forwarded) = (HeaderMap::new(), HeaderMap::new());
            for part in named.chunks(named.len().div_ceil(lines).max(1)) {
                let texts: Vec<_> = part.iter().map(IpAddr::to_string).collect();
                plain.append(X_FORWARDED_FOR, texts.join(", ").parse().unwrap());
                let texts: Vec<_> = part.iter().map(node).collect();
                forwarded.append(FORWARDED, texts.join(", ").parse().unwrap());
            }

            let expected = Some(model(peer, &named));
            let proxies = TrustedProxies::x_forwarded_for(PROXIES).unwrap();
            prop_assert_eq!(proxies.client(peer, &plain), expected);
            let proxies = TrustedProxies::forwarded(PROXIES).unwrap();
            prop_assert_eq!(proxies.client(peer, &forwarded), expected);
        }

        #[test]
        fn what_a_client_sends_never_changes_who_it_is(
            sent in vec(bytes(), 0..3),
            last in bytes(),
            client: IpAddr,
            proxy in 1..255_u8,
            own_line: bool,
        ) {
            let proxies = TrustedProxies::x_forwarded_for(PROXIES).unwrap();
            prop_assume!(!proxies.trusts(client.to_canonical()));
            let spoofed = |name: &HeaderName, honest: String| {
                let mut headers = HeaderMap::new();
                for line in &sent {
                    headers.append(name, HeaderValue::from_bytes(line).unwrap());
                }
                if own_line {
                    headers.append(name, HeaderValue::from_bytes(&last).unwrap());
                    headers.append(name, honest.parse().unwrap());
                } else {
                    let line = [&last[..], b", ", honest.as_bytes()].concat();
                    headers.append(name, HeaderValue::from_bytes(&line).unwrap());
                }
                headers
            };
            let peer = IpAddr::from([10, 0, 0, proxy]);

            let plain = spoofed(&X_FORWARDED_FOR, client.to_string());
            prop_assert_eq!(proxies.client(peer, &plain), Some(client.to_canonical()));
            let proxies = TrustedProxies::forwarded(PROXIES).unwrap();
            let node = if client.is_ipv4() { format!("for={client}") } else { format!("for=\"[{client}]\";proto=http") };
            let forwarded = spoofed(&FORWARDED, node);
            prop_assert_eq!(proxies.client(peer, &forwarded), Some(client.to_canonical()));
        }

        #[test]
        fn any_header_names_somebody_or_nobody(lines in vec(bytes(), 0..4), peer in any_address()) {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(&line).unwrap());
                headers.append(FORWARDED, HeaderValue::from_bytes(&line).unwrap());
            }
            for proxies in [TrustedProxies::x_forwarded_for(PROXIES), TrustedProxies::forwarded(PROXIES)] {
                proxies.unwrap().client(peer, &headers);
            }
        }
    }
}
