use crate::control::Script;
use crate::stage::{Running, Stage, Subject};

/// How the inner service answers the calls after which a layer refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// With a response: what uses up a rate limit.
    Response,
    /// With an error: what opens a circuit breaker.
    Error,
    /// Not at all, so that the calls stay in flight: what fills a bulkhead.
    Pending,
}

/// The calls after which the layer refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exhaustion {
    pub(crate) calls: usize,
    pub(crate) answer: Answer,
}

impl Exhaustion {
    /// Makes the calls. Those that stay in flight are returned, to be held.
    pub(crate) fn act<L: Subject>(
        self,
        stage: &Stage<'_, L>,
        service: &mut L::Service,
    ) -> Result<Vec<Running<L>>, String> {
        stage.inner.play(match self.answer {
            Answer::Response => Script::Respond,
            Answer::Error => Script::Fail,
            Answer::Pending => Script::Wait,
        });
        let mut held = Vec::new();
        for _ in 0..self.calls {
            let mut running = stage.start(service)?;
            if self.answer == Answer::Pending {
                let _ = running.poll();
                held.push(running);
            } else if stage.finish(&mut running).is_none() {
                return Err("a call did not end".into());
            }
        }
        stage.inner.play(Script::Respond);
        Ok(held)
    }
}
