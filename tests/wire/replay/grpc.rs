use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint, Server as GrpcServer};
use tonic::{Code, Request, Status};
use watertight_http::{HttpRepeat, SameBody};

use super::again::Again;
use crate::echo::{self, EchoClient, EchoServer, Speaker, word};
use crate::server::{Server, bounded};

/// What the calls said of their attempts.
type Attempts = Arc<Mutex<Vec<Option<String>>>>;

/// Is unavailable to so many calls.
async fn flaky(fails: usize, attempts: &Attempts) -> Server {
    let attempts = Arc::clone(attempts);
    let speaker = EchoServer::with_interceptor(Speaker::default(), move |call: Request<()>| {
        let attempt = call.metadata().get("grpc-previous-rpc-attempts");
        let attempt = attempt.map(|attempt| attempt.to_str().unwrap().to_owned());
        let mut attempts = attempts.lock().unwrap();
        attempts.push(attempt);
        if attempts.len() > fails {
            Ok(call)
        } else {
            Err(Status::unavailable("later"))
        }
    });
    echo::serve(GrpcServer::builder().add_service(speaker)).await
}

fn client(server: &Server) -> EchoClient<Again<Channel, SameBody<Body>>> {
    let channel = Endpoint::try_from(server.uri("")).unwrap().connect_lazy();
    let repeat = HttpRepeat::all().same_body(Body::new);
    EchoClient::new(Again::new(repeat, channel))
}

fn said(attempts: &Attempts) -> Vec<Option<String>> {
    attempts.lock().unwrap().clone()
}

fn counted(attempts: usize) -> Vec<Option<String>> {
    (0..attempts)
        .map(|number| (number > 0).then(|| number.to_string()))
        .collect()
}

#[tokio::test]
async fn a_unary_call_of_tonic_is_sent_three_times() {
    bounded(async {
        let attempts = Attempts::default();
        let server = flaky(2, &attempts).await;

        let answer = client(&server).unary(word("hello")).await.unwrap();

        assert_eq!(answer.into_inner(), word("hello"));
        assert_eq!(said(&attempts), counted(3));
    })
    .await;
}

#[tokio::test]
async fn the_last_answer_stands() {
    bounded(async {
        let attempts = Attempts::default();
        let server = flaky(9, &attempts).await;

        let failed = client(&server).unary(word("hello")).await.unwrap_err();

        assert_eq!(
            (failed.code(), failed.message()),
            (Code::Unavailable, "later")
        );
        assert_eq!(said(&attempts), counted(3));
    })
    .await;
}

/// Both sides stream: what was said before the failure is said again, and then it goes on.
#[tokio::test]
async fn a_chat_of_tonic_goes_on_where_it_was() {
    bounded(async {
        let attempts = Attempts::default();
        let server = flaky(2, &attempts).await;
        let (words, said_words) = mpsc::unbounded_channel();
        let next = |mut words: mpsc::UnboundedReceiver<&'static str>| async move {
            let text = words.recv().await?;
            Some((word(text), words))
        };
        for text in ["one", "two"] {
            words.send(text).unwrap();
        }

        let chat = stream::unfold(said_words, next);
        let mut answers = client(&server).chat(chat).await.unwrap().into_inner();
        let mut heard = Vec::new();
        for text in ["three", "four"] {
            heard.push(answers.next().await.unwrap().unwrap().text);
            words.send(text).unwrap();
        }
        drop(words);
        while let Some(answer) = answers.next().await {
            heard.push(answer.unwrap().text);
        }

        assert_eq!(heard, ["one", "two", "three", "four"]);
        assert_eq!(said(&attempts), counted(3));
    })
    .await;
}
