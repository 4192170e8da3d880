use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header, request};
use http_body::Body;
use watertight_core::{BoxError, Failure, Repeat};

use super::kept::{KeptHead, KeptRequest};
use super::rules::Rules;
use super::{HeadOnly, SameBody};
use crate::attempt::carry_on;
use crate::replay::{Limits, ReplayBody, Total, keep};

/// Sends requests of HTTP again, with their bodies. What `.http()` and `.grpc()` set.
///
/// # Which requests
///
/// | request | is sent again |
/// | --- | --- |
/// | GET, HEAD, OPTIONS, TRACE, PUT, DELETE: safe or idempotent by RFC 9110 | after any failure that is worth it |
/// | with an `Idempotency-Key`, or with the key of the [`Context`](watertight_core::Context) | so too |
/// | that [`methods`](Self::methods) or [`also`](Self::also) pick, or any with [`all`](Self::all) | so too |
/// | any other | after a [`Connect`](watertight_core::FailureKind::Connect) failure alone, which never reached the service |
///
/// The key of a context is not written into the request: that is for the layer that sets it.
///
/// # Bodies
///
/// The first attempt streams the body through as it comes, and what it has read is kept, without a
/// copy. Each further attempt has that first, and then goes on with the body itself: an attempt may
/// start before the one before it has read everything, and any number may read at the same time.
/// Trailers are sent again too. `Content-Length` is that of the body in every attempt.
///
/// A request is sent no more once more than [`body`](Self::body) bytes of it have been read, or as
/// much is kept of all together as [`total`](Self::total) says. Then nothing more is kept of it: the
/// attempt that is furthest on goes on alone, and what was kept is dropped. Others that still read
/// end with [`ReplayError::Overtaken`](crate::ReplayError::Overtaken). A chunk of less than 64 bytes
/// counts as that many. Nothing is kept of a body that says that it is longer; as long as it has not
/// been read at all it can be sent again all the same.
///
/// When the body itself breaks off, every attempt does, with the same error, and there is no
/// further one.
///
/// # Requests
///
/// Every attempt has the method, target, headers and extensions of the first. From the second on it
/// says which it is: `x-retry-attempt: 1`, or `grpc-previous-rpc-attempts: 1` over gRPC, counted on
/// from what the request came with. A request that is made for the sake of a retry, by
/// [`InboundLayer`](crate::InboundLayer), says so from the first on.
///
/// `Expect: 100-continue` is sent again with the other headers. The body of such a request is not
/// touched before an attempt reads it, so that nobody asks the client to go on before the service
/// has; if the service says no at once, the next attempt starts with all of it. Of other requests
/// whose length is known the first chunk is read as soon as they are kept: if it is the only one,
/// no more is needed than that chunk.
///
/// # The type of the request
///
/// What goes down is a `Request<ReplayBody<B>>`. hyper's clients take any body; where the host
/// fixes its type, [`same_body`](Self::same_body) keeps it.
///
/// ```
/// use http::Method;
/// use watertight_http::HttpRepeat;
///
/// let repeat = HttpRepeat::new()
///     .methods([Method::PATCH])
///     .also(|head| head.uri.path() == "/search")
///     .body(256 * 1024);
/// assert_eq!(repeat.kept_bytes(), 0);
/// ```
///
/// # Sharing
///
/// Clones share one total, until one is given its own by [`total`](Self::total).
#[derive(Clone, Debug)]
pub struct HttpRepeat {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    rules: Rules,
    limits: Limits,
}

impl HttpRepeat {
    /// How much is kept of one body by default: nearly every request of an API is smaller, and what
    /// is larger is better streamed than held in memory.
    pub const BODY: usize = 64 * 1024;

    /// How much is kept of all bodies together by default: that of 256 requests with the most that
    /// is kept of one.
    pub const TOTAL: usize = 16 * 1024 * 1024;

