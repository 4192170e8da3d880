use std::pin::Pin;
use std::task::{self, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use watertight_core::Context;

/// A body whose frames are made in a [`Context`], so that clients that are called from a stream
/// still see it.
///
/// A host reads the body of a response after the future that made it is gone, and with it the
/// scope of [`Context::scope`]. A layer that sets a context for its calls wraps their responses in
/// this.
#[derive(Debug)]
#[pin_project]
pub struct ScopedBody<B> {
    /// `None` for a body whose frames are made in whatever context there is.
    context: Option<Context>,
    #[pin]
    body: B,
}

impl<B> ScopedBody<B> {
    /// Has the frames of `body` made in `context`, which merges with the one that is set where the
    /// body is read.
    pub const fn new(body: B, context: Context) -> Self {
        Self {
            context: Some(context),
            body,
        }
    }

    /// Has the frames of `body` made in whatever context there is, for a layer that sets a context
    /// for some calls only.
    pub const fn unscoped(body: B) -> Self {
        Self {
            context: None,
            body,
        }
    }
}

impl<B: Body> Body for ScopedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        match this.context {
            Some(context) => context.clone().enter(|| this.body.poll_frame(cx)),
            None => this.body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use tokio_test::assert_ready;
    use watertight_core::Priority;

    use super::*;

    /// One frame, of the attempt and the priority of the context that it is made in.
    struct Seen;

    impl Body for Seen {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Context {
                attempt, priority, ..
            } = Context::current();
            let seen = format!("{attempt} {priority:?}");
            Poll::Ready(Some(Ok(Frame::data(seen.into()))))
        }
    }

    fn seen(body: ScopedBody<Seen>) -> Bytes {
        let mut body = tokio_test::task::spawn(body);
        let frame = assert_ready!(body.enter(|cx, body| body.poll_frame(cx)));
        frame.unwrap().unwrap().into_data().unwrap()
    }

    fn second() -> Context {
        Context {
            attempt: 2,
            ..Context::default()
        }
    }

    #[test]
    fn every_frame_is_made_in_the_context() {
        assert_eq!(seen(ScopedBody::new(Seen, second())), "2 Normal");
        assert!(Context::with(|context| context.is_none()));
    }

    #[test]
    fn an_unscoped_body_sees_what_there_is() {
        let urgent = Context {
            priority: Priority::Critical,
            ..Context::default()
        };

        let seen = urgent.enter(|| seen(ScopedBody::unscoped(Seen)));

        assert_eq!(seen, "0 Critical");
    }
}
