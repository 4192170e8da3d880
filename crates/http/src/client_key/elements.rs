use std::iter;

/// Returns the elements of a list, the last one first, without the spaces around them. In a quoted
/// string (RFC 9110, section 5.6.4) nothing separates.
///
/// A server knows only the right end of such a list: the left one came with the request. So
/// nothing that is left of an element, an open quote for one, can change how it is read.
pub(super) fn from_right(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    iter::from_fn(move || {
        let list = rest?;
        let element = match last_separator(list, separator) {
            Some(at) => {
                rest = Some(&list[..at]);
                &list[at + 1..]
            }
            None => {
                rest = None;
                list
            }
        };
        Some(element.trim_ascii())
    })
}

fn last_separator(list: &[u8], separator: u8) -> Option<usize> {
    let mut is_quoted = false;
    for (at, &byte) in list.iter().enumerate().rev() {
        if byte == b'"' {
            // A closing quote, one that is escaped in its string, or the one that opens it.
            is_quoted = !is_quoted || list[..at].ends_with(b"\\");
        } else if byte == separator && !is_quoted {
            return Some(at);
        }
    }
    None
}

/// Reads the parameter `for` of a forwarded element (RFC 7239, section 4). `None` is for an
/// element that has none, or several.
pub(super) fn forwarded_for(element: &[u8]) -> Option<&[u8]> {
    let mut nodes = from_right(element, b';').filter_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&pair[..at], &pair[at + 1..]);
        name.eq_ignore_ascii_case(b"for").then_some(value)
    });
    let node = nodes.next()?;
    nodes.next().is_none().then(|| unquote(node))
}

/// Takes the quotes off. Escapes stay: no address needs any, and none is written with them.
fn unquote(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"");
    let inner = inner.and_then(|value| value.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn read(list: &str) -> Vec<Option<&str>> {
        from_right(list.as_bytes(), b',')
            .map(|element| Some(str::from_utf8(forwarded_for(element)?).unwrap()))
            .collect()
    }

    /// The examples of RFC 7239, sections 4, 6.3 and 7.1.
    #[test]
    fn reads_what_the_rfc_shows() {
        let table: [(&str, &[Option<&str>]); 8] = [
            (r#"for="_gazonk""#, &[Some("_gazonk")]),
            (
                r#"For="[2001:db8:cafe::17]:4711""#,
                &[Some("[2001:db8:cafe::17]:4711")],
            ),
            (
                "for=192.0.2.60;proto=http;by=203.0.113.43",
                &[Some("192.0.2.60")],
            ),
            (
                "for=192.0.2.43, for=198.51.100.17",
                &[Some("198.51.100.17"), Some("192.0.2.43")],
            ),
            (
                "for=_hidden, for=_SEVKISEK",
                &[Some("_SEVKISEK"), Some("_hidden")],
            ),
            (
                r#"for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown"#,
                &[
                    Some("unknown"),
                    Some("[2001:db8:cafe::17]"),
                    Some("192.0.2.43"),
                ],
            ),
            (
                r#"for=192.0.2.43, for="[2001:db8:cafe::17]""#,
                &[Some("[2001:db8:cafe::17]"), Some("192.0.2.43")],
            ),
            ("proto=http;host=example.com", &[None]),
        ];

        for (list, nodes) in table {
            assert_eq!(read(list), nodes, "{list}");
        }
    }

    #[test]
    fn what_is_quoted_separates_nothing() {
        let list = r#"for=192.0.2.1;host="a,b;for=6.6.6.6", for="_\",;\\";by=_x"#;

        assert_eq!(read(list), [Some(r#"_\",;\\"#), Some("192.0.2.1")]);
    }

    #[test]
    fn an_open_quote_on_the_left_changes_nothing() {
        for left in [
            r#"for=6.6.6.6;x=""#,
            r#"""#,
            r#"\"#,
            r#"for="\"#,
            r#"";for=""#,
        ] {
            let list = format!("{left}, for=192.0.2.1;proto=https");

            assert_eq!(read(&list)[0], Some("192.0.2.1"), "{left}");
        }
    }

    #[test]
    fn an_element_with_two_nodes_has_none() {
        assert_eq!(read("for=192.0.2.1;FOR=192.0.2.2"), [None]);
        assert_eq!(read("before=192.0.2.1"), [None]);
        assert_eq!(read("for"), [None]);
        assert_eq!(read(""), [None]);
    }

    fn quoted() -> impl Strategy<Value = String> {
        r#"([ a-z,;=.:]|\\["\\,a]){0,8}"#.prop_map(|text| format!("\"{text}\""))
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z0-9._-]{1,8}", quoted()]
    }

    /// One element, as the parameters before the node, the node, and those behind it.
    type Element = (Vec<String>, Option<String>, Vec<String>);

    fn element() -> impl Strategy<Value = Element> {
        let other = || vec(("(by|proto|host|x)=", value()), 0..3);
        let glued = |pairs: Vec<(String, String)>| {
            let pairs = pairs.into_iter().map(|(name, value)| name + &value);
            pairs.collect::<Vec<_>>()
        };
        (
            other().prop_map(glued),
            proptest::option::of(value()),
            other().prop_map(glued),
        )
    }

    fn written((before, node, behind): &Element) -> String {
        let node = node.iter().map(|node| format!("for={node}"));
        let pairs = before.iter().cloned().chain(node);
        pairs
            .chain(behind.iter().cloned())
            .collect::<Vec<_>>()
            .join(";")
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_from_the_right(elements in vec(element(), 1..5), spaced: bool) {
            let comma = if spaced { " , " } else { "," };
            let list = elements.iter().map(written).collect::<Vec<_>>().join(comma);

            let nodes = elements.iter().rev().map(|(_, node, _)| {
                node.as_deref().map(|node| {
                    node.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(node)
                })
            });
            prop_assert_eq!(read(&list), nodes.collect::<Vec<_>>());
        }

        #[test]
        fn what_is_left_changes_nothing(left in vec(any::<u8>(), 0..40), honest in element()) {
            let honest = written(&honest);
            let list = [&left[..], b",", honest.as_bytes()].concat();

            let first = from_right(&list, b',').next();

            prop_assert_eq!(first, Some(honest.as_bytes()));
        }

        #[test]
        fn any_bytes_are_read_or_not(list in vec(any::<u8>(), 0..60)) {
            for element in from_right(&list, b',') {
                forwarded_for(element);
            }
        }
    }
}
