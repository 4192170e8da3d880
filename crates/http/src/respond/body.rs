use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project::pin_project;

/// The body of an answer that came from the inner service, or from one of our layers in its
/// place.
///
/// It asks nothing of the inner body `B` but that its data are [`Bytes`], as with every host.
#[derive(Debug)]
#[pin_project(project = Projected)]
pub enum AnswerBody<B> {
    /// From the inner service.
    Inner(#[pin] B),
    /// From a layer.
    Own(#[pin] Full<Bytes>),
}

impl<B: Body<Data = Bytes>> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project() {
            Projected::Inner(body) => body.poll_frame(cx),
            Projected::Own(body) => body
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Inner(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Inner(body) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}
