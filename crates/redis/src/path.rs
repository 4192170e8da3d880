use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::timeout;
use tower_service::Service;
use watertight_core::{Classify, DynError, ErrorsAreFailures, Outcome};

use crate::Error;
use crate::link::Link;
use crate::question::Question;

/// The way to Redis, which a breaker is around.
#[derive(Clone, Debug)]
pub(crate) struct Path(Arc<Link>);

impl Path {
    pub(crate) fn new(link: Link) -> Self {
        Self(Arc::new(link))
    }
}

impl Service<Arc<Question>> for Path {
    type Response = Vec<i64>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Vec<i64>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, question: Arc<Question>) -> Self::Future {
        let link = Arc::clone(&self.0);
        Box::pin(async move {
            let answered = timeout(question.timeout, link.ask(&question)).await;
            answered.unwrap_or(Err(Error::TimedOut))
        })
    }
}

/// What fails for the order's own reasons says nothing of the way to Redis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathFailures;

impl<Res> Classify<Res> for PathFailures {
    fn classify(&self, result: Result<&Res, &DynError>) -> Outcome {
        match result {
            Err(error)
                if error
                    .downcast_ref::<Error>()
                    .is_some_and(|error| !error.is_of_the_path()) =>
            {
                Outcome::Ignored
            }
            result => ErrorsAreFailures.classify(result),
        }
    }
}
