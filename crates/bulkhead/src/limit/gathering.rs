use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::nanos;

use crate::Sample;

/// Samples that wait to be handed over together, for each hand-over takes a lock.
///
/// They are put here by plain stores. Of two threads that do so at the same moment one may overwrite
/// the other's sample, and a mixture of both is known for one, and left out.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// The times of samples are counted from here.
    epoch: Instant,
    cells: [Cell; Self::MOST],
    waiting: AtomicUsize,
    may_wait: AtomicUsize,
}

impl Gathering {
    /// A lock and its release for 33 calls are few for each. It is a kilobyte.
    const MOST: usize = 32;

    /// Makes one in which no sample may wait yet.
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            cells: Default::default(),
            waiting: AtomicUsize::new(0),
            may_wait: AtomicUsize::new(0),
        }
    }

    /// Sets how many samples may wait from now on.
    pub(crate) fn let_wait(&self, samples: usize) {
        self.may_wait.store(samples.min(Self::MOST), Relaxed);
    }

    /// Keeps a sample for later, or returns false if it is to be handed over now, after those that
    /// wait.
    pub(crate) fn keep(&self, sample: &Sample) -> bool {
        let waiting = self.waiting.load(Relaxed);
        if waiting >= self.may_wait.load(Relaxed) {
            return false;
        }
        self.cells[waiting].put(self.words(sample));
        self.waiting.store(waiting + 1, Relaxed);
        true
    }

    /// Takes out the samples that wait, in the order in which they came.
    pub(crate) fn take(&self) -> impl Iterator<Item = Sample> {
        let waiting = self.waiting.load(Relaxed);
        self.waiting.store(0, Relaxed);
        let cells = self.cells[..waiting].iter();
        cells.filter_map(|cell| cell.take().map(|words| self.sample(words)))
    }

    fn words(&self, sample: &Sample) -> Words {
        [
            nanos(sample.ended.saturating_duration_since(self.epoch)),
            nanos(sample.duration),
            (sample.in_flight as u64) << 1 | u64::from(sample.dropped),
        ]
    }

    fn sample(&self, [ended, duration, load]: Words) -> Sample {
        Sample {
            ended: self.epoch + Duration::from_nanos(ended),
            duration: Duration::from_nanos(duration),
            in_flight: (load >> 1) as usize,
            dropped: load & 1 != 0,
        }
    }
}

/// When a sample ended, how long it took, and how many were in flight with whether it was dropped.
type Words = [u64; 3];

/// A place for one sample.
#[derive(Debug, Default)]
struct Cell {
    words: [AtomicU64; 3],
    /// Fits the words if all of them are of one sample, and is 0 if there is none.
    check: AtomicU64,
}

impl Cell {
    fn put(&self, words: Words) {
        for (cell, word) in self.words.iter().zip(words) {
            cell.store(word, Relaxed);
        }
        self.check.store(check(words), Relaxed);
    }

    fn take(&self) -> Option<Words> {
        let words = self.words.each_ref().map(|word| word.load(Relaxed));
        let is_whole = self.check.load(Relaxed) == check(words);
        self.check.store(0, Relaxed);
        is_whole.then_some(words)
    }
}

const fn check([ended, duration, load]: Words) -> u64 {
    !(ended ^ duration.rotate_left(21) ^ load.rotate_left(42))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::samples::{drop, served};
    use super::*;

    fn gathering(may_wait: usize) -> Gathering {
        let gathering = Gathering::new(Instant::now());
        gathering.let_wait(may_wait);
        gathering
    }

    fn taken(gathering: &Gathering) -> Vec<(Instant, Duration, usize, bool)> {
        gathering.take().map(tuple).collect()
    }

    fn tuple(sample: Sample) -> (Instant, Duration, usize, bool) {
        let Sample {
            ended,
            duration,
            in_flight,
            dropped,
        } = sample;
        (ended, duration, in_flight, dropped)
    }

    #[test]
    fn gives_back_what_was_kept_in_its_order_and_once() {
        let gathering = gathering(3);
        let samples = [served(10, 3), drop(7, 0), served(0, 1_000)];
        for sample in &samples {
            assert!(gathering.keep(sample));
        }

        assert_eq!(taken(&gathering), samples.map(tuple));
        assert_eq!(taken(&gathering), []);
        assert!(gathering.keep(&samples[1]));
        assert_eq!(taken(&gathering), [tuple(samples[1])]);
    }

    #[test]
    fn keeps_no_more_than_may_wait() {
        for (may_wait, kept) in [(0, 0), (2, 2), (32, 32), (1_000, 32)] {
            let gathering = gathering(may_wait);

            let keeps = (0..100).take_while(|_| gathering.keep(&served(1, 1)));

            assert_eq!(keeps.count(), kept);
            assert_eq!(taken(&gathering).len(), kept);
        }
    }

    #[test]
    fn a_mixture_of_two_is_left_out() {
        let (one, other) = ([10, 20, 30], [11, 21, 31]);
        for word in 0..3 {
            let cell = Cell::default();
            cell.put(one);
            cell.words[word].store(other[word], Relaxed);
            assert_eq!(cell.take(), None);

            cell.put(other);
            assert_eq!(cell.take(), Some(other));
            assert_eq!(cell.take(), None);
            // Somebody wrote this long ago, and goes on.
            cell.words[word].store(one[word], Relaxed);
            assert_eq!(cell.take(), None);
        }
    }

    #[test]
    fn threads_at_the_same_time_make_up_no_sample_and_double_none() {
        const THREADS: u64 = 3;
        const SAMPLES: u64 = 50_000;
        let gathering = gathering(20);
        let epoch = gathering.epoch;
        let sample = |number: u64| Sample {
            ended: epoch + Duration::from_nanos(number),
            duration: Duration::from_nanos(number * 7),
            in_flight: number as usize % 1_000,
            dropped: number.is_multiple_of(3),
        };

        let mut taken = Vec::new();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let gathering = &gathering;
                    scope.spawn(move || {
                        for number in 0..SAMPLES {
                            gathering.keep(&sample(number * THREADS + thread));
                        }
                    })
                })
                .collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                taken.extend(gathering.take());
            }
        });

        let mut numbers = Vec::new();
        for it in taken {
            let number = nanos(it.ended - epoch);
            assert_eq!(tuple(it), tuple(sample(number)));
            numbers.push(number);
        }
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }
}
