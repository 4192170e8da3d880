use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// What a request or an answer is, by its content type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    Http,
    /// gRPC, of this content type.
    Grpc(&'static str),
}

impl Protocol {
    /// Tells by the headers.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        /// The longer first, since each starts with the next.
        const GRPC: [&str; 3] = [
            "application/grpc-web-text",
            "application/grpc-web",
            "application/grpc",
        ];

        let Some(value) = headers.get(CONTENT_TYPE) else {
            return Self::Http;
        };
        GRPC.into_iter()
            .find(|kind| is_of(value.as_bytes(), kind))
            .map_or(Self::Http, Self::Grpc)
    }

    /// Whether the status of a response is in trailers. gRPC-Web sends them as data.
    pub(crate) fn has_trailers(self) -> bool {
        self == Self::Grpc("application/grpc")
    }
}

/// Says whether a content type is `kind`, with whatever suffix and parameters.
fn is_of(value: &[u8], kind: &str) -> bool {
    value.len() >= kind.len()
        && value[..kind.len()].eq_ignore_ascii_case(kind.as_bytes())
        && matches!(
            value.get(kind.len()),
            None | Some(b'+' | b';' | b' ' | b'\t')
        )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn protocol(content_type: &[u8]) -> Protocol {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_bytes(content_type).unwrap());
        Protocol::of(&headers)
    }

    #[test]
    fn tells_grpc_by_its_content_type() {
        let table = [
            ("application/grpc", "application/grpc"),
            ("application/grpc+proto", "application/grpc"),
            ("Application/GRPC;charset=utf-8", "application/grpc"),
            ("application/grpc-web", "application/grpc-web"),
            ("application/grpc-web+proto", "application/grpc-web"),
            ("application/grpc-web-text", "application/grpc-web-text"),
        ];

        for (content_type, kind) in table {
            let told = protocol(content_type.as_bytes());
            assert_eq!(told, Protocol::Grpc(kind), "{content_type}");
        }
    }

    #[test]
    fn everything_else_is_http() {
        for content_type in [
            "",
            "application/json",
            "application/grp",
            "application/grpcs",
            "text/plain; application/grpc",
        ] {
            let told = protocol(content_type.as_bytes());
            assert_eq!(told, Protocol::Http, "{content_type}");
        }
        assert_eq!(Protocol::of(&HeaderMap::new()), Protocol::Http);
    }

    proptest! {
        #[test]
        fn any_content_type_is_of_some_kind(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            if HeaderValue::from_bytes(&value).is_ok() {
                protocol(&value);
            }
        }
    }
}
