use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use watertight_core::BoxError;

use super::ReplayError;
use super::readers::Wait;
use super::sync::{Mutex, MutexGuard};
use super::tape::{Next, Rest, Tape};

type Polled = Poll<Option<Result<Frame<Bytes>, ReplayError>>>;
pub(super) type Source<B> = Pin<Box<B>>;

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
    /// Shares a source by way of its tape, and returns its first reader as well.
    pub(super) fn share(source: Source<B>, tape: Tape) -> (Reader<B>, Self) {
        let board = Arc::new(Board {
            tape: Mutex::new(tape),
        });
        let shared = Arc::new(Shared {
            waker: Waker::from(Arc::clone(&board)),
            board,
            source: Mutex::new(Some(source)),
        });
        let first = Reader {
            shared: Arc::clone(&shared),
            number: Tape::FIRST,
        };
        (first, Self(shared))
    }

    /// Whether there may be more readers: all that was read is kept.
    pub(super) fn is_repeatable(&self) -> bool {
        self.0.board.tape().is_repeatable()
    }

    /// Returns a reader of the body from its start, if there may be more.
    pub(super) fn reader(&self) -> Option<Reader<B>> {
        let number = self.0.board.tape().add()?;
        Some(Reader {
            shared: Arc::clone(&self.0),
            number,
        })
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
        let Some(source) = self.shared.source().take() else {
            // It is there as long as it has not ended.
            tape.fail(ReplayError::Panicked);
            return tape.next(self.number).into_polled();
        };
        drop(tape);
        Drive::new(self).poll(source)
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

impl Tape {
    /// Takes what came from the source, and returns what the reader that drove it gets.
    fn arrive(
        &mut self,
        driver: usize,
        arrived: Option<Result<Frame<Bytes>, ReplayError>>,
        rest: Rest,
    ) -> Polled {
        match arrived {
            Some(Ok(frame)) => {
                if let Some(frame) = self.record(frame, rest) {
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
            Some(Err(error)) => self.fail(error),
            None => self.complete(),
        }
        self.next(driver).into_polled()
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

impl<'a, B> Drive<'a, B> {
    const fn new(reader: &'a Reader<B>) -> Self {
        Self {
            reader,
            is_over: false,
        }
    }
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
        let (polled, woken) = match arrived {
            Poll::Pending => {
                tape.park();
                (Poll::Pending, Some(Wait::Driver))
            }
            Poll::Ready(arrived) => (tape.arrive(self.number, arrived, rest), None),
        };
        *self.shared.source() = Some(source);
        let unneeded = self.shared.take_unneeded(&mut tape);
        drop(tape);
        drop(unneeded);
        board.wake_readers(woken);
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::OnceLock;
    use std::thread;

    use bytes::BytesMut;
    use tokio_test::{assert_pending, assert_ready};
    use watertight_core::causes;

    use super::*;
    use crate::replay::limits::{Limits, Total};
    use crate::replay::script::{Control, Script, Step, bytes, script};

    /// One reader in a task of its own.
    type Task<B> = tokio_test::task::Spawn<Reader<B>>;

    fn task<B>(reader: Reader<B>) -> Task<B> {
        tokio_test::task::spawn(reader)
    }

    fn poll<B>(task: &mut Task<B>) -> Polled
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        task.enter(|cx, reader| reader.poll_frame(cx))
    }

    fn share<B: Body>(source: B) -> (Reader<B>, Rewind<B>) {
        let limits = Limits {
            body: 1 << 16,
            total: Arc::new(Total::new(1 << 20)),
        };
        let tape = Tape::new(limits, source.size_hint());
        Rewind::share(Box::pin(source), tape)
    }

    /// Two readers of a source.
    fn two(steps: impl IntoIterator<Item = Step>) -> (Rewind<Script>, [Task<Script>; 2], Control) {
        let (source, control) = script(steps, false);
        let (first, rewind) = share(source);
        let readers = [first, rewind.reader().unwrap()].map(task);
        (rewind, readers, control)
    }

    fn data(polled: Polled) -> Bytes {
        let frame = assert_ready!(polled).unwrap().unwrap();
        frame.into_data().unwrap()
    }

    fn error(polled: Polled) -> ReplayError {
        assert_ready!(polled).unwrap().unwrap_err()
    }

    #[test]
    fn what_one_reads_is_there_for_the_other_without_a_copy() {
        let (_rewind, [mut first, mut second], control) = two([Step::Data(1000)]);

        let (one, other) = (data(poll(&mut first)), data(poll(&mut second)));

        assert_eq!(one, bytes(0, 1000));
        assert_eq!(one.as_ptr(), other.as_ptr());
        assert_eq!(control.polls(), 1);
    }

    #[test]
    fn a_reader_that_is_busy_elsewhere_holds_nobody_up() {
        let (_rewind, [mut busy, mut second], control) = two([Step::Wait, Step::Data(9)]);
        assert_pending!(poll(&mut second));
        assert_pending!(poll(&mut busy));

        control.go_on();

        assert!(busy.is_woken() && second.is_woken());
        assert_eq!(data(poll(&mut second)), bytes(0, 9));
    }

    #[test]
    fn a_reader_that_goes_away_takes_no_wake_up_along() {
        let (_rewind, [gone, mut second], control) = two([Step::Wait, Step::Data(9)]);
        let mut gone = gone;
        assert_pending!(poll(&mut second));
        assert_pending!(poll(&mut gone));

        drop(gone);
        control.go_on();

        assert!(second.is_woken());
        assert_eq!(data(poll(&mut second)), bytes(0, 9));
    }

    #[test]
    fn who_waits_is_woken_by_what_another_got() {
        let (_rewind, [mut first, mut second], control) = two([Step::Wait, Step::Data(9)]);
        assert_pending!(poll(&mut first));
        control.go_on();
        assert!(first.is_woken());
        assert_pending!(second.enter(|_, _| Poll::<()>::Pending));

        assert_eq!(data(poll(&mut second)), bytes(0, 9));

        assert!(!second.is_woken(), "it does not wake itself");
        assert_eq!(data(poll(&mut first)), bytes(0, 9));
    }

    /// A source in whose poll another reader is polled, as it would be on another thread.
    struct Meeting {
        other: Arc<OnceLock<Mutex<Task<Self>>>>,
        left: usize,
        gives: bool,
    }

    impl Body for Meeting {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            self.left -= 1;
            let mut other = self.other.get().unwrap().lock().unwrap();
            assert_pending!(poll(&mut other));
            assert!(!other.is_woken());
            drop(other);
            if self.gives {
                Poll::Ready(Some(Ok(Frame::data(bytes(0, 9)))))
            } else {
                Poll::Pending
            }
        }
    }

    #[test]
    fn who_came_while_another_drove_is_woken_when_that_is_over() {
        for gives in [true, false] {
            let other = Arc::new(OnceLock::new());
            let (first, rewind) = share(Meeting {
                other: Arc::clone(&other),
                left: 1,
                gives,
            });
            let mut first = task(first);
            let second = Mutex::new(task(rewind.reader().unwrap()));
            assert!(other.set(second).is_ok());

            let polled = poll(&mut first);

            assert_eq!(polled.is_ready(), gives);
            assert!(!first.is_woken());
            let mut second = other.get().unwrap().lock().unwrap();
            assert!(second.is_woken(), "gives: {gives}");
            assert_eq!(assert_ready!(poll(&mut second)).is_some(), gives);
        }
    }

    #[test]
    fn an_error_of_the_source_is_everybodys() {
        let (rewind, mut readers, control) = two([Step::Data(9), Step::Break]);

        for reader in &mut readers {
            assert_eq!(data(poll(reader)), bytes(0, 9));
            let error = error(poll(reader));
            let innermost = causes(&error).last().unwrap();
            assert_eq!(innermost.to_string(), "broken");
            assert!(assert_ready!(poll(reader)).is_none());
        }

        assert!(rewind.reader().is_none());
        assert!(control.is_dropped());
    }

    #[test]
    fn a_panic_of_the_source_leaves_nobody_waiting() {
        let (rewind, [mut first, mut second], control) = two([Step::Wait, Step::Panic]);
        assert_pending!(poll(&mut second));
        control.go_on();

        let panicked = catch_unwind(AssertUnwindSafe(|| poll(&mut first)));

        assert!(panicked.is_err());
        assert!(second.is_woken());
        assert!(matches!(error(poll(&mut second)), ReplayError::Panicked));
        assert!(rewind.reader().is_none());
    }

    #[test]
    fn the_attempts_that_are_over_are_cut_off_and_told() {
        let (rewind, [mut first, _], control) = two([Step::Wait, Step::Data(9)]);
        assert_pending!(poll(&mut first));

        rewind.cut();

        assert!(first.is_woken());
        assert!(matches!(error(poll(&mut first)), ReplayError::Over));
        let mut third = task(rewind.reader().unwrap());
        control.go_on();
        assert_eq!(data(poll(&mut third)), bytes(0, 9));
    }

    #[test]
    fn readers_that_go_leave_their_places_to_others() {
        let (source, _control) = script([Step::Data(9)], false);
        let (_first, rewind) = share(source);

        for _ in 0..100 {
            assert_eq!(rewind.reader().unwrap().number, 1);
        }
    }

    /// Reads a body to its end on this thread.
    fn read<B>(reader: &Reader<B>) -> Bytes
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut all = BytesMut::new();
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        runtime.block_on(std::future::poll_fn(|cx| {
            while let Some(frame) = std::task::ready!(reader.poll_frame(cx)) {
                all.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            Poll::Ready(())
        }));
        all.freeze()
    }

    #[test]
    fn threads_that_read_at_once_all_get_everything() {
        const STEPS: usize = 200;

        for _ in 0..20 {
            let (source, control) = script([Step::Data(10), Step::Wait].repeat(STEPS), false);
            let (first, rewind) = share(source);
            let more = || rewind.reader().unwrap();
            let readers = [first, more(), more()];

            thread::scope(|scope| {
                let reads = readers.map(|reader| scope.spawn(move || read(&reader)));
                let goes_on = scope.spawn(|| {
                    while !control.is_dropped() {
                        control.go_on();
                        thread::yield_now();
                    }
                });
                for read in reads {
                    assert_eq!(read.join().unwrap(), bytes(0, 10 * STEPS));
                }
                goes_on.join().unwrap();
            });
        }
    }
}
