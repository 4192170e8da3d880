//! A call over three hops: axum, by hyper's client to axum, by tonic's client to tonic.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server as GrpcServer};
use tonic::{Code, Status};
use tower::{BoxError, Layer, ServiceExt};
use watertight_core::{Mode, Reason, Rejection};
use watertight_http::RespondExt;
use watertight_http::{AtBodyEnd, GrpcClassifier, HttpClassifier, HttpDeadlines, HttpExt};
use watertight_metrics::Registry;
use watertight_timeout::{DeadlineHandle, DeadlineLayer, PropagateDeadlineLayer};

use super::work::Work;
use crate::echo::{Echo, EchoClient, EchoServer, Speaker, Word, word};
use crate::server::{Server, bounded};
use crate::web::{self, client, get};

/// What each hop keeps for the way back.
const RESERVE: Duration = Duration::from_millis(20);

/// How long the services themselves let calls take.
const WITHIN: Duration = Duration::from_secs(30);

type Inbound = DeadlineLayer<HttpDeadlines, HttpClassifier>;
type GrpcInbound = DeadlineLayer<HttpDeadlines, GrpcClassifier, AtBodyEnd>;
type Outbound = PropagateDeadlineLayer<HttpDeadlines>;

fn inbound(mode: Mode) -> Inbound {
    DeadlineLayer::builder("inbound", WITHIN)
        .http()
        .max_refused(1.0)
        .mode(mode)
        .registry(&Registry::new())
        .build()
}

fn grpc_inbound(mode: Mode) -> GrpcInbound {
    DeadlineLayer::builder("inbound", WITHIN)
        .grpc()
        .max_refused(1.0)
        .mode(mode)
        .registry(&Registry::new())
        .build()
}

fn outbound(least: Duration) -> Outbound {
    PropagateDeadlineLayer::builder("next")
        .http()
        .reserve(RESERVE)
        .least(least)
        .registry(&Registry::new())
        .build()
}

/// Three services that work for each call while they wait for the next.
struct Hops {
    gateway: Server,
    inbound: Inbound,
    work: Work,
    _others: [Server; 2],
}

impl Hops {
    /// Starts them. Those behind the gateway want to have `least` for each call.
    async fn start(least: Duration) -> Self {
        let work = Work::new();
        let payments = payments(&work).await;
        let orders = orders(&payments, outbound(least), &work).await;
        let inbound = inbound(Mode::Enforce);
        let gateway = gateway(&orders, inbound.clone(), outbound(least), &work).await;
        Self {
            gateway,
            inbound,
            work,
            _others: [payments, orders],
        }
    }

    /// Calls the gateway, and says that it waits for so many milliseconds.
    async fn call(&self, milliseconds: &str) -> StatusCode {
        let mut request = get(&self.gateway.uri("/"));
        let headers = request.headers_mut();
        headers.insert("x-deadline-ms", milliseconds.parse().unwrap());
        client().request(request).await.unwrap().status()
    }

    fn handle(&self) -> DeadlineHandle {
        self.inbound.handle()
    }
}

async fn gateway(orders: &Server, inbound: Inbound, outbound: Outbound, work: &Work) -> Server {
    let (uri, work) = (orders.uri("/"), work.clone());
    let ask = async move || {
        let request = get(&uri);
        let answer = async { outbound.layer(client()).oneshot(request).await };
        tokio::select! {
            biased;
            never = work.toil("gateway") => match never {},
            answer = answer => match answer {
                Ok(answer) => answer.map(Body::new),
                Err(error) => failed(status_of(&error)),
            },
        }
    };
    web::axum(Router::new().fallback(ask).layer(inbound.respond())).await
}

async fn orders(payments: &Server, outbound: Outbound, work: &Work) -> Server {
    let channel = Endpoint::try_from(payments.uri("")).unwrap().connect_lazy();
    let (payments, work) = (EchoClient::new(outbound.layer(channel)), work.clone());
    let ask = async move || {
        let mut payments = payments.clone();
        tokio::select! {
            biased;
            never = work.toil("orders") => match never {},
            answer = payments.unary(word("pay")) => match answer {
                Ok(_) => Response::new(Body::empty()),
                Err(status) => failed(status_of_grpc(&status)),
            },
        }
    };
    let inbound = inbound(Mode::Enforce);
    web::axum(Router::new().fallback(ask).layer(inbound.respond())).await
}

