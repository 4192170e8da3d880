//! What curl can ask of the shop's address besides pages: metrics, and who is to fail.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, put};
use metrics_exporter_prometheus::PrometheusHandle;
use watertight::metrics::Registry;

use crate::fault::Fault;
use crate::upstream::{Upstream, Upstreams};

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Control {
    upstreams: Arc<Upstreams>,
    registry: Registry,
    prometheus: PrometheusHandle,
}

pub(crate) fn routes(
    upstreams: Arc<Upstreams>,
    registry: Registry,
    prometheus: PrometheusHandle,
) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/faults", get(faults))
        .route("/faults/{upstream}/{fault}", put(set_fault))
        .with_state(Control {
            upstreams,
            registry,
            prometheus,
        })
}

async fn metrics(State(control): State<Control>) -> impl IntoResponse {
    control.registry.publish();
    control.prometheus.run_upkeep();
    (
        [(CONTENT_TYPE, PROMETHEUS_TEXT)],
        control.prometheus.render(),
    )
}

async fn faults(State(control): State<Control>) -> String {
    let line = |upstream: &Arc<Upstream>| {
        format!(
            "{:<16} http://{}  {}\n",
            upstream.name(),
            upstream.address(),
            upstream.fault()
        )
    };
    control.upstreams.all().into_iter().map(line).collect()
}

async fn set_fault(
    State(control): State<Control>,
    Path((upstream, fault)): Path<(String, String)>,
) -> Result<String, (StatusCode, String)> {
    let upstream = control.upstreams.find(&upstream).ok_or_else(|| {
        let message = format!("no upstream is called {upstream}\n");
        (StatusCode::NOT_FOUND, message)
    })?;
    let fault: Fault = fault
        .parse()
        .map_err(|forms: &str| (StatusCode::BAD_REQUEST, forms.to_owned()))?;
    upstream.set_fault(fault);
    Ok(format!("{}: {fault}\n", upstream.name()))
}
