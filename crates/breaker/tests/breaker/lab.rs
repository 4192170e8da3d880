//! Scores of the breaker on simulated time: how soon it notices, how often it errs, and what the
//! way back costs. The seeds are fixed, and `WATERTIGHT_SCALE` says how many there are.

use std::env;
use std::fmt::Debug;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};
use tokio::time::{Instant, advance};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_breaker::{BreakerBuilder, BreakerHandle, BreakerLayer, Recovery, State};
use watertight_core::{Rejection, Window};
use watertight_metrics::Registry;

const CALLS_PER_SECOND: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

fn seeds() -> impl Iterator<Item = u64> {
    let scale = env::var("WATERTIGHT_SCALE").ok();
    let scale: f64 = scale.map_or(1.0, |scale| scale.parse().expect("a number"));
    0..(3.0 * scale).ceil() as u64
}

/// A client that makes a call each 10 ms, whatever becomes of it.
struct Lab<S> {
    service: S,
    breaker: BreakerHandle,
    rng: SmallRng,
    start: Instant,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Served,
    Failed,
    Refused,
}

fn lab(
    seed: u64,
    settings: impl FnOnce(BreakerBuilder) -> BreakerBuilder,
) -> Lab<impl Service<bool, Response = (), Error = BoxError>> {
    let builder = BreakerLayer::builder("lab").registry(&Registry::new());
    let layer = settings(builder).build();
    let backend = service_fn(|fails: bool| async move {
        if fails {
            Err(BoxError::from("broken"))
        } else {
            Ok(())
        }
    });
    Lab {
        breaker: layer.handle(),
        service: layer.layer(backend),
        rng: SmallRng::seed_from_u64(seed),
        start: Instant::now(),
    }
}

impl<S: Service<bool, Response = (), Error = BoxError>> Lab<S> {
    fn seconds(&self) -> f64 {
        (Instant::now() - self.start).as_secs_f64()
    }

    /// Makes a call that fails with this probability, and waits for the next one's turn.
    async fn call(&mut self, failure: f64) -> Fate {
        let fails = self.rng.random_bool(failure);
        let service = self.service.ready().await.unwrap();
        let fate = match service.call(fails).await {
            Ok(()) => Fate::Served,
            Err(error) if Rejection::find(&*error).is_some() => Fate::Refused,
            Err(_) => Fate::Failed,
        };
        advance(SECOND / CALLS_PER_SECOND).await;
        fate
    }

    fn is_open(&self) -> bool {
        self.breaker.state() == State::Open
    }
}

/// The windows that are compared.
fn windows() -> [(&'static str, Window); 3] {
    [
        ("the last 100 calls", Window::calls(100)),
        ("the last 10 s", Window::time(10 * SECOND)),
        ("a half-life of 5 s", Window::decay(5 * SECOND)),
    ]
}

fn range<T: Copy + Debug + PartialOrd>(values: &[T]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    let median = sorted[sorted.len() / 2];
    format!(
        "{median:?} ({:?} to {:?})",
        sorted[0],
        sorted[sorted.len() - 1]
    )
}

#[tokio::test(start_paused = true)]
async fn notices_a_backend_that_gets_worse() {
    println!("from 1 % to 90 % failures over 300 s; a rate of 50 % opens:");
    for (name, window) in windows() {
        let mut opened = Vec::new();
        for seed in seeds() {
            let mut lab = lab(seed, |it| it.window(window));
            while !lab.is_open() {
                let failure = 0.01 + 0.89 * (lab.seconds() / 300.0).min(1.0);
                lab.call(failure).await;
                assert!(lab.seconds() < 300.0, "it never opened");
            }
            opened.push(lab.seconds().round());
        }

        println!("  {name}: opens after {} s", range(&opened));
        // Half of the calls fail at 165 s.
        assert!(opened.iter().all(|at| (110.0..185.0).contains(at)));
    }
}

#[tokio::test(start_paused = true)]
async fn notices_a_backend_that_goes_down() {
    println!("from 0 % to 100 % failures after 60 s:");
    for (name, window) in windows() {
        let mut wasted = Vec::new();
        for seed in seeds() {
            let mut lab = lab(seed, |it| it.window(window));
            for _ in 0..60 * CALLS_PER_SECOND {
                lab.call(0.0).await;
            }
            let mut failed = 0;
            while !lab.is_open() {
                assert_eq!(lab.call(1.0).await, Fate::Failed);
                failed += 1;
            }
            wasted.push(failed);
        }

        println!("  {name}: opens after {} failures", range(&wasted));
        let most = if window.is_timed() { 520 } else { 50 };
        assert!(wasted.iter().all(|wasted| *wasted <= most));
    }
}

#[tokio::test(start_paused = true)]
async fn bears_waves_below_the_threshold() {
    const MINUTES: u32 = 10;

    println!("failures in waves of 10 s, up and down by half; false trips in {MINUTES} min:");
    for (name, window) in windows() {
        for peak in [0.30, 0.35, 0.40, 0.45] {
            let mut trips = Vec::new();
            for seed in seeds() {
                let mut lab = lab(seed, |it| {
                    it.window(window)
                        .min_calls(100)
                        .open_for(SECOND)
                        .close_after(1)
                });
                let mut tripped = 0;
                for _ in 0..MINUTES * 60 * CALLS_PER_SECOND {
                    let phase = lab.seconds() / 10.0 * std::f64::consts::TAU;
                    let was_open = lab.is_open();
                    lab.call(peak / 1.5 * (1.0 + 0.5 * phase.sin())).await;
                    tripped += u32::from(!was_open && lab.is_open());
                }
                trips.push(tripped);
            }

            println!(
                "  {name}, peaks of {:.0} %: {}",
                peak * 100.0,
                range(&trips)
            );
            // Of a hundred calls half may fail by chance where 45 % do on the average, and of a
            // thousand they do not.
            if window.is_timed() || peak <= 0.30 {
                assert!(trips.iter().all(|trips| *trips == 0));
            }
        }
    }
}

/// How a backend comes back, `since` seconds after it began to.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// At once.
    Immediate,
    /// It can take 10 % of the calls at first and all of them after 30 s; those above fail.
    Gradual,
    /// Up for 3 s and down for 3 s, five times, and then up.
    Unstable,
    /// Up for 10 s, down for 30 s, and then up.
    False,
}

