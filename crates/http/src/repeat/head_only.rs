use http::Request;
use http_body::Body;
use watertight_core::Repeat;

use super::HttpRepeat;
use super::kept::KeptHead;
use crate::attempt::carry_on;

/// [`HttpRepeat`] for requests without a body. Made by [`head_only`](HttpRepeat::head_only).
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
        let is_kept = body.is_end_stream() && self.repeat.allows(&head);
        let kept = is_kept.then(|| KeptHeadOnly(KeptHead::new(&head)));
        (Request::from_parts(head, body), kept)
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
