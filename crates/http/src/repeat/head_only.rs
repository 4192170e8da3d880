use http::Request;
use http_body::Body;
use watertight_core::{Failure, Repeat};

use super::HttpRepeat;
use super::kept::KeptHead;
use crate::attempt::carry_on;

/// [`HttpRepeat`] for requests without a body, whose type stays the same. Made by
/// [`head_only`](HttpRepeat::head_only).
///
/// A request with a body is not repeated.
#[derive(Clone, Debug)]
pub struct HeadOnly {
    repeat: HttpRepeat,
}

impl HeadOnly {
    pub(super) const fn new(repeat: HttpRepeat) -> Self {
        Self { repeat }
    }
}

impl<B> Repeat<Request<B>> for HeadOnly
where
    B: Body + Default,
{
    type Request = Request<B>;
    type Kept = KeptHeadOnly;

    fn keep(&self, request: Request<B>) -> (Request<B>, Option<KeptHeadOnly>) {
        let (mut head, body) = request.into_parts();
        carry_on(&mut head.headers);
        let is_safe = self.repeat.is_safe(&head);
        let is_kept = body.is_end_stream();
        let kept = is_kept.then(|| KeptHeadOnly(KeptHead::new(&head, is_safe)));
        (Request::from_parts(head, body), kept)
    }

    fn allows(&self, kept: &KeptHeadOnly, failure: &Failure) -> bool {
        kept.0.allows(failure)
    }

    fn again(&self, kept: &KeptHeadOnly) -> Option<Request<B>> {
        Some(Request::from_parts(kept.0.again(), B::default()))
    }

    fn once(&self, mut request: Request<B>) -> Request<B> {
        carry_on(request.headers_mut());
        request
    }
}

/// What is kept of a request without a body. Made by [`HeadOnly`].
#[derive(Debug)]
pub struct KeptHeadOnly(KeptHead);
