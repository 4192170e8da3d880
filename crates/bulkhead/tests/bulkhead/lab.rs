//! Scores of the bulkhead on simulated time. The seeds are fixed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;
use tower::{BoxError, Layer, Service, service_fn};
use watertight_bulkhead::{BulkheadBuilder, BulkheadLayer};
use watertight_core::Key;
use watertight_metrics::Registry;

use crate::stage::{MS, SECOND};

/// How many calls come in a second, and how many slots there are.
const CALLS: u32 = 1_000;
const KEYS: u32 = 1_000;
/// The keys below this hang.
const HANGING: u32 = 50;
const HANG: Duration = Duration::from_secs(100);
/// After so many seconds the first calls to hang have ended.
const SETTLED: u32 = 110;

/// Which share of the calls was served.
#[derive(Debug, Default)]
struct Served {
    all: f64,
    of_healthy_keys: f64,
}

#[derive(Debug, Default)]
struct Tally {
    made: Cell<u32>,
    served: Cell<u32>,
}

impl Tally {
    fn count(&self, is_served: bool) {
        self.made.set(self.made.get() + 1);
        self.served.set(self.served.get() + u32::from(is_served));
    }

    fn share(&self) -> f64 {
        f64::from(self.served.get()) / f64::from(self.made.get())
    }
}

/// Plays the bimodal latency of "Addressing Cascading Failures" in Google's SRE book (chapter 22): a
/// twentieth of the calls hangs until a deadline that is a thousand times what others take.
async fn play<S>(mut service: S, seconds: u32) -> Served
where
    S: Service<u32, Response = (), Error = BoxError, Future: 'static>,
{
    let mut rng = SmallRng::seed_from_u64(1);
    let (all, healthy) = (Rc::new(Tally::default()), Rc::new(Tally::default()));
    for number in 0..(SETTLED + seconds) * CALLS {
        let key = rng.random_range(0..KEYS);
        let counts = (number >= SETTLED * CALLS).then(|| (Rc::clone(&all), Rc::clone(&healthy)));
        let call = service.call(key);
        spawn_local(async move {
            let is_served = call.await.is_ok();
            if let Some((all, healthy)) = counts {
                all.count(is_served);
                if key >= HANGING {
                    healthy.count(is_served);
                }
            }
        });
        sleep(SECOND / CALLS).await;
    }
    sleep(HANG).await;
    Served {
        all: all.share(),
        of_healthy_keys: healthy.share(),
    }
}

fn builder(limit: i32) -> BulkheadBuilder {
    BulkheadLayer::builder("lab", limit).registry(&Registry::new())
}

async fn answer(key: u32) -> Result<(), BoxError> {
    sleep(if key < HANGING { HANG } else { 100 * MS }).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn keys_that_hang_take_no_others_down() {
    let played = async {
        let unprotected = play(builder(1_000).build().layer(service_fn(answer)), 1_000).await;
        let keyed = builder(10).key(|key: &u32| Key::of(*key)).total(1_000);
        let keyed = play(keyed.build().layer(service_fn(answer)), 100).await;
        (unprotected, keyed)
    };
    let (unprotected, keyed) = LocalSet::new().run_until(played).await;

    println!("of 1,000 calls a second over 1,000 keys, 50 of which hang, 1,000 slots serve:");
    println!("  unprotected: {:.1} %", 100.0 * unprotected.all);
    println!(
        "  10 for each key: {:.2} % of the others",
        100.0 * keyed.of_healthy_keys
    );
    // As many hang as find a slot: 1,000 slots over 50 x 100 s and 950 x 0.1 s.
    assert!((unprotected.all - 0.196).abs() < 0.01);
    assert!(keyed.of_healthy_keys >= 0.99);
}
