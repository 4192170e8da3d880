use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint, Server as GrpcServer};
use tonic::{Code, Request, Status};
use tower::Layer;
use watertight_http::{GrpcClassifier, HttpExt, HttpNotes, HttpRepeat, SameBody};
use watertight_retry::{Retry, RetryHandle};

use super::retry;
use crate::echo::{self, EchoClient, EchoServer, Speaker, word};
use crate::server::{Server, bounded};

/// What the calls said of their attempts.
type Attempts = Arc<Mutex<Vec<Option<String>>>>;

/// A server that refuses its first calls: with these codes, and to be asked again after so many
/// milliseconds.
async fn server(refusals: &[(Code, &'static str)], attempts: &Attempts) -> Server {
    let (mut refusals, attempts) = (refusals.to_vec(), Arc::clone(attempts));
    refusals.reverse();
    // The interceptor is cloned for each call.
    let refusals = Arc::new(Mutex::new(refusals));
    let speaker = EchoServer::with_interceptor(Speaker::default(), move |call: Request<()>| {
        let attempt = call.metadata().get("grpc-previous-rpc-attempts");
        let attempt = attempt.map(|attempt| attempt.to_str().unwrap().to_owned());
        attempts.lock().unwrap().push(attempt);
        let Some((code, pushback)) = refusals.lock().unwrap().pop() else {
            return Ok(call);
        };
        let mut metadata = MetadataMap::new();
        if !pushback.is_empty() {
            metadata.insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
        }
        Err(Status::with_metadata(code, "not now", metadata))
    });
    echo::serve(GrpcServer::builder().add_service(speaker)).await
}

type Stack = Retry<Channel, GrpcClassifier, SameBody<Body>, HttpNotes>;

/// A client that retries. Where tonic fixes the type of the body, that is kept.
fn client(server: &Server) -> (EchoClient<Stack>, RetryHandle) {
    let channel = Endpoint::try_from(server.uri("")).unwrap().connect_lazy();
    let layer = retry()
        .grpc()
        .repeat(HttpRepeat::all().same_body(Body::new))
        .build();
    (EchoClient::new(layer.layer(channel)), layer.handle())
}

fn counted(attempts: &Attempts) -> usize {
    let attempts = attempts.lock().unwrap();
    for (number, said) in attempts.iter().enumerate() {
        let expected = (number > 0).then(|| number.to_string());
        assert_eq!(*said, expected);
    }
    attempts.len()
}

#[tokio::test]
async fn a_call_is_made_again_while_the_server_is_unavailable() {
    bounded(async {
        let attempts = Attempts::default();
        let server = server(&[(Code::Unavailable, ""); 2], &attempts).await;
        let (mut client, retry) = client(&server);

        let answer = client.unary(word("hello")).await.unwrap();

        assert_eq!(answer.into_inner(), word("hello"));
        assert_eq!(counted(&attempts), 3);
        assert_eq!(retry.snapshot().retries, 2);
    })
    .await;
}

#[tokio::test]
async fn a_server_says_when_to_come_again_or_not_to() {
    bounded(async {
        for (pushback, calls) in [("0", 2), ("-1", 1), ("soon", 1), ("3600000", 1)] {
            let attempts = Attempts::default();
            let server = server(&[(Code::Unavailable, pushback)], &attempts).await;
            let (mut client, _) = client(&server);

            let answer = client.unary(word("hello")).await;

            assert_eq!(answer.is_ok(), calls == 2, "{pushback}");
            assert_eq!(counted(&attempts), calls, "{pushback}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_would_fail_again_is_not_retried() {
    bounded(async {
        let attempts = Attempts::default();
        let server = server(&[(Code::InvalidArgument, "")], &attempts).await;
        let (mut client, _) = client(&server);

        let failed = client.unary(word("hello")).await.unwrap_err();

        assert_eq!(failed.code(), Code::InvalidArgument);
        assert_eq!(counted(&attempts), 1);
    })
    .await;
}

#[tokio::test]
async fn a_layer_that_gave_up_says_so_in_the_pushback() {
    bounded(async {
        let attempts = Attempts::default();
        let server = server(&[(Code::Unavailable, ""); 9], &attempts).await;
        let (mut client, _) = client(&server);

        let failed = client.unary(word("hello")).await.unwrap_err();

        assert_eq!(
            failed.metadata().get("grpc-retry-pushback-ms").unwrap(),
            "-1"
        );
        assert_eq!(counted(&attempts), 3);
    })
    .await;
}

/// Its head is there, and has been handed on.
#[tokio::test]
async fn a_stream_that_fails_half_way_is_not_begun_again() {
    bounded(async {
        let attempts = Attempts::default();
        let server = server(&[], &attempts).await;
        let (mut client, retry) = client(&server);

        let words = client.stream(word("break")).await.unwrap().into_inner();

        assert!(words.collect::<Vec<_>>().await[1].is_err());
        assert_eq!(counted(&attempts), 1);
        assert_eq!(retry.snapshot().retries, 0);
    })
    .await;
}
