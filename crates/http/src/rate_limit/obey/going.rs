use std::sync::Arc;

use http::Response;
use tokio::time::Instant;
use watertight_core::{Call, Classify, Outcome};

use super::allowance::Ticket;
use super::core::Core;
use super::counts::Count;
use super::said::Said;
use super::server::Server;
use crate::HttpClassifier;

/// A call that has started, until it is answered. Dropped before that, it was cancelled.
#[derive(Debug)]
pub(super) struct Going {
    /// `None` for a call that nobody watches, and once it has ended.
    way: Option<Way>,
}

#[derive(Debug)]
struct Way {
    core: Arc<Core>,
    server: Arc<Server>,
    ticket: Ticket,
}

impl Going {
    pub(super) const fn new(core: Arc<Core>, server: Arc<Server>, ticket: Ticket) -> Self {
        Self {
            way: Some(Way {
                core,
                server,
                ticket,
            }),
        }
    }

    pub(super) const fn unwatched() -> Self {
        Self { way: None }
    }

    /// Takes in what the answer says.
    pub(super) fn answered<B>(mut self, response: &Response<B>) {
        let Some(Way {
            core,
            server,
            ticket,
        }) = self.way.take()
        else {
            return;
        };
        let config = core.config.load();
        let said = Said::read(response, config.legacy);
        server.answered(ticket, said, config.terms(), Instant::now());
        core.counts
            .add(Count::of(&HttpClassifier::new().classify(Ok(response))));
    }

    fn end_by(&mut self, count: Count) {
        if let Some(Way {
            core,
            server,
            ticket,
        }) = self.way.take()
        {
            server.gone(ticket);
            core.counts.add(count);
        }
    }
}

impl Call for Going {
    fn head(&mut self, _: &Outcome) {}

    /// Ends the call without an answer.
    fn end(mut self, outcome: Outcome) {
        self.end_by(Count::of(&outcome));
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.end_by(Count::Cancelled);
    }
}
