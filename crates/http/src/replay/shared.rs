use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use watertight_core::BoxError;

use super::ReplayError;
use super::tape::{Next, Rest, Tape, Wait};

type Polled = Poll<Option<Result<Frame<Bytes>, ReplayError>>>;
type Source<B> = Pin<Box<B>>;

/// A body that several readers share, each from its start.
#[derive(Debug)]
struct Shared<B> {
    board: Arc<Board>,
    /// Wakes all readers that wait for the source: it knows but one waker, and that one of them may
    /// be busy elsewhere, or gone, is not to hold the others up.
    waker: Waker,
    /// `None` while it is polled, and when nobody needs it any more. Touched under the tape's lock.
    source: Mutex<Option<Source<B>>>,
}

/// The tape, apart from the source, so that a waker can be made of it.
#[derive(Debug)]
struct Board {
    tape: Mutex<Tape>,
}

impl Board {
    /// No code of others runs under the lock.
    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_readers(&self, waits: Option<Wait>) {
        let mut from = 0;
        loop {
            let found = self.tape().take_waker(from, waits);
            let Some((reader, waker)) = found else { return };
            waker.wake();
            from = reader + 1;
        }
    }
}

impl Wake for Board {
    fn wake(self: Arc<Self>) {
        self.wake_readers(None);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_readers(None);
    }
}

impl<B> Shared<B> {
    fn source(&self) -> MutexGuard<'_, Option<Source<B>>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the source away if nobody needs it any more, to be dropped where no lock is held.
    fn take_unneeded(&self, tape: &mut Tape) -> Option<Source<B>> {
        let is_unneeded = !tape.is_driven() && !tape.needs_source();
        is_unneeded.then(|| self.source().take()).flatten()
    }

    fn change<R>(&self, change: impl FnOnce(&mut Tape) -> R) -> R {
        let mut tape = self.board.tape();
        let result = change(&mut tape);
        let unneeded = self.take_unneeded(&mut tape);
        drop(tape);
        drop(unneeded);
        result
    }
}

/// The way to more readers. When it is dropped there will be none, and nothing is kept for them.
#[derive(Debug)]
pub(crate) struct Rewind<B>(Arc<Shared<B>>);

impl<B> Rewind<B> {
    /// Shares a source by way of its tape.
    pub(super) fn new(source: Source<B>, tape: Tape) -> Self {
        let board = Arc::new(Board {
            tape: Mutex::new(tape),
        });
        Self(Arc::new(Shared {
            waker: Waker::from(Arc::clone(&board)),
            board,
            source: Mutex::new(Some(source)),
        }))
    }

    /// Returns a reader of the body from its start, unless not all of it is kept.
    pub(super) fn reader(&self) -> Option<Reader<B>> {
        let number = self.0.board.tape().add()?;
        Some(self.reader_of(number))
    }

    /// Returns the reader that the tape knows by `number`.
    pub(super) fn reader_of(&self, number: usize) -> Reader<B> {
        Reader {
            shared: Arc::clone(&self.0),
            number,
        }
    }

    /// Cuts the readers off that there are.
    pub(super) fn cut(&self) {
        self.0.board.tape().cut();
        self.0.board.wake_readers(None);
    }
}

impl<B> Drop for Rewind<B> {
    fn drop(&mut self) {
        self.0.change(Tape::close);
    }
}

/// Reads a shared body from its start.
#[derive(Debug)]
pub(super) struct Reader<B> {
    shared: Arc<Shared<B>>,
    number: usize,
}

impl<B> Reader<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(&self, cx: &mut Context<'_>) -> Polled {
        // Dropped last, where no lock is held.
        let _stale;
        let mut tape = self.shared.board.tape();
        match tape.next(self.number) {
            Next::Drive => _stale = tape.wait(self.number, Wait::Source, cx.waker()),
            Next::Wait => {
                _stale = tape.wait(self.number, Wait::Driver, cx.waker());
                return Poll::Pending;
            }
            next => return next.into_polled(),
        }
        let source = self.shared.source().take();
        drop(tape);

        let drive = Drive {
            reader: self,
            is_over: false,
        };
        match source {
            Some(source) => drive.poll(source),
            // It was left in the hands of a driver that panicked.
            None => Poll::Ready(None),
        }
    }
}

impl<B> Reader<B> {
    pub(super) fn size_hint(&self) -> SizeHint {
        self.shared.board.tape().size_hint(self.number)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.shared.board.tape().is_end(self.number)
    }
}

impl<B> Drop for Reader<B> {
    fn drop(&mut self) {
        drop(self.shared.change(|tape| tape.remove(self.number)));
    }
}

impl Next {
    fn into_polled(self) -> Polled {
        match self {
            Self::Frame(frame) => Poll::Ready(Some(Ok(frame))),
            Self::Failed(error) => Poll::Ready(Some(Err(error))),
            Self::End => Poll::Ready(None),
            Self::Drive | Self::Wait => Poll::Pending,
        }
    }
}

/// One poll of the source, outside of any lock. If it panics no other reader waits for its end.
struct Drive<'a, B> {
    reader: &'a Reader<B>,
    is_over: bool,
}

impl<B> Drive<'_, B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll(mut self, mut source: Source<B>) -> Polled {
        let shared = &self.reader.shared;
        let polled = source
            .as_mut()
            .poll_frame(&mut Context::from_waker(&shared.waker));
        let rest = Rest {
            hint: source.size_hint(),
            is_end: source.is_end_stream(),
        };
        let arrived = polled.map(|polled| {
            polled.map(|frame| frame.map_err(|error| ReplayError::Source(error.into().into())))
        });
        self.is_over = true;
        self.reader.put_back(source, arrived, rest)
    }
}

impl<B> Drop for Drive<'_, B> {
    fn drop(&mut self) {
        if !self.is_over {
            let board = &self.reader.shared.board;
            board.tape().fail(ReplayError::Panicked);
            board.wake_readers(None);
        }
    }
}

impl<B> Reader<B> {
    /// Ends a poll of the source.
    fn put_back(&self, source: Source<B>, arrived: Polled, rest: Rest) -> Polled {
        let board = &self.shared.board;
        let mut tape = board.tape();
        let mut only_driver = None;
        let woken = match arrived {
            Poll::Pending => {
                tape.parked();
                Some(Wait::Driver)
            }
            Poll::Ready(arrived) => {
                match arrived {
                    Some(Ok(frame)) => only_driver = tape.record(frame, rest),
                    Some(Err(error)) => tape.fail(error),
                    None => tape.complete(),
                }
                None
            }
        };
        let polled = match (woken, only_driver) {
            (Some(_), _) => Poll::Pending,
            (None, Some(frame)) => Poll::Ready(Some(Ok(frame))),
            (None, None) => tape.next(self.number).into_polled(),
        };
        *self.shared.source() = Some(source);
        let unneeded = self.shared.take_unneeded(&mut tape);
        drop(tape);
        drop(unneeded);
        board.wake_readers(woken);
        polled
    }
}
