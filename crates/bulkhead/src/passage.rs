use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use watertight_core::BoxError;

/// How a call stands: it is made, or waits to be, or never will be.
///
/// `F` is the call, `W` the wait that ends with it or with a refusal.
#[pin_project(project = PassageProj)]
pub(crate) enum Passage<F, W> {
    Called(#[pin] F),
    /// Few calls wait, and all of them would be as large as those that do.
    Waits(Pin<Box<W>>),
    /// `None` once it has been said.
    Refused(Option<BoxError>),
}

impl<F, W> Passage<F, W> {
    pub(crate) fn waiting(wait: W) -> Self {
        Self::Waits(Box::pin(wait))
    }

    pub(crate) const fn refused(refusal: BoxError) -> Self {
        Self::Refused(Some(refusal))
    }
}

impl<F, W, Res> Future for Passage<F, W>
where
    F: Future<Output = Result<Res, BoxError>>,
    W: Future<Output = Result<F, BoxError>>,
{
    type Output = Result<Res, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                PassageProj::Called(call) => return call.poll(cx),
                PassageProj::Waits(wait) => {
                    let called = ready!(wait.as_mut().poll(cx));
                    self.set(match called {
                        Ok(call) => Self::Called(call),
                        Err(refusal) => Self::refused(refusal),
                    });
                }
                PassageProj::Refused(refusal) => {
                    let refusal = refusal.take().expect("a call is refused only once");
                    return Poll::Ready(Err(refusal));
                }
            }
        }
    }
}