    /// Repeats the requests that may be sent twice without harm by what RFC 9110 says.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Rules::new())
    }

    /// Repeats any request.
    ///
    /// This is for gRPC, where all are POST and nothing in a request says whether it is idempotent:
    /// as in the service configs of gRPC, the status of the answer decides, and whoever puts a layer
    /// that repeats in front of a service says by it that its methods bear that. Where some do not,
    /// name those that do: `HttpRepeat::new().also(|head| head.uri.path() == "/shop.Catalog/Find")`.
    #[must_use]
    pub fn all() -> Self {
        Self::with(Rules::All)
    }

    fn with(rules: Rules) -> Self {
        let limits = Limits {
            body: Self::BODY,
            total: Arc::new(Total::new(Self::TOTAL)),
        };
        Self {
            settings: Arc::new(Settings { rules, limits }),
        }
    }

    /// Sets how many bytes are kept of one body. Default: [`BODY`](Self::BODY). With 0 a body is
    /// sent again as long as nothing of it was read.
    #[must_use]
    pub fn body(mut self, bytes: usize) -> Self {
        self.settings_mut().limits.body = bytes;
        self
    }

    /// Sets how many bytes are kept of all bodies together. Default: [`TOTAL`](Self::TOTAL).
    #[must_use]
    pub fn total(mut self, bytes: usize) -> Self {
        self.settings_mut().limits.total = Arc::new(Total::new(bytes));
        self
    }

    /// Repeats requests with these methods too.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.settings_mut().rules.add_methods(methods);
        self
    }

    /// Repeats the requests too that `pick` picks by their heads.
    #[must_use]
    pub fn also(mut self, pick: impl Fn(&request::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.settings_mut().rules.add(Arc::new(pick));
        self
    }

    /// Keeps the type of the bodies, by making what is sent one of them, for hosts that fix it:
    ///
    /// | host | |
    /// | --- | --- |
    /// | axum | `HttpRepeat::new().same_body(axum::body::Body::new)` |
    /// | tonic | `HttpRepeat::all().same_body(tonic::body::Body::new)` |
    /// | reqwest | `HttpRepeat::new().same_body(reqwest::Body::wrap)` |
    ///
    /// What is sent once, or has no content, is not wrapped.
    #[must_use]
    pub const fn same_body<B>(self, wrap: fn(ReplayBody<B>) -> B) -> SameBody<B> {
        SameBody::new(self, wrap)
    }

    /// Keeps the heads alone: repeats requests without a body, whose type may be any that has a
    /// [`Default`] without content.
    #[must_use]
    pub const fn head_only(self) -> HeadOnly {
        HeadOnly::new(self)
    }

    /// Returns how many bytes are kept of all bodies at this moment.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.settings.limits.total.kept()
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    /// Whether a request may be sent again though it may have reached the service.
    pub(super) fn is_safe(&self, head: &request::Parts) -> bool {
        self.settings.rules.allow(head)
    }
}

impl Default for HttpRepeat {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> Repeat<Request<B>> for HttpRepeat
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Request = Request<ReplayBody<B>>;
    type Kept = KeptRequest<B>;

    fn keep(&self, request: Request<B>) -> (Self::Request, Option<KeptRequest<B>>) {
        let (mut head, body) = request.into_parts();
        carry_on(&mut head.headers);
        let is_safe = self.is_safe(&head);
        // To poll the body of such a request is to ask the client for it.
        let look = !head.headers.contains_key(header::EXPECT);
        let (sent, kept) = keep(body, &self.settings.limits, look);
        let kept = kept.map(|body| KeptRequest {
            head: KeptHead::new(&head, is_safe),
            body,
        });
        (Request::from_parts(head, sent), kept)
    }

    fn allows(&self, kept: &KeptRequest<B>, failure: &Failure) -> bool {
        kept.allows(failure)
    }

    fn again(&self, kept: &KeptRequest<B>) -> Option<Self::Request> {
        kept.again()
    }

    fn once(&self, mut request: Request<B>) -> Self::Request {
        carry_on(request.headers_mut());
        request.map(ReplayBody::once)
    }

    fn cut_off(&self, kept: &KeptRequest<B>) {
        kept.body.cut();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty, Full};
    use watertight_core::{Context, FailureKind, IdempotencyKey};

    use super::*;

    fn request(method: Method) -> Request<Full<Bytes>> {
        let request = Request::builder().method(method).uri("/orders?id=1");
        request.body(Full::from("hello")).unwrap()
    }

    fn repeats(repeat: &HttpRepeat, request: Request<Full<Bytes>>) -> bool {
        repeats_after(FailureKind::Server, repeat, request)
    }

    fn repeats_after(
        kind: FailureKind,
        repeat: &HttpRepeat,
        request: Request<Full<Bytes>>,
    ) -> bool {
        let (_, kept) = repeat.keep(request);
        kept.is_some_and(|kept| repeat.allows(&kept, &Failure::new(kind)))
    }

