use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header, request};
use http_body::Body;
use watertight_core::{BoxError, Repeat};

use super::kept::{KeptHead, KeptRequest};
use super::rules::Rules;
use super::{HeadOnly, SameBody};
use crate::attempt::carry_on;
use crate::replay::{Limits, ReplayBody, Total, keep};

/// Sends requests of HTTP again, with their bodies.
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

    /// Repeats the requests that may be sent twice without harm.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Rules::new())
    }

    /// Repeats any request. Over gRPC, where all are POST, which answers are worth a retry is said
    /// by their codes.
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

    /// Sets how many bytes are kept of one body. Default: [`BODY`](Self::BODY).
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

    /// Keeps the type of the bodies.
    #[must_use]
    pub const fn same_body<B>(self, wrap: fn(ReplayBody<B>) -> B) -> SameBody<B> {
        SameBody::new(self, wrap)
    }

    /// Keeps the heads alone.
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

    pub(super) fn allows(&self, head: &request::Parts) -> bool {
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
        if !self.allows(&head) {
            return (Request::from_parts(head, ReplayBody::once(body)), None);
        }
        // To poll the body of such a request is to ask the client for it.
        let look = !head.headers.contains_key(header::EXPECT);
        let (sent, kept) = keep(body, &self.settings.limits, look);
        let kept = kept.map(|body| KeptRequest {
            head: KeptHead::new(&head),
            body,
        });
        (Request::from_parts(head, sent), kept)
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
