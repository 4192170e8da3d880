//! Clients that obey what servers say.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, Response};
use tower::layer::util::{Identity, Stack};
use tower::util::MapResponseLayer;
use watertight_core::{Key, KeyBy};
use watertight_http::ObeyServerLayer;
use watertight_metrics::Registry;

use crate::peers::OverHttp;
use crate::{Family, Limits, Row};

/// To tell of a limit costs something of its own.
pub(super) fn family() -> Family {
    Family {
        name: "obeyed server",
        rows: vec![
            Row::success("bare HTTP, silent", || OverHttp(Identity::new())).reference(),
            Row::success("bare HTTP, telling of a limit", || OverHttp(telling())),
            Row::success("watertight obeyed server, silent", || OverHttp(obedient()))
                .within(SILENT),
            Row::success("watertight obeyed server, telling of a limit", || {
                OverHttp(Stack::new(telling(), obedient()))
            }),
        ],
    }
}

const SILENT: Limits = Limits {
    allocations: 0,
    locked: 14,
    clock: 2,
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A limit that is never nearly used up.
fn telling() -> MapResponseLayer<fn(Response<Body>) -> Response<Body>> {
    MapResponseLayer::new(|mut answer| {
        let headers = answer.headers_mut();
        headers.insert(POLICY, HeaderValue::from_static(r#""api";q=1000;w=1"#));
        headers.insert(LIMIT, HeaderValue::from_static(r#""api";r=900;t=1"#));
        answer
    })
}

fn obedient() -> ObeyServerLayer<OneServer> {
    let builder = ObeyServerLayer::builder("api").key_by(OneServer);
    builder.registry(&Registry::new()).build()
}

#[derive(Clone, Copy, Debug)]
struct OneServer;

impl<B> KeyBy<Request<B>> for OneServer {
    fn key(&self, _: &Request<B>) -> Option<Key> {
        Some(Key::of("example.org"))
    }
}