async fn payments(work: &Work) -> Server {
    let router = GrpcServer::builder()
        .layer(grpc_inbound(Mode::Enforce).respond())
        .add_service(EchoServer::new(Payments(work.clone())));
    Server::start(|listener| router.serve_with_incoming(TcpIncoming::from(listener))).await
}

/// The last service, which never comes to an end.
struct Payments(Work);

#[tonic::async_trait]
impl Echo for Payments {
    type StreamStream = <Speaker as Echo>::StreamStream;
    type ChatStream = <Speaker as Echo>::ChatStream;

    async fn unary(&self, _: tonic::Request<Word>) -> Result<tonic::Response<Word>, Status> {
        match self.0.toil("payments").await {}
    }

    async fn stream(
        &self,
        request: tonic::Request<Word>,
    ) -> Result<tonic::Response<Self::StreamStream>, Status> {
        Speaker::default().stream(request).await
    }

    async fn chat(
        &self,
        request: tonic::Request<tonic::Streaming<Word>>,
    ) -> Result<tonic::Response<Self::ChatStream>, Status> {
        Speaker::default().chat(request).await
    }
}

fn failed(status: StatusCode) -> Response {
    let mut answer = Response::default();
    *answer.status_mut() = status;
    answer
}

fn status_of(error: &BoxError) -> StatusCode {
    let reason = Rejection::find(&**error).map(Rejection::reason);
    match reason {
        Some(Reason::DeadlineExceeded) => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// tonic's client ends a call by its `grpc-timeout` too, as one that was cancelled.
fn status_of_grpc(status: &Status) -> StatusCode {
    let rejection = std::error::Error::source(status).and_then(|it| Rejection::find(it));
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => StatusCode::GATEWAY_TIMEOUT,
        _ if rejection.is_some() => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}

#[tokio::test]
async fn after_the_deadline_of_the_root_nobody_works_for_it() {
    bounded(async {
        let hops = Hops::start(Duration::ZERO).await;

        let status = hops.call("1000").await;
        hops.work.over().await;

        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        let done = hops.work.done();
        assert!(done > 0);
        let seen = hops.work.remaining();
        let services: Vec<_> = seen.iter().map(|it| it.0).collect();
        assert_eq!(services, ["gateway", "orders", "payments"]);
        // Whoever works later has less time, by what was spent and by the reserve.
        assert!(seen[0].1 <= Duration::from_millis(1000));
        for pair in seen.windows(2) {
            assert!(pair[1].1 <= pair[0].1 - RESERVE, "{seen:?}");
        }
        // There is nobody left who could do more.
        tokio::task::yield_now().await;
        assert_eq!((hops.work.workers(), hops.work.done()), (0, done));
    })
    .await;
}

#[tokio::test]
async fn a_call_that_comes_too_late_is_not_worked_for() {
    bounded(async {
        let hops = Hops::start(Duration::ZERO).await;

        for _ in 0..10 {
            assert_eq!(hops.call("0").await, StatusCode::GATEWAY_TIMEOUT);
        }

        assert_eq!(hops.work.remaining(), []);
        assert_eq!(hops.handle().snapshot().expired, 10);
    })
    .await;
}

#[tokio::test]
async fn a_hop_without_the_least_useful_time_does_not_ask_the_next() {
    bounded(async {
        let hops = Hops::start(WITHIN).await;

        let status = hops.call("29000").await;
        hops.work.over().await;

        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        let services: Vec<_> = hops.work.remaining().iter().map(|it| it.0).collect();
        assert!(
            services.is_empty() || services == ["gateway"],
            "{services:?}"
        );
    })
    .await;
}

/// A server whose deadlines are off goes on for as long as somebody waits for it.
#[tokio::test]
async fn without_deadlines_a_service_does_not_know_when_to_stop() {
    bounded(async {
        let work = Work::new();
        let toil = {
            let work = work.clone();
            async move || -> &'static str { match work.toil("gateway").await {} }
        };
        let layer = inbound(Mode::Off).respond();
        let server = web::axum(Router::new().fallback(toil).layer(layer)).await;
        let request = Request::builder()
            .uri(server.uri("/"))
            .header("x-deadline-ms", "1")
            .body(http_body_util::Full::default())
            .unwrap();

        let call = tokio::spawn(client().request(request));
        while work.done() < 100 {
            tokio::task::yield_now().await;
        }

        assert_eq!(work.workers(), 1);
        assert!(!call.is_finished());
        call.abort();
        work.over().await;
    })
    .await;
}
