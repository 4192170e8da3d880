use std::time::Duration;

use super::Jitter;
use super::draws::Draws;
use super::shape::Shape;

/// The delays of one call, as its [`Backoff`](crate::Backoff) has them.
///
/// A clone begins anew, as tower asks of its backoffs.
#[derive(Debug)]
pub struct Delays {
    shape: Shape,
    jitter: Jitter,
    draws: Draws,
    retry: u32,
    /// The last delay, before its jitter.
    previous: Option<Duration>,
}

// A call in flight has room for one.
const _: () = assert!(size_of::<Delays>() <= 96);

impl Delays {
    pub(super) fn new(shape: Shape, jitter: Jitter, draws: Draws) -> Self {
        Self {
            shape,
            jitter,
            draws,
            retry: 0,
            previous: None,
        }
    }

    /// Returns how long to wait before the next retry.
    #[must_use]
    pub fn next_delay(&mut self) -> Duration {
        let max = self.shape.max();
        let range = self.shape.range(self.retry, self.previous);
        let delay = self.draws.uniform(range).min(max);
        self.retry = self.retry.saturating_add(1);
        self.previous = Some(delay);
        self.draws.uniform(self.jitter.range(delay)).min(max)
    }

    /// Begins anew: the next delay is one before a first retry. What was drawn is not drawn again.
    pub fn reset(&mut self) {
        self.retry = 0;
        self.previous = None;
    }

    /// Whether chance has a part in the delays. What a custom backoff's closure draws is not known.
    #[must_use]
    pub fn is_jittered(&self) -> bool {
        self.jitter.spreads() || self.shape.is_random()
    }
}

impl Clone for Delays {
    fn clone(&self) -> Self {
        Self::new(self.shape.clone(), self.jitter, self.draws.clone())
    }
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::Backoff;

    const MS: Duration = Duration::from_millis(1);

    fn take(delays: &mut Delays, n: usize) -> Vec<Duration> {
        (0..n).map(|_| delays.next_delay()).collect()
    }

    /// The average of the third delay, as a share of the 400 ms that it is without jitter.
    fn share(jitter: Jitter) -> f64 {
        let backoff = Backoff::exponential(100 * MS, 10_000 * MS)
            .jitter(jitter)
            .seed(1);
        let third = |_| take(&mut backoff.delays(), 3)[2].as_secs_f64();
        (0..10_000).map(third).sum::<f64>() / 10_000.0 / 0.4
    }

    #[test]
    fn jitter_is_even_to_both_sides_of_its_middle() {
        for (jitter, expected) in [
            (Jitter::None, 1.0),
            (Jitter::Full, 0.5),
            (Jitter::Equal, 0.75),
            (Jitter::Proportional(0.3), 1.0),
        ] {
            let share = share(jitter);
            assert!((share - expected).abs() < 0.02, "{jitter:?}: {share}");
        }
    }

    #[test]
    fn full_jitter_stays_below_what_doubles_up_to_the_maximum() {
        // Envoy's cases: 15, 40 and 90 ms are drawn where 25, 50 and 100 ms are the bounds.
        for (base, max, bounds) in [
            (25, 250, [25, 50, 100, 200, 250, 250]),
            (100, 1_200, [100, 200, 400, 800, 1_200, 1_200]),
        ] {
            let backoff = Backoff::exponential(base * MS, max * MS)
                .jitter(Jitter::Full)
                .seed(3);
            let mut longest = [Duration::ZERO; 6];

            for _ in 0..1_000 {
                let mut delays = backoff.delays();
                longest = longest.map(|longest| longest.max(delays.next_delay()));
            }

            for (longest, bound) in longest.into_iter().zip(bounds) {
                assert!(longest <= bound * MS && longest >= bound * MS * 98 / 100);
            }
        }
    }

    #[test]
    fn the_maximum_holds_after_jitter() {
        let max = 1_000 * MS;
        let backoff = Backoff::exponential(900 * MS, max).jitter(Jitter::Proportional(0.5));

        let delays = take(&mut backoff.seed(5).delays(), 1_000);

        assert!(delays.iter().all(|delay| (450 * MS..=max).contains(delay)));
        assert!(delays.contains(&max));
    }

    #[test]
    fn jitter_goes_on_at_the_maximum() {
        let backoff = Backoff::exponential(MS, 1_000 * MS).jitter(Jitter::Full);

        let delays = take(&mut backoff.seed(5).delays(), 1_000);

        let short = delays.iter().filter(|delay| **delay < 500 * MS).count();
        assert!((450..550).contains(&short), "{short}");
    }

    #[test]
    fn the_last_retry_of_all_is_followed_by_its_like() {
        for backoff in [
            Backoff::linear(MS, 1_000 * MS),
            Backoff::exponential(MS, 1_000 * MS),
            Backoff::fibonacci(MS, 1_000 * MS),
            Backoff::schedule([MS, 1_000 * MS]),
        ] {
            let mut delays = backoff.delays();
            delays.retry = u32::MAX;

            assert_eq!(take(&mut delays, 3), [1_000 * MS; 3], "{backoff:?}");
        }
    }

