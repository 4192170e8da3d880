//! Scores of the hedge on simulated time: what it takes off the tail, and what it costs. The seeds
//! are fixed, and `WATERTIGHT_SCALE` says how much is played.

use std::cell::{Cell, RefCell};
use std::env;
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_core::{Always, Budget};
use watertight_hedge::{HedgeBuilder, HedgeConfig, HedgeHandle, HedgeLayer};
use watertight_metrics::Registry;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn scaled(n: u32) -> u32 {
    let scale = env::var("WATERTIGHT_SCALE").ok();
    let scale: f64 = scale.map_or(1.0, |scale| scale.parse().expect("a number"));
    (f64::from(n) * scale).ceil() as u32
}

/// Which share of the answers takes longer than so many milliseconds, with straight lines between
/// the points where both are drawn to a logarithmic scale.
const SURVIVAL: [(f64, f64); 7] = [
    (1.0, 1.0),
    (2.0, 0.5),
    (5.0, 0.10),
    (10.0, 0.02),
    (69.0, 0.00316),
    (1800.0, 1e-5),
    (10_000.0, 1e-6),
];

/// Returns the milliseconds that a share of the answers outlasts.
fn outlasted_by(share: f64) -> f64 {
    let last = SURVIVAL.len() - 2;
    let from = (0..last)
        .find(|at| share >= SURVIVAL[at + 1].1)
        .unwrap_or(last);
    let [(short, many), (long, few)] = [SURVIVAL[from], SURVIVAL[from + 1]];
    let way = (many / share).ln() / (many / few).ln();
    short * (long / short).powf(way.min(1.0))
}

fn lab() -> HedgeBuilder {
    HedgeLayer::builder("lab").registry(&Registry::new())
}

/// A service whose answers take as long as the survival points say, times a factor.
struct Backend {
    rng: RefCell<SmallRng>,
    slowness: Cell<f64>,
    calls: Cell<u64>,
}

impl Backend {
    fn new(seed: u64) -> Rc<Self> {
        Rc::new(Self {
            rng: RefCell::new(SmallRng::seed_from_u64(seed)),
            slowness: Cell::new(1.0),
            calls: Cell::new(0),
        })
    }

    fn draw(&self) -> Duration {
        let share = 1.0 - self.rng.borrow_mut().random::<f64>();
        Duration::from_secs_f64(outlasted_by(share) * self.slowness.get() / 1000.0)
    }

    /// Returns the service, hedged.
    fn hedged(
        self: &Rc<Self>,
        builder: HedgeBuilder,
    ) -> (
        impl Service<(), Response = (), Error = BoxError, Future: 'static> + Clone + use<>,
        HedgeHandle,
    ) {
        let layer = builder.repeat(Always).build();
        let backend = Rc::clone(self);
        let service = service_fn(move |()| {
            backend.calls.set(backend.calls.get() + 1);
            let takes = backend.draw();
            async move {
                sleep(takes).await;
                Ok::<_, BoxError>(())
            }
        });
        (layer.layer(service), layer.handle())
    }
}

/// How many leaves a root asks.
const LEAVES: u32 = 100;

/// Returns what 99.9 % of these do not exceed.
fn p999<T: Copy + PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_unstable_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    values[values.len() - 1 - values.len() / 1000]
}

/// Returns how many milliseconds 99.9 % of the roots take, and which share of the calls was extra.
async fn hedged_tail(seed: u64, roots: u32) -> (u128, f64) {
    let backend = Backend::new(seed);
    let (service, _) = backend.hedged(lab());

    let mut took = Vec::new();
    for _ in 0..roots {
        let start = Instant::now();
        let mut leaves = JoinSet::new();
        for _ in 0..LEAVES {
            leaves.spawn_local(service.clone().oneshot(()));
        }
        while let Some(leaf) = leaves.join_next().await {
            leaf.unwrap().unwrap();
        }
        took.push((Instant::now() - start).as_millis());
    }

    let asked = u64::from(roots * LEAVES);
    let extra = (backend.calls.get() - asked) as f64 / asked as f64;
    (p999(took), extra)
}

/// Returns how many milliseconds 99.9 % of the roots take where each waits for its slowest leaf.
fn plain_tail(seed: u64, roots: u32) -> u128 {
    let backend = Backend::new(seed);
    let root = |_| (0..LEAVES).map(|_| backend.draw().as_millis()).max();
    p999((0..roots).map(root).collect()).unwrap_or_default()
}

/// The defaults, from a cold start: the first calls, of which nothing is known yet, are among them.
#[tokio::test(start_paused = true)]
async fn takes_the_tail_off_a_hundred_leaves() {
    let play = async {
        let roots = scaled(10_000);
        let plain = plain_tail(1, 10 * roots);
        let (hedged, extra) = hedged_tail(1, roots).await;

        println!("{roots} roots that ask {LEAVES} leaves, 99.9 % of which take:");
        println!("  plain: {plain} ms");
        println!("  hedged: {hedged} ms, {:.2} % extra calls", 100.0 * extra);
        assert!((1_600..1_900).contains(&plain));
        assert!(hedged <= 80);
        assert!(extra <= 0.025);
    };
    LocalSet::new().run_until(play).await;
}

const PER_SECOND: u32 = 100;

