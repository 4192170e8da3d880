use std::sync::Arc;
use std::time::Duration;

use super::draws::{Draws, Seed};
use super::shape::{Custom, Shape, Span};
use super::{Delays, Jitter};
use crate::ConfigError;

/// How long to wait before each retry: a shape in which delays grow, and a [`Jitter`] on top.
///
/// With `n` = 0 for the first retry, the delay before its jitter is
///
/// | shape | delay | base 100 ms, max 1 s |
/// | --- | --- | --- |
/// | [`constant`](Self::constant) | delay | |
/// | [`linear`](Self::linear) | min(max, base x (n + 1)) | 100, 200, 300, 400, 500 .. 1,000 ms |
/// | [`exponential`](Self::exponential) | min(max, base x factor^n) | 100, 200, 400, 800, 1,000 ms |
/// | [`fibonacci`](Self::fibonacci) | min(max, base x F(n)), F = 1, 1, 2, 3, 5 .. | 100, 100, 200, 300, 500, 800, 1,000 ms |
/// | [`decorrelated`](Self::decorrelated) | min(max, uniform(base, 3 x the delay before)), first uniform(base, 3 x base) | such as 170, 420, 230, 610 ms |
/// | [`schedule`](Self::schedule) | the n-th, or else the last | |
/// | [`custom`](Self::custom) | f(n) | |
///
/// No delay is longer than the maximum, jitter included. A constant, a schedule and a closure have
/// no maximum.
///
/// ```
/// use std::time::Duration;
///
/// use watertight_core::{Backoff, Jitter};
///
/// let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(10))
///     .jitter(Jitter::Full);
/// backoff.validate()?;
///
/// let mut delays = backoff.delays();
/// assert!(delays.next_delay() <= Duration::from_millis(100));
/// assert!(delays.next_delay() <= Duration::from_millis(200));
/// # Ok::<_, watertight_core::ConfigError>(())
/// ```
///
/// A clone is the same setting. Clones of one that has a [`seed`](Self::seed) take their sessions
/// from the same sequence. Two are equal if they are set alike; closures are equal only to
/// themselves.
///
/// With the feature `serde` it reads one shape by its name, with jitter and seed beside it. A custom
/// one cannot be written.
///
/// ```json
/// {"exponential": {"base": "100ms", "max": "10s", "factor": 2.0}, "jitter": "full"}
/// {"schedule": ["0s", "1s", "5s"], "jitter": {"proportional": 0.2}, "seed": 7}
/// {"constant": "1s"}
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Backoff {
    pub(super) shape: Shape,
    pub(super) jitter: Jitter,
    pub(super) seed: Option<Arc<Seed>>,
    /// A factor has been asked for in a shape that has none.
    misplaced: Option<f64>,
}

impl Backoff {
    /// By what delays grow in [`exponential`](Self::exponential), unless [`factor`](Self::factor)
    /// says otherwise.
    pub const FACTOR: f64 = 2.0;

    /// Waits `delay` before every retry. It may be zero, which retries at once.
    #[must_use]
    pub fn constant(delay: Duration) -> Self {
        Self::of(Shape::Constant(delay))
    }

    /// Waits `base` longer before each retry than before the last: base x (n + 1).
    #[must_use]
    pub fn linear(base: Duration, max: Duration) -> Self {
        Self::of(Shape::Linear(Span { base, max }))
    }

    /// Waits twice as long before each retry as before the last: base x 2^n.
    #[must_use]
    pub fn exponential(base: Duration, max: Duration) -> Self {
        Self::of(Shape::Exponential(Span { base, max }, Self::FACTOR))
    }

    /// Waits before each retry as long as before the last two together: base x 1, 1, 2, 3, 5, 8 and
    /// so on, which grows by a factor of 1.6.
    #[must_use]
    pub fn fibonacci(base: Duration, max: Duration) -> Self {
        Self::of(Shape::Fibonacci(Span { base, max }))
    }

    /// Waits for a time between `base` and three times the last, where `base` counts as the one
    /// before the first: uniform(base, 3 x previous).
    ///
    /// Chance is in the shape, so that no [`Jitter`] is needed. Clients that were unlucky stay back
    /// for longer than with [`Jitter::Full`], while nobody comes back at once.
    #[must_use]
    pub fn decorrelated(base: Duration, max: Duration) -> Self {
        Self::of(Shape::Decorrelated(Span { base, max }))
    }

    /// Waits for each of `delays` in turn, and then for the last of them ever again. They may be
    /// zero.
    #[must_use]
    pub fn schedule(delays: impl IntoIterator<Item = Duration>) -> Self {
        Self::of(Shape::Schedule(delays.into_iter().collect()))
    }

    /// Waits for as long as `delay` says, which is given 0 for the first retry.
    #[must_use]
    pub fn custom(delay: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        Self::of(Shape::Custom(Custom(Arc::new(delay))))
    }