    #[test]
    fn repeats_the_methods_that_are_idempotent() {
        let repeat = HttpRepeat::new();

        for (method, again) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::OPTIONS, true),
            (Method::TRACE, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
            (Method::CONNECT, false),
            (Method::from_bytes(b"PROPFIND").unwrap(), false),
        ] {
            assert_eq!(repeats(&repeat, request(method.clone())), again, "{method}");
        }
    }

    #[test]
    fn repeats_what_has_an_idempotency_key() {
        let mut keyed = request(Method::POST);
        keyed
            .headers_mut()
            .insert("idempotency-key", "1".parse().unwrap());
        let context = Context {
            idempotency_key: IdempotencyKey::new("1").ok(),
            ..Context::default()
        };

        assert!(repeats(&HttpRepeat::new(), keyed));
        let (sent, kept) = context.enter(|| HttpRepeat::new().keep(request(Method::POST)));

        let kept = kept.unwrap();
        assert!(HttpRepeat::new().allows(&kept, &Failure::new(FailureKind::Server)));
        assert!(!sent.headers().contains_key("idempotency-key"));
    }

    #[test]
    fn repeats_anything_that_never_reached_the_service() {
        let repeat = HttpRepeat::new();
        let long = request(Method::POST).map(|_| Full::from(vec![0; 1 << 20]));

        assert!(repeats_after(
            FailureKind::Connect,
            &repeat,
            request(Method::POST)
        ));
        assert!(repeats_after(FailureKind::Connect, &repeat, long));
        assert!(!repeats_after(
            FailureKind::Timeout,
            &repeat,
            request(Method::POST)
        ));
    }

    #[test]
    fn repeats_what_it_is_told_to() {
        let more = HttpRepeat::new()
            .methods([Method::PATCH])
            .also(|head| head.uri.path() == "/orders");

        assert!(repeats(&more, request(Method::PATCH)));
        assert!(repeats(&more, request(Method::POST)));
        let mut payment = request(Method::POST);
        *payment.uri_mut() = "/payments".parse().unwrap();
        assert!(!repeats(&more, payment));
        assert!(repeats(&HttpRepeat::all(), request(Method::POST)));
    }

    #[tokio::test]
    async fn every_attempt_is_the_whole_request() {
        #[derive(Clone, Debug, PartialEq)]
        struct Extension(u8);

        let repeat = HttpRepeat::new();
        let mut put = request(Method::PUT);
        put.headers_mut().insert("x-tenant", "a".parse().unwrap());
        put.extensions_mut().insert(Extension(7));

        let (sent, kept) = repeat.keep(put);
        let kept = kept.unwrap();
        let again = [(); 2].map(|()| repeat.again(&kept).unwrap());

        assert!(!sent.headers().contains_key("x-retry-attempt"));
        for (attempt, request) in [sent].into_iter().chain(again).enumerate() {
            assert_eq!(request.method(), Method::PUT);
            assert_eq!(request.uri(), "/orders?id=1");
            assert_eq!(request.headers()["x-tenant"], "a");
            assert_eq!(request.extensions().get(), Some(&Extension(7)));
            if attempt > 0 {
                let said = &request.headers()["x-retry-attempt"];
                assert_eq!(said, &attempt.to_string());
            }
            let body = request.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "hello");
        }
    }

    #[test]
    fn attempts_count_on_from_what_came() {
        let repeat = HttpRepeat::all();
        let mut outer = request(Method::PUT);
        outer
            .headers_mut()
            .insert("x-retry-attempt", "2".parse().unwrap());
        let mut grpc = request(Method::POST);
        let headers = grpc.headers_mut();
        headers.insert("content-type", "application/grpc".parse().unwrap());

        let (sent, kept) = repeat.keep(outer);
        let again = repeat.again(&kept.unwrap()).unwrap();
        let (first, kept) = repeat.keep(grpc);
        let second = repeat.again(&kept.unwrap()).unwrap();

        assert_eq!(sent.headers()["x-retry-attempt"], "2");
        assert_eq!(again.headers()["x-retry-attempt"], "3");
        assert!(!first.headers().contains_key("grpc-previous-rpc-attempts"));
        assert_eq!(second.headers()["grpc-previous-rpc-attempts"], "1");
    }

    #[test]
    fn says_how_much_is_kept() {
        let repeat = HttpRepeat::new().body(1000).total(10_000);

        let (_, kept) = repeat.keep(request(Method::PUT).map(|_| Full::from(vec![0; 1000])));
        let (_, lost) = repeat.keep(request(Method::PUT).map(|_| Full::from(vec![0; 1001])));

        let server = Failure::new(FailureKind::Server);
        assert!(repeat.allows(kept.as_ref().unwrap(), &server));
        // It has not been read yet.
        assert!(repeat.allows(&lost.unwrap(), &server));
        assert_eq!(repeat.kept_bytes(), 1000);
        drop(kept);
        assert_eq!(repeat.kept_bytes(), 0);
    }

    #[tokio::test]
    async fn a_request_without_a_body_needs_its_head_alone() {
        let repeat = HttpRepeat::new().head_only();
        let get = Request::new(Empty::<Bytes>::new());

        let (_, kept) = repeat.keep(get);
        let again: Request<Empty<Bytes>> = repeat.again(&kept.unwrap()).unwrap();

        assert_eq!(again.headers()["x-retry-attempt"], "1");
        assert!(repeat.keep(request(Method::PUT)).1.is_none());
        let (_, kept) = repeat.keep(request(Method::POST).map(|_| Full::<Bytes>::default()));
        let allows = |kind| {
            let kept = kept.as_ref().unwrap();
            Repeat::<Request<Full<Bytes>>>::allows(&repeat, kept, &Failure::new(kind))
        };
        assert!(allows(FailureKind::Connect));
        assert!(!allows(FailureKind::Server));
    }

    #[tokio::test]
    async fn the_type_of_the_body_may_stay_the_same() {
        type Boxed = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

        let repeat = HttpRepeat::new().same_body(Boxed::new);
        let put = request(Method::PUT).map(|body| Boxed::new(body.map_err(Into::into)));

        let (sent, kept) = repeat.keep(put);
        let again: Request<Boxed> = repeat.again(&kept.unwrap()).unwrap();

        for request in [sent, again] {
            assert_eq!(request.body().size_hint().exact(), Some(5));
            let body = request.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "hello");
        }
    }
}
