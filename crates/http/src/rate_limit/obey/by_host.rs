use std::str::FromStr;

use http::header::HOST;
use http::uri::Authority;
use http::{Request, Uri};
use watertight_core::{Key, KeyBy};

/// Tells servers apart by host and port: those of the request's URI, or of its `Host`.
///
/// A port that the scheme says is as good as one that is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ByHost;

impl ByHost {
    /// Returns the key of requests to `uri`.
    #[must_use]
    pub fn key_of(uri: &Uri) -> Option<Key> {
        Some(key(uri.authority()?, uri.scheme_str()))
    }
}

impl<B> KeyBy<Request<B>> for ByHost {
    fn key(&self, request: &Request<B>) -> Option<Key> {
        Self::key_of(request.uri()).or_else(|| {
            let host = request.headers().get(HOST)?.to_str().ok()?;
            let scheme = request.uri().scheme_str();
            Some(key(&Authority::from_str(host).ok()?, scheme))
        })
    }

    fn label(&self, request: &Request<B>) -> Option<String> {
        let host = request.headers().get(HOST);
        let authority = request.uri().authority().map(ToString::to_string);
        authority.or_else(|| Some(host?.to_str().ok()?.to_owned()))
    }
}

fn key(authority: &Authority, scheme: Option<&str>) -> Key {
    let by_scheme = if scheme == Some("https") { 443 } else { 80 };
    let port = authority.port_u16().unwrap_or(by_scheme);
    let host = authority.host();
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Key::of((host.to_ascii_lowercase(), port));
    }
    Key::of((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(uri: &str, host: Option<&str>) -> Option<Key> {
        let mut request = Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        ByHost.key(&request.body(()).unwrap())
    }

    #[test]
    fn a_server_is_a_host_and_a_port() {
        let key = key_of("http://a.example/x?y", None);

        assert_eq!(key, key_of("http://A.example:80/z", None));
        assert_eq!(key, key_of("/x", Some("a.example")));
        assert_eq!(key, key_of("http://a.example/x", Some("b.example")));
        assert_ne!(key, key_of("https://a.example/x", None));
        assert_ne!(key, key_of("http://a.example:8080/x", None));
        assert_ne!(key, key_of("http://b.example/x", None));
    }

    #[test]
    fn a_request_that_names_no_server_has_no_key() {
        assert_eq!(key_of("/x", None), None);
        assert_eq!(key_of("/x", Some("a b")), None);
        assert_eq!(key_of("/x", Some("")), None);
    }
}
