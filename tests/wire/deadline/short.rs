//! Callers who leave too little time, over a tonic channel, whose own timer reads what we write.

use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server as GrpcServer};
use tonic::{Code, Status};
use tower::ServiceBuilder;
use watertight_breaker::{BreakerLayer, State};
use watertight_core::{Context, Reason, Rejection};
use watertight_http::{HttpExt, RespondExt};
use watertight_metrics::Registry;
use watertight_timeout::{PropagateDeadlineLayer, TimeoutLayer};

use super::work::Work;
use crate::echo::{Echo, EchoClient, EchoServer, Speaker, Word, word};
use crate::server::{Server, bounded};

/// A service that never comes to an end, or says at once that it was too late.
enum Payments {
    Toil(Work),
    SaysTooLate,
}

#[tonic::async_trait]
impl Echo for Payments {
    type StreamStream = <Speaker as Echo>::StreamStream;
    type ChatStream = <Speaker as Echo>::ChatStream;

    async fn unary(&self, _: tonic::Request<Word>) -> Result<tonic::Response<Word>, Status> {
        match self {
            Self::Toil(work) => match work.toil("payments").await {},
            Self::SaysTooLate => Err(Status::deadline_exceeded("too late")),
        }
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

/// Calls the service 15 times, with so much time each, and returns what the last call came to and
/// the state of the breaker.
async fn called(payments: Payments, time: Duration) -> (Status, State) {
    let router = GrpcServer::builder().add_service(EchoServer::new(payments));
    let server =
        Server::start(|listener| router.serve_with_incoming(TcpIncoming::from(listener))).await;
    let channel = Endpoint::try_from(server.uri("")).unwrap().connect_lazy();
    let registry = Registry::new();
    let breaker = BreakerLayer::builder("payments")
        .grpc()
        .min_calls(10)
        .registry(&registry)
        .build();
    let timeout = TimeoutLayer::builder("payments")
        .limit(Duration::from_secs(50))
        .grpc()
        .registry(&registry);
    let outbound = PropagateDeadlineLayer::builder("payments")
        .grpc()
        .registry(&registry);
    let stack = ServiceBuilder::new()
        .layer(breaker.clone())
        .layer(timeout.build())
        .layer(outbound.build())
        .service(channel);
    let mut last = Status::ok("not called");
    for _ in 0..15 {
        let mut client = EchoClient::new(stack.clone());
        let context = Context {
            deadline: Some(Instant::now() + time),
            ..Context::default()
        };
        last = context
            .scope(client.unary(word("pay")))
            .await
            .expect_err("nobody is served");
    }
    (last, breaker.handle().state())
}

fn reason(status: &Status) -> Option<Reason> {
    let source = std::error::Error::source(status)?;
    Some(Rejection::find(source)?.reason())
}

#[tokio::test]
async fn a_timer_of_tonic_that_ends_the_callers_time_does_not_open_the_breaker() {
    bounded(async {
        let toil = Payments::Toil(Work::new());

        let (last, state) = called(toil, Duration::from_millis(40)).await;

        assert_eq!(reason(&last), Some(Reason::DeadlineExceeded));
        assert_eq!(state, State::Closed);
    })
    .await;
}

#[tokio::test]
async fn a_service_that_says_so_long_before_opens_the_breaker() {
    bounded(async {
        let (last, state) = called(Payments::SaysTooLate, Duration::from_secs(50)).await;

        assert_eq!(reason(&last), Some(Reason::CircuitOpen));
        assert_eq!(state, State::Open);
    })
    .await;
}

/// An error of a stack is UNKNOWN to tonic's clients, whatever it is. As an answer it has its code.
#[tokio::test]
async fn a_call_that_is_not_made_has_the_right_code_as_an_answer() {
    bounded(async {
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let outbound = || {
            PropagateDeadlineLayer::builder("payments")
                .grpc()
                .registry(&Registry::new())
                .build()
        };
        let bare = ServiceBuilder::new()
            .layer(outbound())
            .service(channel.clone());
        let responding = ServiceBuilder::new()
            .layer(outbound().respond_rejections())
            .service(channel);
        let too_late = Context {
            deadline: Some(Instant::now()),
            ..Context::default()
        };

        let (bare, responding) = too_late
            .scope(async {
                let bare = EchoClient::new(bare).unary(word("pay")).await;
                let responding = EchoClient::new(responding).unary(word("pay")).await;
                (bare.unwrap_err(), responding.unwrap_err())
            })
            .await;

        assert_eq!(bare.code(), Code::Unknown);
        assert_eq!(responding.code(), Code::DeadlineExceeded);
    })
    .await;
}
