use std::fmt;

use crate::{Limit, LimitAlgorithm, Sample};

/// A limit in force: its setting, and the algorithm at work behind it.
pub(crate) struct Learned {
    setting: Limit,
    /// Where it began.
    initial: usize,
    /// `None` for a fixed limit.
    algorithm: Option<Box<dyn LimitAlgorithm>>,
}

impl Learned {
    /// Puts a setting in force, of which nothing has been learnt yet.
    pub(crate) fn new(setting: Limit) -> Self {
        let learns = !matches!(setting, Limit::Fixed(_));
        let algorithm = learns.then(|| setting.algorithm(rand::random()));
        let initial = match &algorithm {
            Some(algorithm) => at_least_one(algorithm.limit()),
            None => setting.initial(),
        };
        Self {
            setting,
            initial,
            algorithm,
        }
    }

    pub(crate) const fn setting(&self) -> &Limit {
        &self.setting
    }

    /// Where the limit began. No code of others is asked.
    pub(crate) const fn initial(&self) -> usize {
        self.initial
    }

    /// Whether samples make a difference.
    pub(crate) const fn learns(&self) -> bool {
        self.algorithm.is_some()
    }

    /// Returns how many more samples may wait.
    pub(crate) fn may_wait(&self) -> usize {
        let algorithm = self.algorithm.as_ref();
        algorithm.map_or(usize::MAX, |algorithm| algorithm.may_wait())
    }

    /// Takes samples in, and returns what the limit is then, unless it is fixed.
    pub(crate) fn learn(&mut self, samples: impl Iterator<Item = Sample>) -> Option<usize> {
        let algorithm = self.algorithm.as_mut()?;
        for sample in samples {
            algorithm.sample(&sample);
        }
        Some(at_least_one(algorithm.limit()))
    }
}

impl fmt::Debug for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Learned").field(&self.setting).finish()
    }
}

pub(super) fn at_least_one(limit: usize) -> usize {
    limit.max(1)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{drop, served};
    use super::*;

    #[test]
    fn says_what_the_limit_is_after_each_sample() {
        let mut learned = Learned::new(Limit::aimd());

        let samples = [served(10, 20), served(10, 1), drop(10, 21), drop(10, 20)];
        let limits = samples.map(|sample| learned.learn([sample].into_iter()));

        // Not 18: the least is 20.
        assert_eq!(limits, [21, 21, 20, 20].map(Some));
        let together = [served(10, 20), served(10, 21)].into_iter();
        assert_eq!(learned.learn(together), Some(22));
    }

    #[test]
    fn a_fixed_limit_learns_nothing() {
        let mut learned = Learned::new(Limit::from(10_usize));

        assert_eq!(learned.learn([drop(10, 10)].into_iter()), None);
    }
}
