use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use watertight::BoxError;

use crate::upstream::Upstream;

/// By its value a service knows that two requests ask for the same work.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A hyper client over TCP.
pub(crate) type HttpClient<B> = legacy::Client<HttpConnector, B>;

/// Layers over an [`HttpClient`].
pub(crate) type Stack = BoxCloneSyncService<Request<Empty<Bytes>>, Response<Incoming>, BoxError>;

/// The shop's way to one upstream.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    upstream: Arc<Upstream>,
    stack: Stack,
}

impl Client {
    pub(crate) fn new(upstream: &Arc<Upstream>, stack: Stack) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            stack,
        }
    }

    /// Asks for what the upstream has to say.
    pub(crate) async fn get(&self) -> Result<Value, BoxError> {
        self.send(Method::GET, None).await
    }

    /// Asks the upstream to do what it does. Without a `key` it is asked once at most.
    pub(crate) async fn post(&self, key: Option<&HeaderValue>) -> Result<Value, BoxError> {
        self.send(Method::POST, key).await
    }

    async fn send(&self, method: Method, key: Option<&HeaderValue>) -> Result<Value, BoxError> {
        let fault = self.upstream.fault();
        let answer = self.ask(method, key).await;
        self.upstream.note_end(fault, answer.is_err());
        answer
    }

    async fn ask(&self, method: Method, key: Option<&HeaderValue>) -> Result<Value, BoxError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}/", self.upstream.address()))
            .body(Empty::new())?;
        if let Some(key) = key {
            request.headers_mut().insert(IDEMPOTENCY_KEY, key.clone());
        }
        let response = self.stack.clone().oneshot(request).await?;
        if !response.status().is_success() {
            return Err(response.status().to_string().into());
        }
        let body = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }
}

/// Makes a client that keeps its connections.
pub(crate) fn connect<B>() -> HttpClient<B>
where
    B: Body<Data: Send> + Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new()).build(connector)
}
