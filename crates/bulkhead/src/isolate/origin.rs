use tracing::dispatcher::get_default;
use tracing::instrument::{Instrument, WithSubscriber};
use tracing::{Dispatch, Span};
use watertight_core::{Context, Scoped};

/// What a call carries over from where it was made.
pub(super) struct Origin {
    context: Option<Context>,
    span: Span,
    /// A subscriber may be set for a thread alone.
    subscriber: Dispatch,
}

impl Origin {
    pub(super) fn here() -> Self {
        Self {
            context: Context::with(|context| context.cloned()),
            span: Span::current(),
            subscriber: get_default(Dispatch::clone),
        }
    }

    /// Lets `future` run as if it were there.
    pub(super) fn carry<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        let future = match self.context {
            Some(context) => context.scope(future),
            None => Scoped::unscoped(future),
        };
        future
            .instrument(self.span)
            .with_subscriber(self.subscriber)
    }
}
