use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::rows::bare;
use crate::{Quartiles, Row, Subject, runtime};

/// How long a batch runs: long enough to read the clock beside it for nothing, and short enough
/// for the machine to be as fast in the next one.
const BATCH: Duration = Duration::from_micros(400);

/// Measures rows turn about with the bare service.
#[derive(Debug)]
pub struct Turns {
    runtime: Runtime,
    turns: Vec<Turn>,
}

/// A subject and the bare service, and how long their calls took.
#[derive(Debug)]
pub struct Turn {
    subject: Batch,
    bare: Batch,
}

impl Turns {
    /// Starts a measurement of `rows`, which has two turns for each: with an inner service that is
    /// ready at once and with one that is pending once.
    #[must_use]
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let runtime = runtime();
        let bare = bare();
        let turns = rows
            .into_iter()
            .flat_map(|row| [(row.ready(), bare.ready()), (row.pending(), bare.pending())])
            .map(|(subject, bare)| Turn {
                subject: Batch::of(subject, &runtime),
                bare: Batch::of(bare, &runtime),
            })
            .collect();
        Self { runtime, turns }
    }

    /// Gives each subject its turn.
    pub fn round(&mut self, number: usize) {
        let forward = number.is_multiple_of(2);
        let count = self.turns.len();
        for index in 0..count {
            let turn = &mut self.turns[if forward { index } else { count - 1 - index }];
            if forward {
                turn.subject.run(&self.runtime);
                turn.bare.run(&self.runtime);
            } else {
                turn.bare.run(&self.runtime);
                turn.subject.run(&self.runtime);
            }
        }
    }

    /// Returns the turns of each row, in the order of the rows: ready at once, and pending once.
    pub fn rows(&self) -> impl Iterator<Item = [&Turn; 2]> {
        self.turns
            .chunks_exact(2)
            .map(|turns| [&turns[0], &turns[1]])
    }
}

impl Turn {
    /// Returns the nanoseconds that a call took.
    #[must_use]
    pub fn whole(&self) -> Option<Quartiles> {
        Quartiles::of(self.subject.nanos.iter().copied())
    }

    /// Returns the nanoseconds that a call took more than a call of the bare service.
    #[must_use]
    pub fn over(&self) -> Option<Quartiles> {
        let pairs = self.subject.nanos.iter().zip(&self.bare.nanos);
        Quartiles::of(pairs.map(|(whole, bare)| whole - bare))
    }
}

#[derive(Debug)]
struct Batch {
    subject: Box<dyn Subject>,
    calls: u64,
    /// For each round, the nanoseconds a call.
    nanos: Vec<f64>,
}

impl Batch {
    /// Finds how many calls make a batch. That warms the subject up as well.
    fn of(subject: Box<dyn Subject>, runtime: &Runtime) -> Self {
        let mut batch = Self {
            subject,
            calls: 16,
            nanos: Vec::new(),
        };
        // What is made at the first call belongs to none of the others.
        batch.time(runtime);
        loop {
            let time = batch.time(runtime);
            if time >= BATCH {
                let share = BATCH.as_secs_f64() / time.as_secs_f64();
                batch.calls = ((batch.calls as f64 * share) as u64).max(1);
                return batch;
            }
            batch.calls *= 2;
        }
    }

    fn run(&mut self, runtime: &Runtime) {
        let time = self.time(runtime);
        self.nanos.push(time.as_nanos() as f64 / self.calls as f64);
    }

    fn time(&mut self, runtime: &Runtime) -> Duration {
        let start = Instant::now();
        runtime.block_on(self.subject.run(self.calls));
        Instant::now() - start
    }
}
