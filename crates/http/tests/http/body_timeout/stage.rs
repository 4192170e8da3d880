use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use tokio::sync::oneshot;
use tokio_test::assert_ready;
use tokio_test::task::{Spawn, spawn};
use tower::Layer as _;
use tower_service::Service;
use watertight_core::{BoxError, Reason, Rejection};
use watertight_http::{
    BodyTimeoutBuilder, RequestBodies, RequestBodyTimeout, RequestBodyTimeoutFuture,
    RequestBodyTimeoutHandle, RequestBodyTimeoutLayer, ResponseBodies, ResponseBodyTimeoutHandle,
    ResponseBodyTimeoutLayer, TimedBody, UploadBody,
};
use watertight_metrics::{InstanceSnapshot, Registry};

pub(crate) const S: Duration = Duration::from_secs(1);

/// A body of what its clones say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(Arc<Mutex<VecDeque<Line>>>);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Line {
    Word(&'static str),
    Panic,
    Error,
    End,
}

impl Script {
    pub(crate) fn say(&self, line: Line) {
        self.0.lock().unwrap().push_back(line);
    }

    pub(crate) fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let line = self.0.lock().unwrap().pop_front();
        match line {
            None => Poll::Pending,
            Some(Line::Word(word)) => Poll::Ready(Some(Ok(Frame::data(word.into())))),
            Some(Line::Panic) => panic!("as the body does"),
            Some(Line::Error) => Poll::Ready(Some(Err("broken off".into()))),
            Some(Line::End) => Poll::Ready(None),
        }
    }
}

/// A layer for the bodies of responses, and a body that has come through it.
pub(crate) struct Reading {
    pub(crate) registry: Registry,
    pub(crate) handle: ResponseBodyTimeoutHandle,
    layer: ResponseBodyTimeoutLayer,
}

pub(crate) type Read = Spawn<TimedBody<Script>>;

impl Reading {
    pub(crate) fn new(
        set: impl FnOnce(BodyTimeoutBuilder<ResponseBodies>) -> BodyTimeoutBuilder<ResponseBodies>,
    ) -> Self {
        let registry = Registry::new();
        let layer = set(ResponseBodyTimeoutLayer::builder("read").registry(&registry)).build();
        Self {
            handle: layer.handle(),
            registry,
            layer,
        }
    }

    pub(crate) fn body(&self, script: &Script) -> Read {
        let script = script.clone();
        let mut service = self.layer.layer(tower::service_fn(move |()| {
            let response = Response::new(script.clone());
            std::future::ready(Ok::<_, Infallible>(response))
        }));
        let response = assert_ready!(spawn(service.call(())).poll()).unwrap();
        spawn(response.into_body())
    }

    pub(crate) fn counted(&self) -> InstanceSnapshot {
        self.registry.snapshot().instances.remove(0)
    }
}

pub(crate) fn poll(body: &mut Read) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    body.enter(|cx, body| body.poll_frame(cx))
}

/// A layer for the bodies of requests, around a service that takes none of them and answers when
/// it is told to.
pub(crate) struct Writing {
    pub(crate) registry: Registry,
    pub(crate) handle: RequestBodyTimeoutHandle,
    service: RequestBodyTimeout<Peer>,
    pub(crate) peer: Peer,
}

pub(crate) type Write = Spawn<RequestBodyTimeoutFuture<Answer>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Peer(Arc<Mutex<Vec<Waiting>>>);

#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Said>,
    /// Nobody reads it.
    _body: UploadBody<Script>,
}

/// `None` is a panic.
type Said = Option<Result<(), BoxError>>;

#[derive(Debug)]
pub(crate) struct Answer(oneshot::Receiver<Said>);

impl Service<Request<UploadBody<Script>>> for Peer {
    type Response = ();
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<UploadBody<Script>>) -> Answer {
        let (say, answer) = oneshot::channel();
        self.0.lock().unwrap().push(Waiting {
            answer: say,
            _body: request.into_body(),
        });
        Answer(answer)
    }
}

impl Future for Answer {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.0).poll(cx) {
            Poll::Ready(Ok(said)) => Poll::Ready(said.expect("as the peer does")),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Peer {
    /// Answers the call that was first.
    pub(crate) fn answer(&self, said: Said) {
        let waiting = self.0.lock().unwrap().remove(0);
        waiting.answer.send(said).unwrap();
    }
}

impl Writing {
    pub(crate) fn new(
        set: impl FnOnce(BodyTimeoutBuilder<RequestBodies>) -> BodyTimeoutBuilder<RequestBodies>,
    ) -> Self {
        let registry = Registry::new();
        let layer = set(RequestBodyTimeoutLayer::builder("write").registry(&registry)).build();
        let peer = Peer::default();
        Self {
            handle: layer.handle(),
            service: layer.layer(peer.clone()),
            registry,
            peer,
        }
    }

    pub(crate) fn call(&mut self) -> Write {
        spawn(self.service.call(Request::new(Script::default())))
    }

    pub(crate) fn counted(&self) -> InstanceSnapshot {
        self.registry.snapshot().instances.remove(0)
    }
}

pub(crate) fn reason(error: &BoxError) -> Reason {
    Rejection::find(&**error).unwrap().reason()
}
