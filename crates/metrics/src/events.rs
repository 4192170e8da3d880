use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::broadcast::Sender;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use crate::Event;

/// The events of a registry from now on, in the order in which they happened.
///
/// A subscriber that is slow loses the oldest, and is told how many. Whatever it does, no call
/// waits for it.
pub struct Events {
    stream: BroadcastStream<Event>,
}

/// So many events were lost, for the subscriber was too slow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Missed(pub u64);

impl Events {
    /// How many events wait for a slow subscriber.
    pub const CAPACITY: usize = 1_024;

    pub(crate) fn of(sender: &Sender<Event>) -> Self {
        Self {
            stream: BroadcastStream::new(sender.subscribe()),
        }
    }

    /// Returns the next event, as soon as there is one, and `None` when the registry and all its
    /// layers are gone.
    pub async fn next(&mut self) -> Option<Result<Event, Missed>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Events {
    type Item = Result<Event, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.stream).poll_next(cx);
        next.map(|event| {
            event.map(|event| {
                event.map_err(|BroadcastStreamRecvError::Lagged(missed)| Missed(missed))
            })
        })
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events were missed", self.0)
    }
}

impl std::error::Error for Missed {}
