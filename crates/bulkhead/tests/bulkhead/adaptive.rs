//! Limits that learn.

use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::task::yield_now;
use tokio::time::{Instant, advance};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_bulkhead::{Adaptive, Aimd, BulkheadLayer, Limit, LimitAlgorithm, Sample};
use watertight_core::{FailureKind, Outcome};
use watertight_metrics::Registry;

use crate::stage::{InFlight, MS, SECOND, stage};

/// What an algorithm has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    made: Arc<AtomicUsize>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

impl Counts {
    pub(crate) fn samples(&self) -> usize {
        self.samples.lock().unwrap().len()
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    fn last(&self) -> Sample {
        *self.samples.lock().unwrap().last().unwrap()
    }
}

/// Grows by one with each sample.
pub(crate) struct Counting {
    counts: Counts,
    limit: usize,
}

/// Makes algorithms that begin at `limit`.
pub(crate) fn counting(counts: &Counts, limit: usize) -> impl Fn() -> Counting + use<> {
    let counts = counts.clone();
    move || {
        counts.made.fetch_add(1, Ordering::Relaxed);
        Counting {
            counts: counts.clone(),
            limit,
        }
    }
}

impl LimitAlgorithm for Counting {
    fn limit(&self) -> usize {
        self.limit
    }

    fn sample(&mut self, sample: &Sample) {
        self.counts.samples.lock().unwrap().push(*sample);
        self.limit += 1;
    }

