use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use watertight::BoxError;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// One who asks again and again.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) name: &'static str,
    key: &'static str,
    /// Where the proxy says that it comes from.
    address: &'static str,
    pub(crate) asks: u32,
}

/// They come one after another.
pub(crate) const CALLERS: [Caller; 4] = [
    Caller {
        name: "acme",
        key: "acme-3f9c",
        address: "203.0.113.1",
        asks: 25,
    },
    Caller {
        name: "globex",
        key: "globex-77a0",
        address: "203.0.113.2",
        asks: 10,
    },
    Caller {
        name: "initech",
        key: "initech-b21e",
        address: "203.0.113.3",
        asks: 25,
    },
    Caller {
        name: "guesser",
        key: "acme-0000",
        address: "203.0.113.66",
        asks: 10,
    },
];

/// What came of the calls of one.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) served: u32,
    /// How often the key was unknown.
    pub(crate) unknown: u32,
    /// How often it had asked for too much.
    pub(crate) refused: u32,
    /// How much is left, as it was told last.
    pub(crate) rate_limit: Option<String>,
    /// When to come again, as it was told last.
    pub(crate) retry_after: Option<String>,
}

/// Makes all calls of one.
pub(crate) async fn call(server: SocketAddr, caller: &Caller) -> Result<Received, BoxError> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut received = Received::default();
    for _ in 0..caller.asks {
        let request = Request::get(format!("http://{server}/report"))
            .header("x-api-key", caller.key)
            .header("x-forwarded-for", caller.address)
            .body(Empty::new())?;
        let response = client.request(request).await?;
        received.count(response.status(), response.headers())?;
    }
    Ok(received)
}

impl Received {
    fn count(&mut self, status: StatusCode, headers: &HeaderMap) -> Result<(), BoxError> {
        match status {
            StatusCode::OK => self.served += 1,
            StatusCode::UNAUTHORIZED => self.unknown += 1,
            StatusCode::TOO_MANY_REQUESTS => self.refused += 1,
            other => return Err(other.to_string().into()),
        }
        note(&mut self.rate_limit, headers.get(RATE_LIMIT));
        note(&mut self.retry_after, headers.get(RETRY_AFTER));
        Ok(())
    }
}

fn note(last: &mut Option<String>, value: Option<&HeaderValue>) {
    if let Some(value) = value.and_then(|it| it.to_str().ok()) {
        *last = Some(value.to_owned());
    }
}
