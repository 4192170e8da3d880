//! The tape beside a model that is slow and obvious: random sources, readers and limits.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::BytesMut;
use http_body::Body;
use proptest::collection::vec;
use proptest::prelude::*;

use super::body::{KeptBody, ReplayBody};
use super::script::{Control, Script, Step, bytes, script, trailers};
use super::{Limits, Total, keep};

/// What a test does.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// A reader is polled, whether it was woken or not.
    Poll(usize),
    Again,
    Drop(usize),
    GoOn,
    CutOff,
    DropKept,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..300_usize).prop_map(Step::Data),
        1 => Just(Step::Data(0)),
        3 => Just(Step::Wait),
    ];
    let end = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Step::Trailers)),
        1 => Just(Some(Step::Break)),
    ];
    (vec(step, 0..10), end).prop_map(|(mut steps, end)| {
        steps.extend(end);
        steps
    })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        10 => (0..4_usize).prop_map(Op::Poll),
        2 => Just(Op::Again),
        1 => (0..4_usize).prop_map(Op::Drop),
        3 => Just(Op::GoOn),
        1 => Just(Op::CutOff),
        1 => Just(Op::DropKept),
    ];
    vec(op, 0..60)
}

/// What the readers of a body get, of plain lists.
struct Model {
    /// What the source still does.
    steps: Vec<Step>,
    /// It says where it ends, and is not polled for that.
    exact: bool,
    /// The frames that came with data, and what each counts as kept.
    came: Vec<(usize, usize)>,
    end: Option<Step>,
    readers: Vec<ModelReader>,
    repeatable: bool,
    most: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct ModelReader {
    next: usize,
    is_cut: bool,
    /// It has had the last that it gets, or is dropped.
    is_done: bool,
}

/// What a poll gives.
#[derive(Debug, Eq, PartialEq)]
enum Got {
    Pending,
    Data(usize),
    Trailers,
    End,
    Error(&'static str),
}

impl Model {
    fn live(&self) -> impl Iterator<Item = &ModelReader> {
        self.readers.iter().filter(|it| !it.is_cut && !it.is_done)
    }

    fn kept(&self) -> usize {
        let needed = if self.repeatable {
            Some(0)
        } else {
            self.live().map(|reader| reader.next).min()
        };
        let needed = needed.unwrap_or(self.came.len());
        self.came[needed..].iter().map(|(_, kept)| kept).sum()
    }

    fn poll(&mut self, number: usize) -> Got {
        let reader = self.readers[number];
        if reader.is_done {
            return Got::End;
        }
        if reader.is_cut {
            self.readers[number].is_done = true;
            return Got::Error("cut");
        }
        if let Some((count, _)) = self.came.get(reader.next) {
            self.readers[number].next += 1;
            return Got::Data(*count);
        }
        if self.end.is_none() {
            match self.steps.first().copied() {
                Some(Step::Wait) => return Got::Pending,
                Some(Step::Data(count)) => {
                    self.steps.remove(0);
                    if count > 0 {
                        self.come(number, count);
                        self.readers[number].next += 1;
                    }
                    if self.exact && self.steps.is_empty() {
                        self.end = Some(Step::Data(0));
                    }
                    return Got::Data(count);
                }
                end => self.end = Some(end.unwrap_or(Step::Data(0))),
            }
        }
        self.readers[number].is_done = true;
        match self.end {
            Some(Step::Trailers) => Got::Trailers,
            Some(Step::Break) => {
                self.repeatable = false;
                Got::Error("broken")
            }
            _ => Got::End,
        }
    }

    /// The source is polled before anybody reads.
    fn look(&mut self) {
        self.poll(0);
        self.readers[0] = ModelReader::default();
    }