/// The hedges to the calls of a service that becomes ten times slower at once, at all its replicas.
#[derive(Default)]
struct Load {
    /// All the time that it was slow.
    slow: f64,
    /// In the worst ten seconds.
    worst: f64,
}

async fn slow_down(seed: u64, builder: HedgeBuilder) -> Load {
    const SLOW_FROM: usize = 10;
    const END: usize = 40;
    let backend = Backend::new(seed);
    let (service, handle) = backend.hedged(builder);
    let mut calls = JoinSet::new();
    let mut sent = vec![0];
    for second in 0..END {
        let slowness = if second < SLOW_FROM { 1.0 } else { 10.0 };
        backend.slowness.set(slowness);
        for _ in 0..PER_SECOND {
            calls.spawn_local(service.clone().oneshot(()));
            sleep(SECOND / PER_SECOND).await;
        }
        sent.push(handle.snapshot().sent);
    }
    let share = |from: usize, to: usize| {
        (sent[to] - sent[from]) as f64 / ((to - from) as f64 * f64::from(PER_SECOND))
    };
    Load {
        slow: share(SLOW_FROM, END),
        worst: (10..=END).map(|to| share(to - 10, to)).fold(0.0, f64::max),
    }
}

#[tokio::test(start_paused = true)]
async fn a_global_slow_down_costs_no_more_than_the_budget() {
    let play = async {
        let percentile = || lab().after_percentile(HedgeConfig::PERCENTILE);
        let delay = || lab().after(10 * MS);
        let budget = || Budget::ratio(HedgeBuilder::BUDGET).min_per_second(0.0);
        type Make<'a> = &'a dyn Fn() -> HedgeBuilder;
        let kinds: [(&str, Make<'_>, u32); 4] = [
            (
                "a percentile, no budget",
                &|| percentile().budget(Budget::unlimited()),
                5,
            ),
            (
                "a percentile, a budget of 5 %",
                &|| percentile().budget(budget()),
                100,
            ),
            (
                "10 ms, no budget",
                &|| delay().budget(Budget::unlimited()),
                5,
            ),
            ("10 ms, a budget of 5 %", &|| delay().budget(budget()), 100),
        ];

        println!("hedges to calls while all is 10 times slower:");
        for (name, make, seeds) in kinds {
            let seeds = scaled(seeds);
            let (mut slow, mut worst) = (0.0, 0.0_f64);
            for seed in 0..seeds {
                let load = slow_down(seed.into(), make()).await;
                slow += load.slow / f64::from(seeds);
                worst = worst.max(load.worst);
            }

            let (slow, worst) = (100.0 * slow, 100.0 * worst);
            println!(
                "  after {name}: {slow:.1} %, {worst:.1} % in the worst 10 s of {seeds} seeds"
            );
            if name.ends_with("5 %") {
                // 5 % of the calls in ten seconds and the ten before, and one call.
                assert!(slow <= 5.1 && worst <= 10.1);
            }
        }
    };
    LocalSet::new().run_until(play).await;
}

/// Plays calls at a steady rate, and returns the delay in milliseconds that is learnt from them.
async fn learn(
    seed: u64,
    builder: HedgeBuilder,
    patience: impl Fn(&mut SmallRng) -> Duration,
) -> f64 {
    let backend = Backend::new(seed);
    let (service, handle) = backend.hedged(builder);
    let mut rng = SmallRng::seed_from_u64(seed + 1000);
    let mut calls = JoinSet::new();
    for _ in 0..400 * PER_SECOND {
        calls.spawn_local(timeout(patience(&mut rng), service.clone().oneshot(())));
        sleep(SECOND / PER_SECOND).await;
    }
    handle.delay().unwrap().as_secs_f64() * 1000.0
}

/// What is known of calls that were cut short must leave the delay where it would be if they had
/// all been waited for.
#[tokio::test(start_paused = true)]
async fn what_is_cut_short_leaves_the_delay_alone() {
    let play = async {
        let forever = |_: &mut SmallRng| 3600 * SECOND;
        let in_a_hurry = |rng: &mut SmallRng| {
            if rng.random_bool(0.3) {
                2 * MS
            } else {
                3600 * SECOND
            }
        };
        let cautious = |_: &mut SmallRng| 12 * MS;

        println!("the delay of the 98th percentile, 10 ms, is learnt as:");
        for seed in 0..u64::from(scaled(1)) {
            let unlimited = || lab().budget(Budget::unlimited());
            let learnt = [
                (
                    "nothing is cut short",
                    learn(seed, lab().max_hedges(0), forever).await,
                ),
                ("hedges win", learn(seed, unlimited(), forever).await),
                (
                    "all but at once",
                    learn(seed, unlimited().max_hedges(4), forever).await,
                ),
                (
                    "3 of 10 callers go after 2 ms",
                    learn(seed, unlimited(), in_a_hurry).await,
                ),
                (
                    "all callers go after 12 ms",
                    learn(seed, unlimited(), cautious).await,
                ),
            ];
            for (name, learnt) in learnt {
                println!("  {name}: {learnt:.1} ms");
                // The timer rounds up to whole milliseconds, and the buckets up to a sixteenth.
                assert!((9.0..13.5).contains(&learnt), "{name}: {learnt}");
            }
        }
    };
    LocalSet::new().run_until(play).await;
}
