use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::runtime;

use crate::dial::{Dial, Line};
use crate::error::{Error, says};
use crate::question::Question;

/// After so many orders in a row without an answer the connection is taken for dead: of a server
/// that is gone without a word nothing else would be heard for a quarter of an hour.
const UNANSWERED: u32 = 5;

/// The connection, which is made when it is needed first, and made anew when it is lost.
pub(crate) struct Link {
    dial: Dial,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The connection, or the making of it, that all orders wait for. A failed one is not kept.
    dialled: Option<Dialled>,
    /// How many times a connection was made.
    times: u64,
    /// How many orders in a row have had no answer.
    unanswered: u32,
}

type Dialled = Shared<Pin<Box<dyn Future<Output = RedisResult<Line>> + Send>>>;

impl Link {
    pub(crate) fn new(dial: Dial) -> Self {
        Self {
            dial,
            state: Mutex::default(),
        }
    }

    /// Asks a question, and returns the numbers that come back.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Vec<i64>, Error> {
        let (dialled, time) = self.dialled();
        let mut asking = Asking {
            link: self,
            time,
            is_answered: false,
        };
        let answered = match dialled.await {
            Ok(mut line) => asked(&mut line, question).await,
            Err(error) => {
                asking.hang_up();
                Err(error)
            }
        };
        asking.answered(answered.as_ref().err());
        Ok(answered?)
    }

    /// Returns the connection, and which one it is.
    fn dialled(&self) -> (Dialled, u64) {
        let mut state = self.lock();
        if let Some(dialled) = &state.dialled {
            return (dialled.clone(), state.times);
        }
        let dialled = self.dial.clone().connect().boxed().shared();
        // It goes on while nobody waits for it: otherwise orders that never wait for long would
        // never get one.
        if let Ok(runtime) = runtime::Handle::try_current() {
            drop(runtime.spawn(dialled.clone().map(drop)));
        }
        state.dialled = Some(dialled.clone());
        state.times += 1;
        state.unanswered = 0;
        (dialled, state.times)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks by the hash of the script, and by its text if Redis does not know it: it has been restarted,
/// or another one has taken its place.
async fn asked(line: &mut Line, question: &Question) -> RedisResult<Vec<i64>> {
    let Question { key, arguments, .. } = question;
    let script = question.script();
    match line.ask(&script.by_hash(key, arguments)).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            line.ask(&script.by_text(key, arguments)).await
        }
        answered => answered,
    }
}

/// An order that is under way on a connection. One that is dropped has had no answer.
struct Asking<'a> {
    link: &'a Link,
    /// Which connection it is.
    time: u64,
    is_answered: bool,
}

impl Asking<'_> {
    /// Takes note of what became of the order.
    fn answered(&mut self, error: Option<&RedisError>) {
        let Some(error) = error else {
            self.is_answered = true;
            self.link.lock().unanswered = 0;
            return;
        };
        // A cluster mends its connections itself, and only as long as there are some.
        let is_lost = match self.link.dial {
            Dial::One(..) => error.is_unrecoverable_error(),
            Dial::Cluster(_) => error.kind() == ErrorKind::ClusterConnectionNotFound,
        };
        // Who was the master when we connected may have become a replica.
        let is_demoted = says(error, "READONLY");
        if is_lost || is_demoted {
            self.hang_up();
        }
        self.is_answered = !error.is_io_error();
    }

    /// Has the next order make another connection.
    fn hang_up(&self) {
        let mut state = self.link.lock();
        if state.times == self.time {
            state.dialled = None;
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let mut state = self.link.lock();
        if state.times != self.time {
            return;
        }
        state.unanswered += 1;
        if state.unanswered >= UNANSWERED {
            state.dialled = None;
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("dial", &self.dial)
            .field("times", &self.lock().times)
            .finish()
    }
}
