//! How pages are asked for: through a proxy, which tells the shop for whom it asks.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use watertight::BoxError;

use crate::client::{HttpClient, IDEMPOTENCY_KEY};
use crate::page::{Page, Verdict};
use crate::shop::MISSING;

/// By its value a service knows how many milliseconds the answer is waited for.
pub(crate) const DEADLINE_MS: HeaderName = HeaderName::from_static("x-deadline-ms");

/// By its value the shop knows from which address a page is asked for.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// One connection for all who come through it: thousands may be waiting, and each connection takes
/// two of the few files that a process may have open.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    shop: SocketAddr,
    client: HttpClient<Empty<Bytes>>,
}

impl Proxy {
    pub(crate) fn new(shop: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = legacy::Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build(connector);
        Self { shop, client }
    }

    /// Asks for the `number`-th `page`, and says who asks and how long he waits: a shop may heed that,
    /// or not.
    pub(crate) async fn ask(
        &self,
        page: Page,
        number: u64,
        from: Ipv4Addr,
        patience: Duration,
    ) -> Result<Verdict, BoxError> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.shop.to_string())
            .path_and_query(page.path())
            .build()?;
        let request = Request::builder()
            .method(page.method())
            .uri(uri)
            .header(IDEMPOTENCY_KEY, format!("{from}-{number}"))
            .header(DEADLINE_MS, patience.as_millis().to_string())
            .header(X_FORWARDED_FOR, from.to_string())
            .body(Empty::<Bytes>::new())?;
        let response = self.client.request(request).await?;
        let verdict = match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Verdict::Refused,
            status if !status.is_success() => Verdict::Failed,
            _ if response.headers().contains_key(MISSING) => Verdict::Degraded,
            _ => Verdict::Good,
        };
        response.into_body().collect().await?;
        Ok(verdict)
    }
}
