use std::sync::Arc;

use tokio::time::Instant;

use super::buckets::Buckets;
use super::decay::Decaying;
use super::pending::Pending;
use super::ring::Ring;
use super::setting::{Kind, Window};
use super::standing::{Record, Recorded, Standing};

/// Counts the calls in a [`Window`].
///
/// It has no lock, and takes no more memory than it was made with. Everything in it is of one
/// generation: what is recorded of another changes nothing. In a window of calls a success is only
/// put by, in its thread's own stripe, and the next record takes in what is pending. So there "the
/// last calls" are the last in some order that is each thread's own.
#[derive(Debug)]
pub struct Tally {
    pending: Arc<Pending>,
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    Ring(Ring),
    Buckets(Buckets),
    Decaying(Decaying),
}

impl Tally {
    /// Creates an empty one for a window that is [valid](Window::validate), with a stripe to a
    /// thread.
    #[must_use]
    pub fn new(window: Window, generation: u32, epoch: Instant) -> Self {
        Self::with_pending(window, Arc::new(Pending::new()), generation, epoch)
    }

    /// Creates one with a single stripe, for those who need thousands.
    #[must_use]
    pub fn single(window: Window, generation: u32, epoch: Instant) -> Self {
        Self::with_pending(window, Arc::new(Pending::single()), generation, epoch)
    }

    /// Creates one that takes its successes from `pending`, of those to come.
    #[must_use]
    pub fn with_pending(
        window: Window,
        pending: Arc<Pending>,
        generation: u32,
        epoch: Instant,
    ) -> Self {
        pending.begin(generation);
        let machine = match window.kind {
            Kind::Calls(size) => Machine::Ring(Ring::new(size.max(1), &pending, generation)),
            Kind::Time { span, buckets } => {
                Machine::Buckets(Buckets::new(span, buckets.max(1), generation, epoch))
            }
            Kind::Decay(half_life) => {
                Machine::Decaying(Decaying::new(half_life, generation, epoch))
            }
        };
        Self { pending, machine }
    }

    /// Empties it for `generation`, which is later than the last. No two threads may do so at
    /// once; others may record, and what they record of earlier generations is gone.
    pub fn begin(&self, generation: u32, now: Instant) {
        match &self.machine {
            Machine::Ring(ring) => ring.begin(generation, &self.pending),
            Machine::Buckets(buckets) => buckets.begin(generation, now),
            Machine::Decaying(decaying) => decaying.begin(generation, now),
        }
        self.pending.begin(generation);
    }

    /// Counts a call that succeeded in good time. `now` is read where the window is timed.
    pub fn success(&self, generation: u32, now: impl FnOnce() -> Instant) -> Recorded {
        let recorded = match &self.machine {
            Machine::Ring(_) if self.pending.success(generation) => return Recorded::Counted,
            Machine::Ring(ring) => ring.record(generation, &Record::SUCCESS, &self.pending),
            Machine::Buckets(buckets) => buckets.record(generation, &Record::SUCCESS, now()),
            Machine::Decaying(decaying) => decaying.record(generation, &Record::SUCCESS, now()),
        };
        if recorded != Recorded::Stale {
            self.pending.add();
        }
        recorded
    }

    /// Counts a call, after all the successes that are pending. `now` is read where the window is
    /// timed.
    pub fn record(
        &self,
        generation: u32,
        record: Record,
        now: impl FnOnce() -> Instant,
    ) -> Recorded {
        match &self.machine {
            Machine::Ring(ring) => ring.record(generation, &record, &self.pending),
            Machine::Buckets(buckets) => buckets.record(generation, &record, now()),
            Machine::Decaying(decaying) => decaying.record(generation, &record, now()),
        }
    }

