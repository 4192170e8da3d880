use std::fmt;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use watertight_core::{BoxError, Failure, Repeat};

use super::{HttpRepeat, KeptRequest};
use crate::attempt::carry_on;
use crate::replay::ReplayBody;

/// [`HttpRepeat`] where the type of the body is to stay the same. Made by
/// [`same_body`](HttpRepeat::same_body).
pub struct SameBody<B> {
    repeat: HttpRepeat,
    wrap: fn(ReplayBody<B>) -> B,
}

impl<B> SameBody<B> {
    pub(super) const fn new(repeat: HttpRepeat, wrap: fn(ReplayBody<B>) -> B) -> Self {
        Self { repeat, wrap }
    }
}

impl<B> Repeat<Request<B>> for SameBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Request = Request<B>;
    type Kept = KeptRequest<B>;

    fn keep(&self, request: Request<B>) -> (Request<B>, Option<KeptRequest<B>>) {
        let (request, kept) = self.repeat.keep(request);
        let wrap = |body: ReplayBody<B>| body.into_once().unwrap_or_else(self.wrap);
        (request.map(wrap), kept)
    }

    fn allows(&self, kept: &KeptRequest<B>, failure: &Failure) -> bool {
        kept.allows(failure)
    }

    fn again(&self, kept: &KeptRequest<B>) -> Option<Request<B>> {
        Some(kept.again()?.map(self.wrap))
    }

    fn once(&self, mut request: Request<B>) -> Request<B> {
        carry_on(request.headers_mut());
        request
    }

    fn cut_off(&self, kept: &KeptRequest<B>) {
        self.repeat.cut_off(kept);
    }
}

impl<B> Clone for SameBody<B> {
    fn clone(&self) -> Self {
        Self {
            repeat: self.repeat.clone(),
            wrap: self.wrap,
        }
    }
}

impl<B> fmt::Debug for SameBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SameBody").field(&self.repeat).finish()
    }
}
