//! From a bounded queue, at a server that knows how long its callers wait.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::spawn;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use watertight_breaker::BreakerLayer;
use watertight_bulkhead::BulkheadLayer;
use watertight_core::{Always, Backoff};
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;
use watertight_timeout::{DeadlineLayer, PropagateDeadlineLayer, TimeoutLayer};

use super::load::{OUTAGE, SECOND, SERVED, healed, offer, rate};

const END: u32 = 40;

/// What goes over the network.
#[derive(Debug, Default)]
struct Request {
    /// How long the caller waits from when it was sent.
    time_left: Option<Duration>,
}

/// A service that answers one call after another, behind our layers: it works ahead on a tenth of a
/// second, and has as much again and a half waiting.
fn server(
    registry: &Registry,
) -> impl Service<Request, Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static {
    let busy_until = Arc::new(Mutex::new(Instant::now()));
    ServiceBuilder::new()
        .layer(
            DeadlineLayer::builder("server", SECOND)
                .read(|request: &Request| request.time_left)
                .registry(registry)
                .build(),
        )
        .layer(
            BulkheadLayer::builder("server", SERVED as usize / 10)
                .max_queue(SERVED as usize * 3 / 20)
                .max_wait(SECOND / 2)
                .registry(registry)
                .build(),
        )
        .service_fn(move |_: Request| {
            let answered = {
                let mut busy_until = busy_until.lock().unwrap();
                *busy_until = Instant::now().max(*busy_until) + SECOND / SERVED;
                *busy_until
            };
            async move {
                sleep_until(answered).await;
                Ok::<_, Infallible>(())
            }
        })
}

/// Plays it, and returns what came of the calls and how many were sent, in each second.
async fn play(offered: u32) -> (Vec<u32>, Vec<u32>) {
    let start = Instant::now();
    let registry = Registry::new();
    let server = server(&registry);
    let sent = Arc::new(Mutex::new(vec![0; END as usize + 2]));
    let noted = Arc::clone(&sent);
    // What a caller no longer waits for arrives all the same, and is worked on.
    let network = move |request: Request| {
        let second = (Instant::now() - start).as_secs() as u32;
        noted.lock().unwrap()[second as usize] += 1;
        let server = server.clone();
        let answer = spawn(async move {
            if OUTAGE.contains(&second) {
                sleep_until(start + OUTAGE.end * SECOND).await;
            }
            server.oneshot(request).await
        });
        async move { answer.await? }
    };

    let client = ServiceBuilder::new()
        .layer(
            RetryLayer::builder("server")
                .repeat(Always)
                .max_attempts(2)
                .backoff(Backoff::constant(Duration::ZERO))
                .budget(0.1)
                .registry(&registry)
                .build(),
        )
        .layer(
            BreakerLayer::builder("server")
                .open_for(SECOND)
                .registry(&registry)
                .build(),
        )
        .layer(
            TimeoutLayer::builder("server")
                .limit(SECOND)
                .registry(&registry)
                .build(),
        )
        .map_request(|()| Request::default())
        .layer(
            PropagateDeadlineLayer::builder("server")
                .write(|request: &mut Request, left| request.time_left = Some(left))
                .at_most(SECOND)
                .registry(&registry)
                .build(),
        )
        .service_fn(network);

    let good = offer(client, offered, END).await;
    let sent = sent.lock().unwrap().clone();
    (good, sent)
}

#[tokio::test(start_paused = true)]
async fn it_is_over_two_seconds_after_the_outage() {
    for offered in (280..SERVED).step_by(5).chain([SERVED - 1]) {
        let (good, sent) = play(offered).await;

        let healed = healed(&good, offered).expect("it heals");
        let after = healed - OUTAGE.end;
        let outage = rate(&sent, OUTAGE);
        println!(
            "{offered} a second: {outage:.0} sent a second in the outage, all well {after} s after it"
        );
        assert!(after <= 2, "{offered}: {good:?}");
        assert_eq!(
            &sent[healed as usize..END as usize],
            &good[healed as usize..]
        );
    }
}
