use std::fs;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::{Quartiles, Subject, runtime};

/// How long the threads run at a time: less than a scheduler leaves a thread alone, so that some
/// slices of a busy machine are good.
const SLICE: Duration = Duration::from_millis(2);

/// The share of a good slice that a thread may have waited for a processor, or have started later
/// than another.
const LOST: f64 = 0.02;

/// How many slices the threads run one after the other.
const SERIES: usize = 10;

/// How many slices are tried for each good one that is wanted.
const TRIES: usize = 15;

/// How many calls a thread makes between two looks at the clock.
const STRIDE: u64 = 64;

/// What the threads run on that make the calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Threads {
    /// Each has a runtime of its own.
    Apart,
    /// They are the workers of one runtime.
    Workers,
}

/// How many calls one thread makes, and how many two make together, of one layer.
#[derive(Clone, Copy, Debug)]
pub struct Scaling {
    /// Calls a second of one thread.
    pub one: f64,
    /// Calls a second of two threads, each with a clone of the service.
    pub two: f64,
    /// In how many slices all threads ran all the time: the fewer of the two.
    pub good: usize,
}

impl Scaling {
    /// Returns how many times the calls of one thread two make: 2 where nothing is shared.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.two / self.one
    }
}

/// Measures how the calls of `subject` scale to two threads, until `enough` slices of each are
/// good. Returns `None` if none is, on a machine that has no two processors to spare.
#[must_use]
pub fn scaling(subject: &dyn Subject, threads: Threads, enough: usize) -> Option<Scaling> {
    let (mut one, mut two) = (Slices::default(), Slices::default());
    let mut tried = 0;
    while one.0.len().min(two.0.len()) < enough && tried < TRIES * enough {
        one.run(&threads.series(subject, 1));
        two.run(&threads.series(subject, 2));
        tried += SERIES;
    }
    Some(Scaling {
        one: one.median()?,
        two: two.median()?,
        good: one.0.len().min(two.0.len()),
    })
}

impl Threads {
    /// Runs the slices of so many threads. Returns the parts of each.
    fn series(self, subject: &dyn Subject, threads: usize) -> Vec<Vec<Part>> {
        let started = Arc::new(AtomicUsize::new(0));
        let series = (0..threads)
            .map(|_| Part::series(subject.twin(), Arc::clone(&started), threads))
            .collect();
        match self {
            Self::Apart => apart(series),
            Self::Workers => workers(series),
        }
    }
}

/// Runs each on a thread with a runtime of its own.
fn apart<T: Send>(all: Vec<impl Future<Output = T> + Send>) -> Vec<T> {
    thread::scope(|scope| {
        let threads: Vec<_> = all
            .into_iter()
            .map(|it| scope.spawn(|| runtime().block_on(it)))
            .collect();
        let threads = threads.into_iter().map(ScopedJoinHandle::join);
        threads.map(|it| it.expect(RUNS)).collect()
    })
}

/// Runs each on a worker of one runtime. What is not pending stays where it is.
fn workers<T: Send + 'static>(all: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(all.len())
        .enable_time()
        .build()
        .expect(RUNS);
    let tasks: Vec<_> = all.into_iter().map(|it| runtime.spawn(it)).collect();
    let tasks = tasks.into_iter().map(|it| runtime.block_on(it));
    tasks.map(|it| it.expect(RUNS)).collect()
}

const RUNS: &str = "what runs on one thread runs on two";

/// The calls a second of the good slices, of all threads together.
#[derive(Debug, Default)]
struct Slices(Vec<f64>);

impl Slices {
    fn run(&mut self, series: &[Vec<Part>]) {
        for slice in 0..SERIES {
            let parts: Vec<Part> = series.iter().map(|parts| parts[slice]).collect();
            self.add(&parts);
        }
    }

    /// Adds the slice that these parts make up, if it is good.
    fn add(&mut self, parts: &[Part]) {
        let starts = parts.iter().map(|part| part.start);
        let late = starts.clone().max().zip(starts.min());
        let late = late.map_or(Duration::ZERO, |(last, first)| last - first);
        let waited = parts.iter().map(|part| part.waited).max();

        if late.max(waited.unwrap_or_default()) <= SLICE.mul_f64(LOST) {
            self.0.push(parts.iter().map(|part| part.rate).sum());
        }
    }

    fn median(&self) -> Option<f64> {
        Some(Quartiles::of(self.0.iter().copied())?.median)
    }
}

/// What one thread did in a slice.
#[derive(Clone, Copy)]
struct Part {
    start: Instant,
    /// Calls a second.
    rate: f64,
    /// How long the thread waited for a processor.
    waited: Duration,
}

impl Part {
    /// Runs the slices of one thread out of `threads`, which begin each slice together. It is never
    /// pending, so that each has a thread of its own.
    async fn series(
        mut subject: Box<dyn Subject>,
        started: Arc<AtomicUsize>,
        threads: usize,
    ) -> Vec<Self> {
        subject.run(STRIDE).await;
        let mut parts = Vec::with_capacity(SERIES);
        while parts.len() < SERIES {
            // A thread that slept here would be woken late.
            let everyone = (started.fetch_add(1, Ordering::Relaxed) / threads + 1) * threads;
            while started.load(Ordering::Relaxed) < everyone {
                spin_loop();
            }
            parts.push(Self::run(&mut *subject).await);
        }
        parts
    }

    async fn run(subject: &mut dyn Subject) -> Self {
        let waited_before = time_waited();
        let start = Instant::now();
        let mut calls = 0;
        let time = loop {
            subject.run(STRIDE).await;
            calls += STRIDE;
            let time = Instant::now() - start;
            if time >= SLICE {
                break time;
            }
        };
        Self {
            start,
            rate: calls as f64 / time.as_secs_f64(),
            waited: time_waited() - waited_before,
        }
    }
}

/// Returns how long the calling thread has waited for a processor so far, as Linux knows it.
fn time_waited() -> Duration {
    let nanos = fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|stat| stat.split_whitespace().nth(1)?.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
