use futures_util::StreamExt;
use tonic::service::LayerExt;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server as GrpcServer};
use tonic::{Code, Status};
use watertight_breaker::State;
use watertight_http::{HttpExt, RespondExt};

use super::{ENOUGH, breaker};
use crate::echo::{self, EchoClient, EchoServer, Speaker, word};
use crate::server::{Counter, Server, bounded};

async fn client(server: &Server) -> EchoClient<Channel> {
    EchoClient::connect(server.uri("")).await.unwrap()
}

/// A refusal as a client is to see it: its status, and when to come again.
fn is_refusal(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "circuit open");
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
}

/// Sees a service break, and its breaker open.
async fn opens(server: &Server, heard: &Counter) {
    let mut client = client(server).await;
    for _ in 0..ENOUGH {
        let failed = client.unary(word("fail")).await.unwrap_err();
        assert_eq!(failed.message(), "as you wish");
    }

    is_refusal(&client.unary(word("hello")).await.unwrap_err());
    is_refusal(&client.stream(word("hello")).await.unwrap_err());
    let words = futures_util::stream::iter([word("hello")]);
    is_refusal(&client.chat(words).await.unwrap_err());
    assert_eq!(heard.get(), ENOUGH);
}

#[tokio::test]
async fn goes_into_a_tonic_server() {
    bounded(async {
        let heard = Counter::default();
        let mut server = GrpcServer::builder().layer(breaker().grpc().build().respond());
        let router = server.add_service(EchoServer::new(Speaker::heard_by(&heard)));
        let server =
            Server::start(|listener| router.serve_with_incoming(TcpIncoming::from(listener))).await;

        opens(&server, &heard).await;
    })
    .await;
}

/// What the docs of `RespondExt` warn of: it compiles.
#[tokio::test]
async fn breaks_the_stream_of_a_tonic_server_without_its_respond() {
    bounded(async {
        let layer = breaker().grpc().build();
        layer.handle().force_open();
        let mut server = GrpcServer::builder().layer(layer);
        let router = server.add_service(EchoServer::new(Speaker::default()));
        let server =
            Server::start(|listener| router.serve_with_incoming(TcpIncoming::from(listener))).await;

        let broken = client(&server).await.unary(word("hello")).await;

        assert_eq!(broken.unwrap_err().code(), Code::Internal);
    })
    .await;
}

#[tokio::test]
async fn goes_onto_one_tonic_service() {
    bounded(async {
        let heard = Counter::default();
        let layer = breaker().grpc().build().respond();
        let service = layer.named_layer(EchoServer::new(Speaker::heard_by(&heard)));
        let server = echo::serve(GrpcServer::builder().add_service(service)).await;

        opens(&server, &heard).await;
    })
    .await;
}

#[tokio::test]
async fn streams_that_fail_half_way_open_it() {
    bounded(async {
        let layer = breaker().grpc().build();
        let handle = layer.handle();
        let service = layer
            .respond()
            .named_layer(EchoServer::new(Speaker::default()));
        let server = echo::serve(GrpcServer::builder().add_service(service)).await;
        let mut client = client(&server).await;

        for _ in 0..ENOUGH {
            assert_eq!(handle.state(), State::Closed);
            let words = client.stream(word("break")).await.unwrap().into_inner();
            let words: Vec<_> = words.collect().await;
            assert_eq!(words.len(), 2);
            assert_eq!(words[1].as_ref().unwrap_err().code(), Code::Unavailable);
        }

        is_refusal(&client.stream(word("break")).await.unwrap_err());
    })
    .await;
}

#[tokio::test]
async fn a_service_that_works_stays_open_to_all() {
    bounded(async {
        let layer = breaker().grpc().build();
        let handle = layer.handle();
        let service = layer
            .respond()
            .named_layer(EchoServer::new(Speaker::default()));
        let server = echo::serve(GrpcServer::builder().add_service(service)).await;
        let mut client = client(&server).await;

        for _ in 0..ENOUGH {
            let unary = client.unary(word("hello")).await.unwrap();
            assert_eq!(unary.into_inner().text, "hello");
            let words = futures_util::stream::iter(["one", "two"].map(word));
            let words = client.chat(words).await.unwrap().into_inner();
            let words: Vec<_> = words.map(|word| word.unwrap().text).collect().await;
            assert_eq!(words, ["one", "two"]);
        }

        assert_eq!(handle.state(), State::Closed);
    })
    .await;
}
