use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Sleep, sleep};
use watertight_core::Mode;

/// The wait of one instance for the inner service to become ready.
pub(crate) enum Wait {
    /// There is none, or it has no limit.
    Unlimited,
    /// Its time is up then.
    Limited(Pin<Box<Unconstrained<Sleep>>>),
    /// It is too long, but that is only counted.
    Counted,
    /// It was too long: the inner service was not ready, and must not be called, whatever has
    /// happened since. The next call is told.
    Over,
}

impl Wait {
    /// Goes on waiting. Ready when it has been for too long, once.
    #[cold]
    pub(crate) fn poll(&mut self, limit: Duration, mode: Mode, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Unlimited = self {
            *self = Self::Limited(Box::pin(unconstrained(sleep(limit))));
        }
        let Self::Limited(timer) = self else {
            return Poll::Pending;
        };
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        *self = match mode {
            Mode::Enforce => Self::Over,
            Mode::Shadow | Mode::Off => Self::Counted,
        };
        Poll::Ready(())
    }

    /// Takes note that the inner service is ready. It has hardly ever been waited for.
    #[inline]
    pub(crate) fn end(&mut self) {
        if !matches!(self, Self::Unlimited) {
            self.forget();
        }
    }

    #[cold]
    fn forget(&mut self) {
        *self = Self::Unlimited;
    }

    #[inline]
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unlimited => "Unlimited",
            Self::Limited(_) => "Limited",
            Self::Counted => "Counted",
            Self::Over => "Over",
        })
    }
}