    #[test]
    fn a_constant_has_no_maximum_that_jitter_could_meet() {
        let backoff = Backoff::constant(100 * MS).jitter(Jitter::Proportional(0.5));

        let delays = take(&mut backoff.seed(5).delays(), 1_000);

        assert!(
            delays
                .iter()
                .all(|delay| (50 * MS..=150 * MS).contains(delay))
        );
        assert!(delays.iter().any(|delay| *delay > 140 * MS));
    }

    #[test]
    fn decorrelated_delays_follow_from_the_last_one() {
        let (base, max) = (5 * MS, 2_000 * MS);
        let mut delays = Backoff::decorrelated(base, max).seed(2).delays();
        let mut previous = base;

        for _ in 0..1_000 {
            let delay = delays.next_delay();
            assert!((base..=max.min(3 * previous)).contains(&delay));
            previous = delay;
        }
    }

    #[test]
    fn jitter_on_decorrelated_delays_leaves_their_course_alone() {
        let backoff = Backoff::decorrelated(5 * MS, 2_000 * MS).jitter(Jitter::Full);

        let delays = take(&mut backoff.seed(2).delays(), 1_000);

        assert!(delays.iter().any(|delay| *delay < 5 * MS));
        assert!(delays.iter().any(|delay| *delay > 1_500 * MS));
    }

    #[test]
    fn after_a_reset_the_next_delay_is_a_first_one() {
        let mut exponential = Backoff::exponential(MS, 1_000 * MS).delays();
        let mut decorrelated = Backoff::decorrelated(MS, 1_000 * MS).delays();
        for delays in [&mut exponential, &mut decorrelated] {
            _ = take(delays, 20);
            delays.reset();
        }

        assert_eq!(take(&mut exponential, 3), [MS, 2 * MS, 4 * MS]);
        assert!(decorrelated.next_delay() <= 3 * MS);
    }

    #[test]
    fn a_clone_begins_anew() {
        let mut delays = Backoff::exponential(MS, 1_000 * MS).delays();
        _ = take(&mut delays, 5);

        assert_eq!(delays.clone().next_delay(), MS);
        assert_eq!(delays.next_delay(), 32 * MS);
    }

    #[test]
    fn says_whether_chance_has_a_part() {
        let plain = Backoff::exponential(MS, 1_000 * MS);
        for (backoff, expected) in [
            (plain.clone(), false),
            (plain.clone().jitter(Jitter::Full), true),
            (plain.clone().jitter(Jitter::Proportional(0.0)), false),
            (plain.jitter(Jitter::Proportional(0.1)), true),
            (Backoff::decorrelated(MS, 1_000 * MS), true),
            (Backoff::custom(|_| MS), false),
        ] {
            assert_eq!(backoff.delays().is_jittered(), expected, "{backoff:?}");
        }
    }

    #[test]
    fn nothing_is_allocated() {
        _ = rand::random::<u64>();
        for backoff in [
            Backoff::schedule([MS, 2 * MS]).jitter(Jitter::Full),
            Backoff::decorrelated(MS, 1_000 * MS).seed(1),
            Backoff::custom(|retry| retry * MS).jitter(Jitter::Equal),
        ] {
            let info = measure(|| {
                let mut delays = backoff.delays();
                for _ in 0..10 {
                    _ = delays.next_delay();
                }
            });
            assert_eq!(info.count_total, 0, "{backoff:?}");
        }
    }

    fn duration() -> BoxedStrategy<Duration> {
        prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::MAX),
            any::<Duration>(),
            (0..5_000u64).prop_map(Duration::from_millis),
        ]
        .boxed()
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![-1.0..4.0, any::<f64>(), Just(f64::NAN)]
    }

    fn jitter() -> impl Strategy<Value = Jitter> {
        prop_oneof![
            Just(Jitter::None),
            Just(Jitter::Full),
            Just(Jitter::Equal),
            number().prop_map(Jitter::Proportional),
        ]
    }

    fn backoff() -> impl Strategy<Value = (Backoff, Duration)> {
        let span = (duration(), duration());
        prop_oneof![
            duration().prop_map(|delay| (Backoff::constant(delay), Duration::MAX)),
            span.clone()
                .prop_map(|(base, max)| (Backoff::linear(base, max), max)),
            (span.clone(), number()).prop_map(|((base, max), factor)| {
                (Backoff::exponential(base, max).factor(factor), max)
            }),
            span.clone()
                .prop_map(|(base, max)| (Backoff::fibonacci(base, max), max)),
            span.prop_map(|(base, max)| (Backoff::decorrelated(base, max), max)),
            vec(duration(), 0..4).prop_map(|all| (Backoff::schedule(all), Duration::MAX)),
        ]
    }

    proptest! {
        /// Validated or not: no retry panics, and none waits for longer than the maximum.
        #[test]
        fn whatever_is_set_no_delay_exceeds_the_maximum(
            (backoff, max) in backoff(),
            jitter in jitter(),
            seed in option::of(any::<u64>()),
            far in prop_oneof![0..100u32, Just(10_000), Just(u32::MAX - 2)],
        ) {
            let backoff = backoff.jitter(jitter);
            let backoff = match seed {
                Some(seed) => backoff.seed(seed),
                None => backoff,
            };
            let mut delays = backoff.delays();
            _ = delays.next_delay();
            delays.retry = far;

            for _ in 0..5 {
                prop_assert!(delays.next_delay() <= max);
            }
        }
    }
}
