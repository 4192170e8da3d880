use std::fmt;

use crate::{Limit, LimitAlgorithm, Sample};

/// A limit in force: its setting, and the algorithm at work behind it.
pub(crate) struct Learned {
    setting: Limit,
    /// `None` for a fixed limit.
    algorithm: Option<Box<dyn LimitAlgorithm>>,
}

impl Learned {
    /// Puts a setting in force, of which nothing has been learnt yet.
    pub(crate) fn new(setting: Limit) -> Self {
        let learns = !matches!(setting, Limit::Fixed(_));
        Self {
            algorithm: learns.then(|| setting.algorithm(rand::random())),
            setting,
        }
    }

    pub(crate) const fn setting(&self) -> &Limit {
        &self.setting
    }

    /// Whether samples make a difference.
    pub(crate) const fn learns(&self) -> bool {
        self.algorithm.is_some()
    }

    /// Returns after how many more samples the limit is still the same.
    pub(crate) fn steady_for(&self) -> usize {
        let algorithm = self.algorithm.as_ref();
        algorithm.map_or(usize::MAX, |algorithm| algorithm.steady_for())
    }

    /// Takes samples in, and returns the limit if they change it.
    pub(crate) fn learn(&mut self, samples: impl Iterator<Item = Sample>) -> Option<usize> {
        let algorithm = self.algorithm.as_mut()?;
        let before = at_least_one(algorithm.limit());
        for sample in samples {
            algorithm.sample(&sample);
        }
        let after = at_least_one(algorithm.limit());
        (after != before).then_some(after)
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
    fn hands_on_the_limits_that_change() {
        let mut learned = Learned::new(Limit::aimd());

        let samples = [served(10, 20), served(10, 1), drop(10, 21), drop(10, 20)];
        let changes = samples.map(|sample| learned.learn([sample].into_iter()));

        // Not 18: the least is 20.
        assert_eq!(changes, [Some(21), None, Some(20), None]);
        let together = [served(10, 20), served(10, 21)].into_iter();
        assert_eq!(learned.learn(together), Some(22));
    }

    #[test]
    fn a_fixed_limit_learns_nothing() {
        let mut learned = Learned::new(Limit::from(10_usize));

        assert_eq!(learned.learn([drop(10, 10)].into_iter()), None);
    }
}
