//! What the layers added to the calls of the shop: retries and hedges.

use watertight::metrics::{InstanceSnapshot, Snapshot};

use crate::stats::share;

/// How many calls a shop made, and how many more its layers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extra {
    /// Those of the shop, however often each was sent.
    pub(crate) calls: u64,
    pub(crate) retries: u64,
    /// Those of the shop that a hedge stands around.
    pub(crate) hedged_calls: u64,
    pub(crate) hedges: u64,
    /// The hedges whose answer came first.
    pub(crate) hedges_won: u64,
}

impl Extra {
    pub(crate) fn of(layers: &Snapshot) -> Self {
        let mut extra = Self::default();
        for layer in &layers.instances {
            match layer.kind {
                "retry" => {
                    extra.calls += calls(layer);
                    extra.retries += count(layer, "watertight_retries_total", None);
                }
                "hedge" => {
                    // A call sends one at most, so that each has a call that it won or lost.
                    let won = |by| count(layer, "watertight_hedges_total", Some(by));
                    extra.hedged_calls += calls(layer);
                    extra.hedges_won += won("hedge");
                    extra.hedges += won("hedge") + won("primary");
                }
                _ => {}
            }
        }
        extra
    }

    /// Returns how many calls there were on top of each of the shop's.
    pub(crate) fn share(self) -> f64 {
        share(self.retries + self.hedges, self.calls)
    }
}

fn calls(layer: &InstanceSnapshot) -> u64 {
    layer.calls.named().iter().map(|(_, count)| count).sum()
}

fn count(layer: &InstanceSnapshot, metric: &str, label: Option<&str>) -> u64 {
    let counts = layer.counts.iter();
    counts
        .filter(|count| count.metric == metric && count.label.map(|label| label.1) == label)
        .map(|count| count.count)
        .sum()
}

#[cfg(test)]
mod tests {
    use std::future;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use watertight::metrics::Registry;
    use watertight::prelude::*;
    use watertight::{Always, Backoff, BoxError};

    use super::*;

    #[tokio::test]
    async fn retries_and_hedges_are_counted_beside_the_calls() {
        let registry = Registry::new();
        let retry = RetryLayer::builder("stock")
            .repeat(Always)
            .backoff(Backoff::constant(Duration::ZERO))
            .registry(&registry)
            .build();
        let hedge = HedgeLayer::builder("stock")
            .repeat(Always)
            .after(Duration::ZERO)
            .registry(&registry)
            .build();
        let calls = AtomicU32::new(0);
        let stock = ServiceBuilder::new()
            .layer(&retry)
            .layer(&hedge)
            .service_fn(|()| {
                let call = calls.fetch_add(1, Ordering::Relaxed);
                async move {
                    match call {
                        0 => Err(BoxError::from("reset")),
                        1 => future::pending().await,
                        _ => Ok(()),
                    }
                }
            });

        stock.oneshot(()).await.unwrap();
        let extra = Extra::of(&registry.snapshot());

        assert_eq!((extra.calls, extra.retries), (1, 1));
        assert_eq!((extra.hedged_calls, extra.hedges), (2, 1));
        assert_eq!(extra.hedges_won, 1);
        assert!((extra.share() - 2.0).abs() < f64::EPSILON);
    }
}
