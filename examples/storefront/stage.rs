use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::time::Instant;
use watertight::BoxError;
use watertight::metrics::{Registry, Snapshot};

use crate::abuse::{self, Abuser};
use crate::args::{Args, Side};
use crate::extra::Extra;
use crate::incident::Incident;
use crate::layers::Layers;
use crate::load::{self, Schedule};
use crate::screen::Screen;
use crate::stats::{Stats, Totals};
use crate::upstream::Upstreams;
use crate::{control, door, listen, protect, shop};

/// One side of the comparison: upstreams of its own, and a shop over them.
#[derive(Debug)]
pub(crate) struct Stage {
    side: Side,
    upstreams: Arc<Upstreams>,
    registry: Registry,
    app: Router,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) side: Side,
    pub(crate) length: Duration,
    pub(crate) totals: Totals,
    pub(crate) abuser: Abuser,
    pub(crate) dead_calls: u64,
    /// The most calls to one upstream that were in flight while it kept them waiting.
    pub(crate) most_stuck: u64,
    /// Which share of the shop's calls was lost while the inventory stalled, or reviews failed.
    pub(crate) lost_to_stalls: f64,
    pub(crate) lost_to_errors: f64,
    /// From the end of the last fault to the first normal second.
    pub(crate) recovery: Option<Duration>,
    pub(crate) extra: Extra,
    pub(crate) layers: Snapshot,
}

impl Stage {
    pub(crate) async fn set(
        side: Side,
        length: Duration,
        prometheus: PrometheusHandle,
    ) -> Result<Self, BoxError> {
        let upstreams = Arc::new(Upstreams::start().await?);
        let registry = Registry::new();
        let pages = match side {
            Side::Bare => door::bare(shop::pages(protect::bare(&upstreams))),
            Side::Protected => {
                let layers = Layers::new(&registry, length / 30);
                let shop = protect::protected(&upstreams, &layers);
                door::protected(shop::pages(shop), &registry)
            }
        };
        let control = control::routes(Arc::clone(&upstreams), registry.clone(), prometheus);
        Ok(Self {
            side,
            upstreams,
            registry,
            app: shop::counted(side.name(), pages).merge(control),
        })
    }

    /// Opens the shop and runs the incident.
    pub(crate) async fn run(
        &self,
        listener: &TcpListener,
        address: SocketAddr,
        args: &Args,
    ) -> Outcome {
        let incident = Incident {
            start: Instant::now(),
            length: args.length(),
        };
        let stats = Arc::new(Stats::new(incident.phases()));
        let schedule = Schedule {
            start: incident.start,
            length: incident.length,
            rps: args.rps,
        };
        let abuse = incident.phases().abuse;
        let abuse = Schedule {
            start: incident.start + abuse.start,
            length: abuse.end - abuse.start,
            rps: abuse::RPS,
        };
        let screen = Screen {
            side: self.side,
            incident,
            stats: &stats,
            upstreams: &self.upstreams,
            registry: &self.registry,
        };
        let run = async {
            tokio::join!(
                incident.play(&self.upstreams),
                load::visit(address, schedule, &stats),
                abuse::abuse(address, abuse),
                screen.watch(),
            )
        };
        let (_, _, abuser, _) = tokio::select! {
            ends = run => ends,
            never = self.serve(listener) => match never {},
        };

        let totals = stats.take_totals();
        let layers = self.registry.snapshot();
        Outcome {
            side: self.side,
            length: incident.length,
            recovery: totals.recovery(incident.end_of_faults()),
            totals,
            abuser,
            dead_calls: self.upstreams.dead_calls(),
            most_stuck: self.upstreams.most_stuck(),
            lost_to_stalls: self.upstreams.inventory.lost_share(),
            lost_to_errors: self.upstreams.reviews.lost_share(),
            extra: Extra::of(&layers),
            layers,
        }
    }

    /// Keeps the shop open.
    pub(crate) async fn serve(&self, listener: &TcpListener) -> Infallible {
        listen::serve(listener, &self.app).await
    }
}