    /// Returns what is in the window at `now`, with all the successes that are pending.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        match &self.machine {
            Machine::Ring(ring) => ring.drained(&self.pending),
            Machine::Buckets(buckets) => buckets.standing(now),
            Machine::Decaying(decaying) => decaying.standing(now),
        }
    }

    /// Returns how many calls [`success`](Self::success) has ever counted, over all generations.
    #[must_use]
    pub fn total_successes(&self) -> u64 {
        self.pending.total()
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::collections::VecDeque;
    use std::thread;
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::standing::Run;
    use super::*;
    use crate::nanos;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    fn standing(recorded: Recorded) -> Standing {
        match recorded {
            Recorded::Standing(standing) => standing,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn after_a_million_successes_half_of_the_window_makes_half_the_rate() {
        let now = Instant::now();
        let tally = Tally::new(Window::calls(100), 0, now);
        for _ in 0..1_000_000 {
            tally.success(0, || now);
        }

        for failures in 1..=50 {
            let standing = standing(tally.record(0, Record::FAILURE, || now));
            assert_eq!(standing.failure_rate(), Some(f64::from(failures) / 100.0));
        }
        assert_eq!(tally.total_successes(), 1_000_000);
    }

    #[test]
    fn a_million_successes_displace_all_failures() {
        let now = Instant::now();
        let tally = Tally::single(Window::calls(1_000), 0, now);
        for _ in 0..1_000 {
            tally.record(0, Record::FAILURE, || now);
        }
        assert_eq!(tally.standing(now).failure_rate(), Some(1.0));

        for _ in 0..1_000_000 {
            tally.success(0, || now);
        }

        assert_eq!(tally.standing(now).failure_rate(), Some(0.0));
        assert_eq!(tally.standing(now).consecutive_failures, 0);
    }

    #[test]
    fn a_failure_leaves_a_window_of_time_with_its_bucket() {
        let start = Instant::now();
        let tally = Tally::new(Window::time(10 * SECOND), 0, start);

        tally.record(0, Record::FAILURE, || start);
        let at_5 = tally.success(0, || start + 5 * SECOND);
        assert_eq!(standing(at_5).failure_rate(), Some(0.5));

        let at_10 = tally.success(0, || start + 10_500 * MS);
        assert_eq!(standing(at_10).calls, 2);
        assert_eq!(standing(at_10).failure_rate(), Some(0.0));
    }

    #[test]
    fn time_alone_empties_the_timed_windows() {
        let start = Instant::now();
        for window in [Window::time(10 * SECOND), Window::decay(SECOND)] {
            let tally = Tally::new(window, 0, start);
            tally.record(0, Record::FAILURE, || start);

            for days in [1, 100, 10_000] {
                let later = start + days * 86_400 * SECOND;
                assert_eq!(tally.standing(later).failure_rate(), None);
                let again = standing(tally.record(0, Record::SUCCESS, || later));
                assert_eq!((again.calls, again.failures), (1, 0.0));
            }
        }
    }

    /// Rests of about so many steps of the window as some number of bits can count.
    fn long_rests(step: Duration) -> impl Iterator<Item = Duration> {
        [10, 14, 19, 20, 24, 28, 31, 32]
            .into_iter()
            .flat_map(move |bits| {
                let rest = step * 8 * (1 << (bits - 3));
                [-65_000, -1_025, -1, 0, 1, 1_025, 65_000].map(|steps: i32| {
                    let some = step * steps.unsigned_abs();
                    if steps < 0 {
                        rest.saturating_sub(some)
                    } else {
                        rest + some
                    }
                })
            })
    }

    /// Windows that are empty after `.1` steps of `.0`, in the shortest steps that there are.
    fn windows_of_short_steps() -> [(Window, Duration, u32); 4] {
        let half_life = Window::MIN_HALF_LIFE;
        [
            (Window::time(MS).buckets(1), MS, 1),
            (Window::time(7 * MS).buckets(7), MS, 7),
            (Window::time(SECOND).buckets(1_000), MS, 1_000),
            (Window::decay(half_life), half_life / 256, 64 * 256),
        ]
    }

    const SLOW_FAILURE: Record = Record {
        slow: true,
        ..Record::FAILURE
    };

    #[test]
    fn what_was_before_a_long_rest_is_gone_and_what_comes_after_counts() {
        let start = Instant::now();
        for (window, step, empty_after) in windows_of_short_steps() {
            for rest in long_rests(step).filter(|rest| *rest >= empty_after * step) {
                let tally = Tally::new(window, 0, start);
                let mut now = start;
                for _ in 0..3 {
                    tally.record(0, SLOW_FAILURE, || now);
                    now += rest;

                    let first = standing(tally.record(0, Record::FAILURE, || now));
                    assert_eq!(
                        (first.calls, first.failures),
                        (1, 1.0),
                        "{window:?} {rest:?}"
                    );
                    assert_eq!(first.slow, 0);

                    now += rest;
                    let rested = tally.standing(now);
                    assert_eq!(
                        (rested.calls, rested.failures),
                        (0, 0.0),
                        "{window:?} {rest:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_generation_that_begins_after_a_long_rest_is_empty_and_its_own() {
        let start = Instant::now();
        for (window, step, _) in windows_of_short_steps() {
            for rest in long_rests(step) {
                let tally = Tally::new(window, 0, start);
                let mut now = start;
                for generation in 1..4 {
                    tally.record(generation - 1, SLOW_FAILURE, || now);
                    now += rest;

                    tally.begin(generation, now);

                    let late = tally.record(generation - 1, Record::FAILURE, || now);
                    assert_eq!(late, Recorded::Stale);
                    assert_eq!(tally.standing(now), Standing::default());
                    let first = standing(tally.record(generation, Record::FAILURE, || now));
                    assert_eq!(
                        (first.calls, first.failures),
                        (1, 1.0),
                        "{window:?} {rest:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn failures_do_not_come_back_after_weeks_of_successes() {
        let start = Instant::now();
        let tally = Tally::new(Window::decay(Window::MIN_HALF_LIFE), 0, start);
        for _ in 0..1_000 {
            tally.record(0, SLOW_FAILURE, || start);
        }

        // Just so long that successes alone keep it busy.
        let pause = 60 * Window::MIN_HALF_LIFE;
        for pauses in 1..300_000 {
            let now = standing(tally.success(0, || start + pauses * pause));
            assert_eq!((now.calls, now.failures, now.slow), (1, 0.0, 0), "{pauses}");
        }
    }

    #[test]
    fn a_half_life_halves() {
        let start = Instant::now();
        let tally = Tally::new(Window::decay(SECOND), 0, start);
        for _ in 0..8 {
            tally.record(0, Record::FAILURE, || start);
        }

        let later = tally.standing(start + 2 * SECOND);
        assert_eq!((later.calls, later.failures), (2, 2.0));

        tally.success(0, || start + 2 * SECOND);
        tally.success(0, || start + 2 * SECOND);
        let mixed = tally.standing(start + 2 * SECOND);
        assert_eq!(mixed.failure_rate(), Some(0.5));
    }

    #[test]
    fn what_is_of_another_generation_is_stale() {
        let now = Instant::now();
        for window in [
            Window::calls(10),
            Window::time(SECOND),
            Window::decay(SECOND),
        ] {
            let tally = Tally::new(window, u32::MAX, now);
            tally.record(u32::MAX, Record::FAILURE, || now);
            tally.success(u32::MAX, || now);

            tally.begin(0, now);

            assert_eq!(
                tally.record(u32::MAX, Record::FAILURE, || now),
                Recorded::Stale
            );
            assert_eq!(tally.success(u32::MAX, || now), Recorded::Stale);
            assert_eq!(tally.standing(now), Standing::default());
            assert_eq!(tally.total_successes(), 1);
            let first = standing(tally.record(0, Record::FAILURE, || now));
            assert_eq!((first.calls, first.consecutive_failures), (1, 1));
        }
    }

    #[test]
    fn a_new_tally_of_the_same_pending_is_empty() {
        let now = Instant::now();
        let pending = Arc::new(Pending::new());
        let old = Tally::with_pending(Window::calls(10), Arc::clone(&pending), 5, now);
        old.success(5, || now);

        let new = Tally::with_pending(Window::calls(20), Arc::clone(&pending), 5, now);
        assert_eq!(new.standing(now).calls, 0);

        assert!(pending.success(5));
        assert_eq!(new.standing(now).calls, 1);
        assert_eq!(new.total_successes(), 2);
    }

    #[test]
    fn threads_lose_nothing_and_count_nothing_twice() {
        const EACH: u64 = 20_000;
        let now = Instant::now();
        for window in [Window::calls(65_535), Window::time(10 * SECOND)] {
            let tally = Tally::new(window, 0, now);
            thread::scope(|scope| {
                for thread in 0..3_u64 {
                    let tally = &tally;
                    scope.spawn(move || {
                        for call in 0..EACH {
                            if (call + thread) % 4 == 0 {
                                tally.record(0, Record::FAILURE, || now);
                            } else {
                                tally.success(0, || now);
                            }
                        }
                    });
                }
            });

            let all = tally.standing(now);
            assert_eq!((all.calls, all.failures), (3 * EACH, 15_000.0));
            assert_eq!(tally.total_successes(), 45_000);
        }
    }

    #[test]
    fn totals_equal_the_content_after_a_crowd() {
        let now = Instant::now();
        for size in [1, 2, 7, 100] {
            let tally = Tally::new(Window::calls(size), 0, now);
            let Machine::Ring(ring) = &tally.machine else {
                unreachable!()
            };
            thread::scope(|scope| {
                for thread in 0..4_u32 {
                    let tally = &tally;
                    scope.spawn(move || {
                        for call in 0..20_000_u32 {
                            let generation = call / 500;
                            if thread == 0 && call % 500 == 0 {
                                tally.begin(generation + 1, now);
                            }
                            let record = Record {
                                weight: (call % 7) as f32 / 4.0,
                                slow: call % 3 == 0,
                                run: Run::Extend,
                            };
                            for generation in generation..generation + 3 {
                                tally.record(generation, record, || now);
                                tally.success(generation, || now);
                            }
                        }
                    });
                }
            });

            assert_eq!(ring.totals(), ring.content());
            tally.begin(1_000, now);
            assert_eq!((ring.totals(), ring.content()), ((0, 0), (0, 0)));
        }
    }

    /// A window that keeps every record, and sums them all up when it is asked.
    struct Plain {
        window: Window,
        start: Instant,
        latest: u128,
        generation: u32,
        records: VecDeque<(u128, Record)>,
        run: u32,
    }

    impl Plain {
        fn new(window: Window, start: Instant) -> Self {
            Self {
                window,
                start,
                latest: 0,
                generation: 0,
                records: VecDeque::new(),
                run: 0,
            }
        }

        /// The bucket that it is in, or in a decaying window the time; never back.
        fn moment(&mut self, now: Instant) -> u128 {
            let elapsed = now.saturating_duration_since(self.start).as_nanos();
            let moment = match self.window.kind {
                Kind::Time { span, buckets } => elapsed / (span / buckets).as_nanos(),
                Kind::Calls(_) | Kind::Decay(_) => elapsed,
            };
            self.latest = self.latest.max(moment);
            self.latest
        }

        fn record(&mut self, record: Record, now: Instant) {
            let moment = self.moment(now);
            self.records.push_back((moment, record));
            match record.run {
                Run::Extend => self.run += 1,
                Run::Break => self.run = 0,
                Run::Keep => {}
            }
        }

        fn begin(&mut self) {
            self.generation += 1;
            // A clock that was set back counts from now on.
            self.latest = 0;
            self.records.clear();
            self.run = 0;
        }

        /// Calls, thousandths, slow calls.
        fn sums(&mut self, now: Instant) -> (f64, f64, f64) {
            let moment = self.moment(now);
            match self.window.kind {
                Kind::Calls(n) => {
                    while self.records.len() > n as usize {
                        self.records.pop_front();
                    }
                }
                Kind::Time { buckets, .. } => {
                    self.records
                        .retain(|(at, _)| at + u128::from(buckets) > moment);
                }
                Kind::Decay(_) => {}
            }
            let half_life = match self.window.kind {
                Kind::Decay(half_life) => half_life.as_nanos() as f64,
                Kind::Calls(_) | Kind::Time { .. } => f64::INFINITY,
            };
            self.records
                .iter()
                .fold((0.0, 0.0, 0.0), |(calls, weight, slow), (at, record)| {
                    let left = (-((moment - at) as f64) / half_life).exp2();
                    (
                        calls + left,
                        weight + left * record.thousandths() as f64,
                        slow + left * f64::from(u8::from(record.slow)),
                    )
                })
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Successes(u8),
        Record(Record),
        Late(Record),
        Begin,
        Forward(u32),
        Back(u32),
        Rest(u32, i32),
        Look,
    }

    fn step() -> impl Strategy<Value = Step> {
        let weight = prop_oneof![
            4 => Just(1.0_f32),
            3 => (0..17_000_u16).prop_map(|n| f32::from(n) / 1_000.0),
            1 => prop_oneof![Just(f32::NAN), Just(-1.0), Just(f32::INFINITY)],
        ];
        let run = prop_oneof![Just(Run::Extend), Just(Run::Break), Just(Run::Keep)];
        let record = (weight, any::<bool>(), run).prop_map(|(weight, slow, run)| Record {
            weight,
            slow,
            run,
        });
        prop_oneof![
            4 => (0..40_u8).prop_map(Step::Successes),
            8 => record.clone().prop_map(Step::Record),
            1 => record.prop_map(Step::Late),
            1 => Just(Step::Begin),
            3 => (0..3_000_u32).prop_map(Step::Forward),
            1 => (0..3_000_u32).prop_map(Step::Back),
            1 => (10..33_u32, -2..3_i32).prop_map(|(bits, more)| Step::Rest(bits, more)),
            2 => Just(Step::Look),
        ]
    }

    /// Returns the nanoseconds that a timed window goes on in.
    fn step_of(window: Window) -> u64 {
        match window.kind {
            Kind::Calls(_) => 1,
            Kind::Time { span, buckets } => nanos(span / buckets),
            Kind::Decay(half_life) => nanos(half_life / 256),
        }
    }

    /// Runs `steps` on both and compares what they say after each.
    fn compare(window: Window, steps: Vec<Step>) -> Result<(), TestCaseError> {
        let start = Instant::now();
        let mut now = start;
        let mut plain = Plain::new(window, start);
        // Rounds are so short that many successes have to be recorded.
        let pending = Arc::new(Pending::with_round(2, 8));
        let tally = Tally::with_pending(window, pending, 0, start);
        let mut successes = 0;

        for step in steps {
            let generation = plain.generation;
            match step {
                Step::Successes(n) => {
                    for _ in 0..n {
                        plain.record(Record::SUCCESS, now);
                        tally.success(generation, || now);
                        successes += 1;
                    }
                    continue;
                }
                Step::Record(record) => {
                    plain.record(record, now);
                    let recorded = tally.record(generation, record, || now);
                    prop_assert!(matches!(recorded, Recorded::Standing(_)));
                }
                Step::Late(record) => {
                    let recorded = tally.record(generation.wrapping_sub(1), record, || now);
                    prop_assert_eq!(recorded, Recorded::Stale);
                }
                Step::Begin => {
                    plain.begin();
                    tally.begin(plain.generation, now);
                }
                Step::Forward(ms) => now += ms * MS,
                Step::Back(ms) => now = now.checked_sub(ms * MS).map_or(start, |t| t.max(start)),
                Step::Rest(bits, more) => {
                    let steps = (1_u64 << bits).saturating_add_signed(more.into());
                    let rested = now + Duration::from_nanos(step_of(window) * steps);
                    // All time that can be counted is five centuries.
                    if rested - start < 100 * YEAR {
                        now = rested;
                    }
                }
                Step::Look => {}
            }

            let (calls, weight, slow) = plain.sums(now);
            let seen = tally.standing(now);
            prop_assert_eq!(seen.consecutive_failures, plain.run);
            prop_assert_eq!(tally.total_successes(), successes);
            if let Kind::Decay(_) = window.kind {
                prop_assert!((seen.calls as f64 - calls).abs() <= 0.51 + calls * 0.01);
                if let Some(rate) = seen.failure_rate() {
                    let exact = (weight / 1_000.0 / calls).min(1.0);
                    prop_assert!((rate - exact).abs() <= 0.01, "{rate} {exact}");
                }
            } else {
                prop_assert_eq!(seen.calls as f64, calls);
                prop_assert_eq!(seen.failures, weight / 1_000.0);
                prop_assert_eq!(seen.slow as f64, slow);
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_window_of_calls_is_as_the_plain_one(
            size in 1..60_u32,
            steps in vec(step(), 1..80),
        ) {
            compare(Window::calls(size), steps)?;
        }

        #[test]
        fn a_window_of_time_is_as_the_plain_one(
            buckets in 1..12_u32,
            width in 1..3_000_u32,
            steps in vec(step(), 1..80),
        ) {
            compare(Window::time(buckets * width * MS).buckets(buckets), steps)?;
        }

        #[test]
        fn a_decaying_window_is_as_the_plain_one(
            half_life in 100..20_000_u32,
            steps in vec(step(), 1..80),
        ) {
            compare(Window::decay(half_life * MS), steps)?;
        }
    }
}
