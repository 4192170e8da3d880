use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use watertight_core::BoxError;

use super::limits::Room;
use super::shared::{Reader, Rewind};

/// A body that can be sent again. Made by [`HttpRepeat`](crate::HttpRepeat), whose page says how.
///
/// Copies of one body may be read at the same time, each in a task of its own; whichever has had all
/// that is kept goes on with the body itself, for all. Its errors are those of the body, or a
/// [`ReplayError`](crate::ReplayError).
#[pin_project]
pub struct ReplayBody<B> {
    #[pin]
    kind: Kind<B>,
}

#[pin_project(project = Projected)]
enum Kind<B> {
    /// Sent once.
    Once(#[pin] B),
    /// All that there is, or what is left of it.
    Whole(Option<Bytes>),
    Shared(Reader<B>),
}

impl<B> ReplayBody<B> {
    /// Wraps a body that is sent once. It costs nothing.
    pub const fn once(body: B) -> Self {
        Self {
            kind: Kind::Once(body),
        }
    }

    /// Returns the body that is sent once, as it came.
    pub(crate) fn into_once(self) -> Result<B, Self> {
        match self.kind {
            Kind::Once(body) => Ok(body),
            kind => Err(Self { kind }),
        }
    }

    pub(super) const fn whole(data: Option<Bytes>) -> Self {
        Self {
            kind: Kind::Whole(data),
        }
    }

    pub(super) const fn shared(reader: Reader<B>) -> Self {
        Self {
            kind: Kind::Shared(reader),
        }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            Projected::Once(body) => body
                .poll_frame(cx)
                .map(|polled| polled.map(|frame| frame.map_err(Into::into))),
            Projected::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Projected::Shared(reader) => reader
                .poll_frame(cx)
                .map(|polled| polled.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Once(body) => body.is_end_stream(),
            Kind::Whole(data) => data.is_none(),
            Kind::Shared(reader) => reader.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Once(body) => body.size_hint(),
            Kind::Whole(data) => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
            Kind::Shared(reader) => reader.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Once(_) => "ReplayBody::Once",
            Kind::Whole(_) => "ReplayBody::Whole",
            Kind::Shared(_) => "ReplayBody::Shared",
        })
    }
}

/// What is kept of a body.
#[derive(Debug)]
pub(crate) enum KeptBody<B> {
    Empty,
    Whole {
        data: Bytes,
        #[allow(dead_code, reason = "it is held for as long as the data is")]
        room: Room,
    },
    Shared(Rewind<B>),
}

impl<B> KeptBody<B> {
    /// Whether the body can be sent once more.
    pub(crate) fn is_repeatable(&self) -> bool {
        match self {
            Self::Empty | Self::Whole { .. } => true,
            Self::Shared(rewind) => rewind.is_repeatable(),
        }
    }

    /// Returns the body from its start once more, unless not all of it is kept.
    pub(crate) fn again(&self) -> Option<ReplayBody<B>> {
        match self {
            Self::Empty => Some(ReplayBody::whole(None)),
            Self::Whole { data, .. } => Some(ReplayBody::whole(Some(data.clone()))),
            Self::Shared(rewind) => Some(ReplayBody::shared(rewind.reader()?)),
        }
    }

    /// Cuts off the copies that there are.
    pub(crate) fn cut(&self) {
        if let Self::Shared(rewind) = self {
            rewind.cut();
        }
    }
}