    /// Each sample is to be seen as its call ends.
    fn may_wait(&self) -> usize {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_learns_from_how_long_calls_take_and_how_many_there_are() {
    let counts = Counts::default();
    let mut stage = stage(Limit::custom(counting(&counts, 3)), |it| it);
    let mut running = stage.start_all(3);
    stage.finds_it_full("pay");

    advance(30 * MS).await;
    running.pop().unwrap().succeeds();

    let sample = counts.last();
    assert_eq!((sample.duration, sample.in_flight), (30 * MS, 3));
    assert_eq!((sample.ended, sample.dropped), (Instant::now(), false));
    assert_eq!(stage.bulkhead.limit(), 4);
    let _two = stage.start_all(2);
    stage.finds_it_full("pay");
}

/// Does as somebody else says.
struct Told(Arc<AtomicUsize>);

impl LimitAlgorithm for Told {
    fn limit(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn sample(&mut self, _: &Sample) {}

    /// Each sample is to be seen as its call ends.
    fn may_wait(&self) -> usize {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_changes_by_itself_is_in_force_with_the_next_sample() {
    let slots = Arc::new(AtomicUsize::new(3));
    let told = Arc::clone(&slots);
    let mut stage = stage(Limit::custom(move || Told(Arc::clone(&told))), |it| it);
    stage.start("pay").succeeds();
    assert_eq!(stage.bulkhead.limit(), 3);

    for limit in [5, 2] {
        slots.store(limit, Ordering::Relaxed);
        stage.start("pay").succeeds();
        assert_eq!(stage.bulkhead.limit(), limit);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_in_the_queue_is_not_the_services() {
    let counts = Counts::default();
    let limit = Limit::custom(counting(&counts, 1));
    let mut stage = stage(limit, |it| it.max_queue(1).max_wait(SECOND));
    let running = stage.start("first");
    let waiting = stage.wait("second");
    advance(100 * MS).await;
    running.ends(Outcome::Ignored);

    let second = stage.reaches_backend(waiting, "second");
    advance(20 * MS).await;
    second.succeeds();

    assert_eq!(counts.samples(), 1);
    assert_eq!(counts.last().duration, 20 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_grows_lets_those_who_wait_pass() {
    let limit = Limit::custom(counting(&Counts::default(), 1));
    let mut stage = stage(limit, |it| it.max_queue(2).max_wait(SECOND));
    let running = stage.start("first");
    let waiting = ["second", "third"].map(|name| (name, stage.wait(name)));

    running.succeeds();

    for (name, call) in waiting {
        stage.reaches_backend(call, name).ends(Outcome::Ignored);
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_tells_how_busy_the_service_is_is_a_sample() {
    let counts = Counts::default();
    let mut stage = stage(Limit::custom(counting(&counts, 9)), |it| it);

    stage.start("pay").fails();
    stage.start("pay").breaks();
    stage.start("pay").ends(Outcome::Ignored);
    drop(stage.start("pay"));
    assert_eq!(counts.samples(), 0);

    stage
        .start("pay")
        .ends(Outcome::failure(FailureKind::Overloaded));
    assert!(counts.last().dropped);
}

#[tokio::test(start_paused = true)]
async fn drops_lower_an_aimd_limit() {
    let aimd = Aimd {
        initial: 100,
        ..Aimd::default()
    };
    let mut stage = stage(aimd, |it| it);
    let mut running: Vec<InFlight> = Vec::new();
    for _ in 0..100 {
        // So many at once would use up the task's budget of tokio.
        yield_now().await;
        running.push(stage.start("pay"));
    }
    stage.finds_it_full("pay");

    for call in running {
        yield_now().await;
        call.ends(Outcome::failure(FailureKind::Timeout));
    }

    assert_eq!(stage.bulkhead.limit(), 20);
    let _running = stage.start_all(20);
    stage.finds_it_full("pay");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_fixed_by_hand_learns_no_more() {
    let counts = Counts::default();
    let mut stage = stage(Limit::custom(counting(&counts, 9)), |it| it);
    let running = stage.start("pay");

    stage.bulkhead.resize(2).unwrap();
    running.succeeds();
    stage.start("pay").succeeds();

    assert_eq!(stage.bulkhead.limit(), 2);
    assert_eq!(counts.samples(), 0);
}

/// Makes a call that is answered at once.
fn call<S: Service<u64, Error: std::fmt::Debug>>(service: &mut S) {
    let answer = pin!(service.call(7)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(answer, Poll::Ready(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn of_very_many_calls_only_some_are_samples() {
    let counts = Counts::default();
    let layer = BulkheadLayer::builder("search", Limit::custom(counting(&counts, 9)))
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_| ready(Ok::<_, BoxError>(()))));
    (0..1_600).for_each(|_| call(&mut service));
    let before = counts.samples();
    advance(MS).await;

    (0..1_600).for_each(|_| call(&mut service));

    assert_eq!((before, counts.samples() - before), (1_600, 16));
}

#[tokio::test(start_paused = true)]
async fn which_calls_are_samples_is_known_as_they_begin() {
    let counts = Counts::default();
    let mut stage = stage(Limit::custom(counting(&counts, 9)), |it| it);
    for _ in 0..1_600 {
        // So many at once would use up the task's budget of tokio.
        yield_now().await;
        stage.start("pay").succeeds();
    }
    advance(MS).await;
    let [sample, other] = ["sample", "other"].map(|name| stage.start(name));

    advance(100 * MS).await;
    other.succeeds();
    assert_eq!(counts.samples(), 1_600);
    sample.succeeds();

    assert_eq!(counts.last().duration, 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_sample_gives_back_the_slot_of_its_partition() {
    let limit = Limit::custom(counting(&Counts::default(), 9));
    let mut stage = stage(limit, |it| {
        let queue = it.max_queue(1).max_wait(SECOND);
        let shares = queue.partition("web", 0.5);
        shares.partition_by(|_: &&'static str| Some("web"))
    });

    let call = stage.start("pay");
    assert_eq!(stage.bulkhead.snapshot().partitions[0].in_flight, 1);
    call.succeeds();

    let after = stage.bulkhead.snapshot();
    assert_eq!((after.in_flight, after.partitions[0].in_flight), (0, 0));
}

/// Changes its limit at each fourth sample at most.
struct Steady(Counting);

impl LimitAlgorithm for Steady {
    fn limit(&self) -> usize {
        3 + self.0.limit / 4
    }

    fn sample(&mut self, sample: &Sample) {
        self.0.sample(sample);
    }

    fn may_wait(&self) -> usize {
        3 - self.0.limit % 4
    }
}

#[tokio::test(start_paused = true)]
async fn samples_are_gathered_as_long_as_they_make_no_difference() {
    let counts = Counts::default();
    let make = counting(&counts, 0);
    let mut stage = stage(Limit::custom(move || Steady(make())), |it| it);

    let mut seen = Vec::new();
    for millis in 1..=9 {
        let running = stage.start("pay");
        advance(millis * MS).await;
        running.succeeds();
        seen.push((counts.samples(), stage.bulkhead.limit()));
    }

    let (none, four, eight) = ((0, 3), (4, 4), (8, 5));
    assert_eq!(
        seen,
        [none, none, none, four, four, four, four, eight, eight]
    );
    let samples = counts.samples.lock().unwrap();
    let durations: Vec<_> = samples.iter().map(|sample| sample.duration).collect();
    assert_eq!(
        durations,
        [1, 2, 3, 4, 5, 6, 7, 8].map(|millis| millis * MS)
    );
}

#[tokio::test(start_paused = true)]
async fn samples_of_one_limit_do_not_teach_the_next() {
    let mut stage = stage(Limit::adaptive(), |it| it);
    let next = Adaptive {
        max: 999,
        ..Adaptive::default()
    };

    // A first probe sees 40 calls.
    for limit in [Limit::adaptive(), Limit::Adaptive(next)] {
        stage.bulkhead.resize(limit).unwrap();
        for _ in 0..39 {
            stage.start("pay").succeeds();
            advance(MS).await;
        }
        assert_eq!(stage.bulkhead.limit(), 10);
    }
    stage.start("pay").succeeds();
    assert_eq!(stage.bulkhead.limit(), 20);
}

/// Panics at each sample.
struct Broken;

impl LimitAlgorithm for Broken {
    fn limit(&self) -> usize {
        1
    }

    fn sample(&mut self, _: &Sample) {
        resume_unwind(Box::new("broken"));
    }

    /// Each sample is to be seen as its call ends.
    fn may_wait(&self) -> usize {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn an_algorithm_that_panics_learns_no_more_and_the_next_one_does() {
    let layer = BulkheadLayer::builder("search", Limit::custom(|| Broken))
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_| ready(Ok::<_, BoxError>(()))));
    let panicked = catch_unwind(AssertUnwindSafe(|| call(&mut service)));
    assert!(panicked.is_err());
    call(&mut service);

    let counts = Counts::default();
    let next = Limit::custom(counting(&counts, 9));
    layer.handle().resize(next).unwrap();
    call(&mut service);

    assert_eq!(counts.samples(), 1);
}