impl Shape {
    /// Says with which probability a call fails, where `load` is the share of calls that passed of
    /// late.
    fn failure(self, since: f64, load: f64) -> f64 {
        let down = match self {
            Self::Immediate => false,
            Self::Gradual => {
                let capacity = (0.1 + 0.9 * since / 30.0).min(1.0);
                return if load > capacity {
                    1.0 - capacity / load
                } else {
                    0.0
                };
            }
            Self::Unstable => since < 30.0 && since % 6.0 >= 3.0,
            Self::False => (10.0..40.0).contains(&since),
        };
        f64::from(u8::from(down))
    }

    /// When it is well for good.
    const fn well(self) -> f64 {
        match self {
            Self::Immediate => 0.0,
            Self::Gradual | Self::Unstable => 30.0,
            Self::False => 40.0,
        }
    }
}

/// What a recovery cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Calls that the backend failed.
    wasted: u32,
    /// Seconds from when it was well until all calls were served again.
    back: f64,
}

/// Runs an outage of 30 s and the way back from it.
async fn recover(seed: u64, shape: Shape, recovery: Recovery) -> Cost {
    let mut lab = lab(seed, |it| {
        it.open_for(5 * SECOND)
            .recovery(recovery)
            .window(Window::calls(100))
    });
    while lab.seconds() < 10.0 {
        lab.call(0.0).await;
    }
    while lab.seconds() < 40.0 {
        lab.call(1.0).await;
    }

    let (mut load, mut wasted, mut last_trouble) = (0.0, 0, 0.0);
    while lab.seconds() < 40.0 + 180.0 {
        let since = lab.seconds() - 40.0;
        let fate = lab.call(shape.failure(since, load)).await;
        // The load of about the last second.
        let passed = f64::from(u8::from(fate != Fate::Refused));
        load += (passed - load) / f64::from(CALLS_PER_SECOND);
        wasted += u32::from(fate == Fate::Failed);
        if fate != Fate::Served {
            last_trouble = since;
        }
    }
    Cost {
        wasted,
        back: (last_trouble - shape.well()).max(0.0),
    }
}

#[tokio::test(start_paused = true)]
async fn comes_back_from_an_outage() {
    println!("the way back, open for 5 s at a time: failed calls, seconds to full service");
    let ramp = Recovery::ramp(20 * SECOND);
    for shape in [
        Shape::Immediate,
        Shape::Gradual,
        Shape::Unstable,
        Shape::False,
    ] {
        let mut wasted = [0, 0];
        for (index, (name, recovery)) in [("at once", Recovery::Immediate), ("by a ramp", ramp)]
            .into_iter()
            .enumerate()
        {
            let mut costs = Vec::new();
            for seed in seeds() {
                costs.push(recover(seed, shape, recovery).await);
            }
            let failed: Vec<_> = costs.iter().map(|cost| cost.wasted).collect();
            let back: Vec<_> = costs.iter().map(|cost| cost.back.round()).collect();
            println!(
                "  {shape:?}, {name}: {}, {} s",
                range(&failed),
                range(&back)
            );
            // Once the backend is well, a probe finds out within an open time; then the ramp.
            assert!(back.iter().all(|back| *back <= 31.0));
            wasted[index] = failed.iter().sum();
        }
        // A ramp never sends more calls into trouble.
        assert!(wasted[1] <= wasted[0], "{shape:?}: {wasted:?}");
    }
}
