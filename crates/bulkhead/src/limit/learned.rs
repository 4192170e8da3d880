use std::fmt;
use std::sync::Mutex;

use crate::{LimitAlgorithm, Sample};

/// An algorithm at work, between the threads that hand it samples.
pub(crate) struct Learned(Mutex<Box<dyn LimitAlgorithm>>);

impl Learned {
    pub(super) fn new(algorithm: Box<dyn LimitAlgorithm>) -> Self {
        Self(Mutex::new(algorithm))
    }

    /// Takes a sample in, unless another thread is at it, and hands a limit that has changed to
    /// `apply`, in the order in which the algorithm changes it.
    pub(crate) fn sample(&self, sample: &Sample, apply: impl FnOnce(usize)) {
        // Neither who holds the lock nor who has panicked in it is worth waiting for.
        let Ok(mut algorithm) = self.0.try_lock() else {
            return;
        };
        let before = at_least_one(algorithm.limit());
        algorithm.sample(sample);
        let after = at_least_one(algorithm.limit());
        if after != before {
            apply(after);
        }
    }
}

impl fmt::Debug for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Learned")
    }
}

pub(super) fn at_least_one(limit: usize) -> usize {
    limit.max(1)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{drop, served};
    use crate::Limit;

    #[test]
    fn hands_on_the_limits_that_change() {
        let learned = Limit::aimd().learned().unwrap();
        let mut applied = Vec::new();

        for sample in [served(10, 20), served(10, 1), drop(10, 21), drop(10, 20)] {
            learned.sample(&sample, |limit| applied.push(limit));
        }

        // Not 18: the least is 20.
        assert_eq!(applied, [21, 20]);
    }

    #[test]
    fn leaves_a_sample_out_while_another_is_taken_in() {
        let learned = Limit::aimd().learned().unwrap();
        let mut applied: Vec<usize> = Vec::new();

        learned.sample(&served(10, 20), |_| {
            learned.sample(&served(10, 20), |limit| applied.push(limit));
        });

        assert!(applied.is_empty());
    }
}
