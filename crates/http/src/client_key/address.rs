use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads the address of a node (RFC 7239, section 6), with or without a port: `192.0.2.43`,
/// `192.0.2.43:4711`, `[2001:db8::1]:4711`. An IPv6 address may lack its brackets, as
/// `X-Forwarded-For` has it. `None` is for all that is no address, `unknown` and `_hidden` too.
pub(super) fn read(node: &[u8]) -> Option<IpAddr> {
    let node = str::from_utf8(node).ok()?;
    if let Ok(address) = node.parse() {
        return Some(address);
    }
    let Some(bracketed) = node.strip_prefix('[') else {
        let (address, port) = node.split_once(':')?;
        let address: Ipv4Addr = address.parse().ok()?;
        return is_port(port).then_some(address.into());
    };
    let (address, rest) = bracketed.split_once(']')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let is_end = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    is_end.then_some(address.into())
}

/// Whether this is a number of at most five digits, or a name that begins with `_` in its place.
fn is_port(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(is_name),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_a_port() {
        let table = [
            ("192.0.2.43", "192.0.2.43"),
            ("192.0.2.43:47011", "192.0.2.43"),
            ("192.0.2.43:_door", "192.0.2.43"),
            ("2001:db8:cafe::17", "2001:db8:cafe::17"),
            ("[2001:db8:cafe::17]", "2001:db8:cafe::17"),
            ("[2001:db8:cafe::17]:4711", "2001:db8:cafe::17"),
            ("[2001:DB8:CAFE::17]:_front.door-1", "2001:db8:cafe::17"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ];

        for (node, address) in table {
            assert_eq!(
                read(node.as_bytes()),
                Some(address.parse().unwrap()),
                "{node}"
            );
        }
    }

    #[test]
    fn all_else_is_none() {
        for node in [
            "",
            "unknown",
            "unknown:80",
            "_hidden",
            "_SEVKISEK",
            "localhost",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.043",
            "192.0.2.43:",
            "192.0.2.43:port",
            "192.0.2.43:_",
            "192.0.2.43:123456",
            "192.0.2.43:80:80",
            " 192.0.2.43",
            "[192.0.2.43]",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]80",
            "[2001:db8::1]:",
            "[]:80",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "unix:",
            "\"192.0.2.43\"",
        ] {
            assert_eq!(read(node.as_bytes()), None, "{node:?}");
        }
        assert_eq!(read(b"192.0.2.43\xff"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(node in proptest::collection::vec(any::<u8>(), 0..60)) {
            read(&node);
        }

        #[test]
        fn every_address_is_itself(address: IpAddr, port: u16) {
            let bare = address.to_string();
            let with_port = std::net::SocketAddr::new(address, port).to_string();

            prop_assert_eq!(read(bare.as_bytes()), Some(address));
            prop_assert_eq!(read(with_port.as_bytes()), Some(address));
        }
    }
}
