//! A gRPC service that says back what it is told, and fails when told to.

use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use tonic::transport::server::{Router, TcpIncoming};
use tonic::{Request, Response, Status, Streaming};
use watertight_core::Context;

use crate::server::{Counter, Server};

pub(crate) use proto::Word;
pub(crate) use proto::echo_client::EchoClient;
pub(crate) use proto::echo_server::{Echo, EchoServer};

/// Serves the speaker by tonic alone.
pub(crate) async fn serve(router: Router) -> Server {
    Server::start(|listener| router.serve_with_incoming(TcpIncoming::from(listener))).await
}

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    reason = "it is generated"
)]
mod proto {
    include!("generated.rs");
}

/// The service. What these words make it do:
///
/// | word | answer |
/// | --- | --- |
/// | `priority` | the priority in the context that it is answered in |
/// | `fail` | UNAVAILABLE, at once |
/// | `break` | in a stream: one word, then UNAVAILABLE |
/// | any other | the same, in a stream three times |
#[derive(Clone, Debug, Default)]
pub(crate) struct Speaker {
    heard: Counter,
}

impl Speaker {
    /// Makes one that counts its calls in `heard`.
    pub(crate) fn heard_by(heard: &Counter) -> Self {
        Self {
            heard: heard.clone(),
        }
    }
}

type Words = Pin<Box<dyn Stream<Item = Result<Word, Status>> + Send>>;

#[tonic::async_trait]
impl Echo for Speaker {
    type StreamStream = Words;
    type ChatStream = Words;

    async fn unary(&self, request: Request<Word>) -> Result<Response<Word>, Status> {
        self.heard.count();
        answer(&request.into_inner().text).map(Response::new)
    }

    async fn stream(&self, request: Request<Word>) -> Result<Response<Words>, Status> {
        self.heard.count();
        let text = request.into_inner().text;
        let words: Vec<_> = match &*text {
            "fail" => return Err(unavailable()),
            "break" => vec!["word".to_owned(), "fail".to_owned()],
            _ => vec![text; 3],
        };
        // Each word is made when it is asked for, not before.
        let words = stream::iter(words).map(|text| answer(&text));
        Ok(Response::new(Box::pin(words)))
    }

    async fn chat(&self, request: Request<Streaming<Word>>) -> Result<Response<Words>, Status> {
        self.heard.count();
        let words = request.into_inner().map(|word| answer(&word?.text));
        Ok(Response::new(Box::pin(words)))
    }
}

fn answer(text: &str) -> Result<Word, Status> {
    match text {
        "fail" => Err(unavailable()),
        "priority" => Ok(word(&format!("{:?}", Context::current().priority))),
        text => Ok(word(text)),
    }
}

fn unavailable() -> Status {
    Status::unavailable("as you wish")
}

pub(crate) fn word(text: &str) -> Word {
    Word {
        text: text.to_owned(),
    }
}
