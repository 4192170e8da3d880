//! Models of threads that read one body at once. Each is run in every order there is: a reader whom
//! nobody wakes is a deadlock, which loom tells.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use loom::model::Builder;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::ReplayError;
use super::limits::{Limits, Total};
use super::shared::{Reader, Rewind};
use super::tape::Tape;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// What the source waits for before it gives its one chunk.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, Option<Waker>)>,
    is_source_gone: AtomicBool,
}

impl Gate {
    fn open(&self) {
        let waker = {
            let mut state = self.state.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

const CHUNK: &[u8] = b"chunk";

/// A body of one chunk.
struct Source {
    gate: Arc<Gate>,
    is_given: bool,
}

impl Body for Source {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_given {
            return Poll::Ready(None);
        }
        {
            let mut state = self.gate.state.lock().unwrap();
            if !state.0 {
                state.1 = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        self.is_given = true;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(CHUNK)))))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.gate.is_source_gone.store(true, Ordering::Relaxed);
    }
}

/// A body that is read by nobody yet.
struct Stage {
    gate: Arc<Gate>,
    total: Arc<Total>,
    first: Reader<Source>,
    rewind: Rewind<Source>,
}

fn stage() -> Stage {
    let gate = Arc::<Gate>::default();
    let total = Arc::new(Total::new(1000));
    let limits = Limits {
        body: 1000,
        total: Arc::clone(&total),
    };
    let source = Source {
        gate: Arc::clone(&gate),
        is_given: false,
    };
    let tape = Tape::new(limits, SizeHint::default());
    let (first, rewind) = Rewind::share(Box::pin(source), tape);
    Stage {
        gate,
        total,
        first,
        rewind,
    }
}

/// Wakes a thread.
#[derive(Default)]
struct Alarm {
    has_rung: Mutex<bool>,
    bell: Condvar,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *self.has_rung.lock().unwrap() = true;
        self.bell.notify_one();
    }
}

impl Alarm {
    fn wait(&self) {
        let mut has_rung = self.has_rung.lock().unwrap();
        while !*has_rung {
            has_rung = self.bell.wait(has_rung).unwrap();
        }
        *has_rung = false;
    }
}

/// Reads to the end, and sleeps while there is nothing to read.
fn read(reader: &Reader<Source>) -> Result<Vec<u8>, ReplayError> {
    let alarm = Arc::<Alarm>::default();
    let waker = Waker::from(Arc::clone(&alarm));
    let mut all = Vec::new();
    loop {
        match reader.poll_frame(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(frame)) => all.extend_from_slice(&frame?.into_data().unwrap()),
            Poll::Ready(None) => return Ok(all),
            Poll::Pending => alarm.wait(),
        }
    }
}

#[test]
fn all_who_wait_for_the_source_are_woken() {
    check(|| {
        let Stage {
            gate,
            first,
            rewind,
            ..
        } = stage();
        let second = rewind.reader().unwrap();

        let thread = thread::spawn(move || read(&first).unwrap());
        let opens = thread::spawn(move || gate.open());
        let mine = read(&second).unwrap();

        assert_eq!(mine, CHUNK);
        assert_eq!(thread.join().unwrap(), CHUNK);
        opens.join().unwrap();
    });
}

#[test]
fn a_reader_that_goes_away_takes_no_wake_up_along() {
    check(|| {
        let Stage {
            gate,
            first,
            rewind,
            ..
        } = stage();
        let second = rewind.reader().unwrap();

        let thread = thread::spawn(move || read(&second).unwrap());
        let polled = first.poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        drop(first);
        gate.open();

        assert_eq!(thread.join().unwrap(), CHUNK);
    });
}

#[test]
fn who_is_cut_off_takes_nothing_from_the_next() {
    check(|| {
        let Stage {
            gate,
            first,
            rewind,
            ..
        } = stage();

        let thread = thread::spawn(move || read(&first));
        let opens = thread::spawn(move || gate.open());
        rewind.cut();
        let next = rewind.reader().unwrap();

        assert_eq!(read(&next).unwrap(), CHUNK);
        match thread.join().unwrap() {
            Ok(all) => assert_eq!(all, CHUNK),
            Err(error) => assert!(matches!(error, ReplayError::Over)),
        }
        opens.join().unwrap();
    });
}

#[test]
fn who_is_cut_off_is_told() {
    check(|| {
        let Stage { first, rewind, .. } = stage();

        let thread = thread::spawn(move || read(&first));
        rewind.cut();

        assert!(matches!(thread.join().unwrap(), Err(ReplayError::Over)));
    });
}

#[test]
fn nothing_is_left_when_all_have_gone() {
    check(|| {
        let Stage {
            gate,
            total,
            first,
            rewind,
        } = stage();
        gate.open();

        let thread = thread::spawn(move || {
            let polled = first.poll_frame(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_ready());
            let rest = (first.size_hint().upper(), first.is_end_stream());
            assert_eq!(rest, (None, false));
            first
        });
        drop(rewind);
        let first = thread.join().unwrap();

        assert_eq!(total.kept(), 0);
        assert!(!gate.is_source_gone.load(Ordering::Relaxed));
        drop(first);
        assert!(gate.is_source_gone.load(Ordering::Relaxed));
    });
}
