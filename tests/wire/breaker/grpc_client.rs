use std::error::Error;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::task::yield_now;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Server as GrpcServer};
use tower::ServiceBuilder;
use watertight_breaker::State;
use watertight_core::{Classify, FailureKind, Outcome, Reason, Rejection};
use watertight_http::{GrpcClassifier, HttpExt, RespondExt};

use super::{ENOUGH, breaker};
use crate::echo::{self, EchoClient, EchoServer, Speaker, word};
use crate::server::{Counter, Server, bounded};

async fn upstream(heard: &Counter) -> Server {
    let service = EchoServer::new(Speaker::heard_by(heard));
    echo::serve(GrpcServer::builder().add_service(service)).await
}

fn channel(server: &Server) -> Channel {
    Endpoint::try_from(server.uri("")).unwrap().connect_lazy()
}

#[tokio::test]
async fn goes_onto_a_channel() {
    bounded(async {
        let heard = Counter::default();
        let upstream = upstream(&heard).await;
        let stack = ServiceBuilder::new()
            .layer(breaker().grpc().build())
            .service(channel(&upstream));
        let mut client = EchoClient::new(stack);

        for _ in 0..ENOUGH {
            let failed = client.unary(word("fail")).await.unwrap_err();
            assert_eq!(failed.code(), Code::Unavailable);
        }
        let refused = client.unary(word("fail")).await.unwrap_err();

        let rejection = refused.source().and_then(|error| Rejection::find(error));
        assert_eq!(rejection.map(Rejection::reason), Some(Reason::CircuitOpen));
        assert_eq!(heard.get(), ENOUGH);
    })
    .await;
}

/// An error of a stack is UNKNOWN to tonic's clients, whatever it is. As an answer it has its code.
#[tokio::test]
async fn a_refusal_as_an_answer_has_the_right_code() {
    bounded(async {
        let heard = Counter::default();
        let upstream = upstream(&heard).await;
        let layer = breaker().grpc().build();
        layer.handle().force_open();
        let bare = ServiceBuilder::new()
            .layer(layer.clone())
            .service(channel(&upstream));
        let responding = ServiceBuilder::new()
            .layer(layer.respond_rejections())
            .service(channel(&upstream));

        let bare = EchoClient::new(bare).unary(word("hello")).await;
        let responding = EchoClient::new(responding).unary(word("hello")).await;

        assert_eq!(bare.unwrap_err().code(), Code::Unknown);
        let refused = responding.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!(refused.message(), "circuit open");
        assert_eq!(heard.get(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_status_in_the_trailers_opens_it_over_grpc_and_not_over_http() {
    bounded(async {
        let heard = Counter::default();
        let upstream = upstream(&heard).await;
        let (grpc, http) = (breaker().grpc().build(), breaker().http().build());
        let stack = ServiceBuilder::new()
            .layer(http.clone())
            .layer(grpc.clone())
            .service(channel(&upstream));
        let mut client = EchoClient::new(stack);

        for _ in 0..ENOUGH {
            let words = client.stream(word("break")).await.unwrap().into_inner();
            assert!(words.collect::<Vec<_>>().await[1].is_err());
        }

        assert_eq!(grpc.handle().state(), State::Open);
        assert_eq!(http.handle().state(), State::Closed);
    })
    .await;
}

#[tokio::test]
async fn streams_that_are_dropped_before_their_status_do_not_vote() {
    bounded(async {
        let heard = Counter::default();
        let upstream = upstream(&heard).await;
        let layer = breaker().grpc().build();
        let stack = ServiceBuilder::new()
            .layer(layer.clone())
            .service(channel(&upstream));
        let mut client = EchoClient::new(stack);

        for _ in 0..2 * ENOUGH {
            let mut words = client.stream(word("hello")).await.unwrap().into_inner();
            words.next().await.unwrap().unwrap();
        }

        assert_eq!(layer.handle().state(), State::Closed);
        assert_eq!(layer.handle().snapshot().standing.calls, 0);
        assert_eq!(layer.handle().in_flight(), 0);
    })
    .await;
}

/// The status of a probe is in the trailers, after a head that tells nothing.
#[tokio::test]
async fn a_good_status_in_the_trailers_closes_it_again() {
    bounded(async {
        let heard = Counter::default();
        let upstream = upstream(&heard).await;
        let layer = breaker()
            .grpc()
            .open_for(Duration::from_millis(1))
            .half_open_timeout(Duration::from_secs(3600))
            .half_open_calls(1)
            .close_after(2)
            .start(State::Open)
            .build();
        let stack = ServiceBuilder::new()
            .layer(layer.clone())
            .service(channel(&upstream));
        let mut client = EchoClient::new(stack);

        // It is refused until the open time is over.
        while client.unary(word("hello")).await.is_err() {
            yield_now().await;
        }
        assert_eq!(layer.handle().state(), State::HalfOpen);
        client.unary(word("hello")).await.unwrap();

        assert_eq!(layer.handle().state(), State::Closed);
        assert_eq!(heard.get(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_failure() {
    bounded(async {
        let gone = upstream(&Counter::default()).await;
        let channel = channel(&gone);
        gone.stop().await;
        let stack = ServiceBuilder::new()
            .map_err(|error: tonic::transport::Error| {
                let outcome =
                    Classify::<http::Response<()>>::classify(&GrpcClassifier::new(), Err(&error));
                assert_eq!(outcome, Outcome::failure(FailureKind::Connect));
                error
            })
            .service(channel);

        let failed = EchoClient::new(stack).unary(word("hello")).await;

        assert_eq!(failed.unwrap_err().code(), Code::Unavailable);
    })
    .await;
}
