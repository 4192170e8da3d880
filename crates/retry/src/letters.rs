use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use watertight_core::DynError;

/// Takes the calls that a retry layer gave up on. Made by
/// [`exhausted`](crate::RetryBuilder::exhausted) on the builder.
pub trait Exhausted<Req, Res> {
    /// Whether requests are of use when they are not to be sent again.
    const WANTED: bool;

    /// Takes a request that may be sent again later, and its last answer. Returns false if there
    /// was no place for it.
    fn take(&self, request: Req, answer: Result<&Res, &DynError>) -> bool;
}

/// Nobody wants them: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Unwanted;

impl<Req, Res> Exhausted<Req, Res> for Unwanted {
    const WANTED: bool = false;

    fn take(&self, _: Req, _: Result<&Res, &DynError>) -> bool {
        true
    }
}

/// Writes a letter about each call that was given up on, and puts it into a channel.
pub struct Letters<L, F, Req, Res> {
    writer: Arc<Writer<L, F>>,
    about: PhantomData<fn(Req, Res)>,
}

struct Writer<L, F> {
    sender: Sender<L>,
    write: F,
}

impl<L, F, Req, Res> Letters<L, F, Req, Res> {
    pub(crate) fn new(sender: Sender<L>, write: F) -> Self {
        Self {
            writer: Arc::new(Writer { sender, write }),
            about: PhantomData,
        }
    }
}

impl<L, F, Req, Res> Exhausted<Req, Res> for Letters<L, F, Req, Res>
where
    F: Fn(Req, Result<&Res, &DynError>) -> L,
{
    const WANTED: bool = true;

    fn take(&self, request: Req, answer: Result<&Res, &DynError>) -> bool {
        // The place comes first: a letter that does not fit need not be written.
        match self.writer.sender.try_reserve() {
            Ok(place) => {
                place.send((self.writer.write)(request, answer));
                true
            }
            Err(_) => false,
        }
    }
}

impl<L, F, Req, Res> Clone for Letters<L, F, Req, Res> {
    fn clone(&self) -> Self {
        Self {
            writer: Arc::clone(&self.writer),
            about: PhantomData,
        }
    }
}

impl<L, F, Req, Res> fmt::Debug for Letters<L, F, Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letters").finish_non_exhaustive()
    }
}