    /// Sets by what an exponential backoff grows. 1.0 does not grow.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        match &mut self.shape {
            Shape::Exponential(_, current) => *current = factor,
            _ => self.misplaced = Some(factor),
        }
        self
    }

    /// Spreads the delays. [`Jitter`] says which to choose. None unless set.
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Draws from a generator with this seed, in place of the thread's. Calls still differ from each
    /// other, but a backoff made with the same seed gives the same calls the same delays, in the
    /// order in which they ask for their [`delays`](Self::delays).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(Arc::new(Seed::new(seed)));
        self
    }

    /// Checks that there can be such a backoff.
    ///
    /// # Errors
    ///
    /// If what is to grow begins with zero, if the maximum is below the base, if the factor is below
    /// 1.0 or not finite, or if there is one where nothing is exponential, if a schedule has no
    /// delays, or if a proportional jitter is no ratio.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if let Some(factor) = self.misplaced {
            let allowed = "left out, unless the backoff is exponential";
            return Err(ConfigError::new("backoff.factor", factor, allowed));
        }
        self.shape.validate()?;
        self.jitter.validate()
    }

    /// Begins the delays of one call. Nothing is allocated, and nothing drawn before the first
    /// delay is asked for.
    ///
    /// What has not passed [`validate`](Self::validate) has delays, too, within its maximum.
    #[must_use]
    pub fn delays(&self) -> Delays {
        let draws = Draws::new(self.seed.as_deref());
        Delays::new(self.shape.clone(), self.jitter, draws)
    }

    pub(super) fn of(shape: Shape) -> Self {
        Self {
            shape,
            jitter: Jitter::None,
            seed: None,
            misplaced: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn jittered() -> Backoff {
        Backoff::exponential(100 * MS, 10 * SECOND).jitter(Jitter::Full)
    }

    /// The first delays of so many sessions in turn.
    fn sessions(backoff: &Backoff, n: usize) -> Vec<[Duration; 3]> {
        let session = |_| {
            let mut delays = backoff.delays();
            [(); 3].map(|()| delays.next_delay())
        };
        (0..n).map(session).collect()
    }

    fn distinct(sessions: &[[Duration; 3]]) -> usize {
        let mut sessions = sessions.to_vec();
        sessions.sort_unstable();
        sessions.dedup();
        sessions.len()
    }

    #[test]
    fn sessions_differ_from_each_other_with_and_without_a_seed() {
        for backoff in [jittered(), jittered().seed(7)] {
            let sessions = sessions(&backoff, 100);

            assert_eq!(distinct(&sessions), 100);
        }
    }

    #[test]
    fn the_whole_sequence_repeats_with_its_seed() {
        let first = sessions(&jittered().seed(7), 10);

        assert_eq!(sessions(&jittered().seed(7), 10), first);
        assert_ne!(sessions(&jittered().seed(8), 10), first);
        assert_ne!(sessions(&jittered(), 10), sessions(&jittered(), 10));
    }

    #[test]
    fn clones_take_their_sessions_from_one_sequence() {
        let backoff = jittered().seed(7);
        let clone = backoff.clone();

        let mut shared = sessions(&backoff, 5);
        shared.extend(sessions(&clone, 5));

        assert_eq!(shared, sessions(&jittered().seed(7), 10));
    }

    #[test]
    fn those_that_are_set_alike_are_equal() {
        let custom = Backoff::custom(|_| MS);
        let used = jittered().seed(1);
        _ = used.delays();

        assert_eq!(used, jittered().seed(1));
        assert_ne!(used, jittered().seed(2));
        assert_ne!(used, jittered());
        assert_ne!(jittered(), jittered().factor(3.0));
        assert_ne!(jittered(), jittered().jitter(Jitter::Equal));
        assert_eq!(custom, custom.clone());
        assert_ne!(custom, Backoff::custom(|_| MS));
    }

    #[test]
    fn the_usual_backoffs_are_valid() {
        for backoff in [
            jittered(),
            jittered().factor(1.0),
            Backoff::exponential(SECOND, SECOND),
            Backoff::constant(Duration::ZERO),
            Backoff::linear(MS, SECOND).jitter(Jitter::Proportional(1.0)),
            Backoff::fibonacci(MS, Duration::MAX),
            Backoff::decorrelated(MS, SECOND).seed(0),
            Backoff::schedule([SECOND, Duration::ZERO]),
            Backoff::custom(|_| MS),
        ] {
            assert_eq!(backoff.validate(), Ok(()), "{backoff:?}");
        }
    }

    #[test]
    fn says_what_cannot_be() {
        for (backoff, message) in [
            (
                Backoff::linear(Duration::ZERO, SECOND),
                "`backoff.base` is 0ns, but must be more than 0 s, since nothing grows out of 0",
            ),
            (
                Backoff::decorrelated(2 * SECOND, SECOND),
                "`backoff.max` is 1s, but must be at least the base, 2s",
            ),
            (
                jittered().factor(0.5),
                "`backoff.factor` is 0.5, but must be at least 1.0, and finite",
            ),
            (
                Backoff::constant(SECOND).factor(2.0),
                "`backoff.factor` is 2.0, but must be left out, unless the backoff is exponential",
            ),
            (
                Backoff::schedule([]),
                "`backoff.schedule` is [], but must be at least one delay",
            ),
            (
                jittered().jitter(Jitter::Proportional(1.1)),
                "`backoff.jitter` is 1.1, but must be a ratio in 0.0..=1.0",
            ),
        ] {
            assert_eq!(backoff.validate().unwrap_err().to_string(), message);
        }
    }
}