    fn come(&mut self, driver: usize, count: usize) {
        let counts = count.max(64);
        let is_shared = self.repeatable || self.live().count() > 1;
        let fits = is_shared && self.kept() + counts <= self.most;
        if is_shared && !fits {
            self.repeatable = false;
            for (number, reader) in self.readers.iter_mut().enumerate() {
                reader.is_cut |= number != driver && !reader.is_done;
            }
        }
        self.came.push((count, if fits { counts } else { 0 }));
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A reader and its task.
struct Reading {
    body: Option<Pin<Box<ReplayBody<Script>>>>,
    read: BytesMut,
    woken: Arc<Flag>,
    is_waiting: bool,
}

impl Reading {
    fn new(body: ReplayBody<Script>) -> Self {
        Self {
            body: Some(Box::pin(body)),
            read: BytesMut::new(),
            woken: Arc::default(),
            is_waiting: false,
        }
    }

    fn poll(&mut self) -> Got {
        let Some(body) = &mut self.body else {
            return Got::End;
        };
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled = body.as_mut().poll_frame(&mut Context::from_waker(&waker));
        self.is_waiting = polled.is_pending();
        let Poll::Ready(polled) = polled else {
            return Got::Pending;
        };
        match polled {
            None => Got::End,
            Some(Err(error)) if error.source().is_some() => Got::Error("broken"),
            Some(Err(_)) => Got::Error("cut"),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.read.extend_from_slice(&data);
                    Got::Data(data.len())
                }
                Err(frame) => {
                    assert_eq!(frame.into_trailers().unwrap(), trailers());
                    Got::Trailers
                }
            },
        }
    }
}

/// A body with its readers, and the model of it.
struct Lab {
    control: Control,
    total: Arc<Total>,
    kept: Option<KeptBody<Script>>,
    readings: Vec<Reading>,
    model: Model,
    /// How long the body is, if it says so.
    length: Option<usize>,
}

impl Lab {
    fn new(steps: &[Step], exact: bool, look: bool, most: usize) -> Self {
        let (body, control) = script(steps.iter().copied(), exact);
        let total = Arc::new(Total::new(1 << 20));
        let limits = Limits {
            body: most,
            total: Arc::clone(&total),
        };
        let (sent, kept) = keep(body, &limits, look);
        let lengths = steps.iter().map(|step| match step {
            Step::Data(count) => *count,
            _ => 0,
        });
        let mut model = Model {
            steps: steps.to_vec(),
            exact,
            came: Vec::new(),
            end: None,
            readers: vec![ModelReader::default()],
            repeatable: true,
            most,
        };
        if look && exact {
            model.look();
        }
        Self {
            control,
            total,
            kept,
            readings: vec![Reading::new(sent)],
            model,
            length: exact.then(|| lengths.sum()),
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Poll(number) => self.poll(number % self.readings.len()),
            Op::Again => self.again(),
            Op::Drop(number) => {
                let number = number % self.readings.len();
                self.readings[number].body = None;
                self.readings[number].is_waiting = false;
                self.model.readers[number].is_done = true;
            }
            Op::GoOn => self.go_on(),
            Op::CutOff => {
                if let Some(kept) = &self.kept {
                    kept.cut();
                    if self.model.repeatable && self.model.end.is_none() {
                        let readers = self.model.readers.iter_mut();
                        readers.for_each(|reader| reader.is_cut |= !reader.is_done);
                    }
                }
            }
            Op::DropKept => {
                self.kept = None;
                self.model.repeatable = false;
            }
        }
        self.check();
    }

    fn poll(&mut self, number: usize) {
        let got = self.readings[number].poll();
        let expected = if self.readings[number].body.is_some() {
            self.model.poll(number)
        } else {
            Got::End
        };
        assert_eq!(got, expected, "reader {number}");
    }

    fn again(&mut self) {
        let Some(kept) = &self.kept else { return };
        let body = kept.again();
        assert_eq!(body.is_some(), self.model.repeatable, "again");
        if let Some(body) = body {
            self.readings.push(Reading::new(body));
            self.model.readers.push(ModelReader::default());
        }
    }

    /// The source goes on: all that wait for it are woken.
    fn go_on(&mut self) {
        if self.model.steps.first() == Some(&Step::Wait) && self.model.end.is_none() {
            self.model.steps.remove(0);
        }
        self.control.go_on();
        for (reading, model) in self.readings.iter().zip(&self.model.readers) {
            if reading.is_waiting && !model.is_cut {
                assert!(reading.woken.0.load(Ordering::SeqCst), "not woken");
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.total.kept(), self.model.kept(), "kept");
        assert!(self.total.kept() <= self.model.most);
        for (reading, model) in self.readings.iter().zip(&self.model.readers) {
            let Some(body) = &reading.body else { continue };
            assert_eq!(reading.read, bytes(0, reading.read.len()));
            let is_failed = model.is_cut || self.model.end == Some(Step::Break);
            if let Some(length) = self.length
                && !is_failed
            {
                let left = length - reading.read.len();
                assert_eq!(body.size_hint().exact(), Some(left as u64), "hint");
            }
            if body.is_end_stream() && !is_failed {
                let came: usize = self.model.came.iter().map(|it| it.0).sum();
                assert_eq!(reading.read.len(), came);
                assert!(self.model.end.is_some());
            }
            if model.is_cut && !model.is_done {
                assert!(!body.is_end_stream());
                assert_eq!(body.size_hint().exact(), None);
            }
        }
        let is_needed = self.model.end.is_none()
            && ((self.model.repeatable && self.kept.is_some()) || self.model.live().count() > 0);
        assert_eq!(self.control.is_dropped(), !is_needed, "source");
    }

    /// Lets every reader go on, when it is woken and not before, until all have ended.
    fn finish(&mut self) {
        for round in 0.. {
            assert!(round < 100, "a reader hangs");
            for number in 0..self.readings.len() {
                while !self.model.readers[number].is_done
                    && (!self.readings[number].is_waiting
                        || self.readings[number].woken.0.load(Ordering::SeqCst))
                {
                    self.poll(number);
                    self.check();
                }
            }
            if self.model.readers.iter().all(|reader| reader.is_done) {
                return;
            }
            self.go_on();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_reader_gets_what_the_model_says(
        steps in steps(),
        exact: bool,
        look: bool,
        most in prop_oneof![0..1000_usize, Just(1 << 20)],
        ops in ops(),
    ) {
        let length: usize = steps.iter().map(|step| match step {
            Step::Data(count) => *count,
            _ => 0,
        }).sum();
        // What is known to be too long, or is all there, is no matter of the tape's.
        prop_assume!(!exact || (length <= most && steps.len() > 1));
        let mut lab = Lab::new(&steps, exact, look, most);

        for op in ops {
            lab.run(op);
        }
        lab.finish();

        lab.readings.clear();
        lab.kept = None;
        prop_assert!(lab.control.is_dropped());
        prop_assert_eq!(lab.total.kept(), 0);
    }
}
