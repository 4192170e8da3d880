use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::control::Script;
use crate::probe::ProbePanic;
use crate::stage::{Ruling, Running, Stage, Subject};

/// How many panics there are before it must show that one of them kept something.
const PANICS: usize = 100;

pub(crate) fn panic_in_call<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    many(stage, |service| {
        stage.inner.play(Script::PanicInCall);
        goes_on(|| {
            let mut running = stage.start(service)?;
            Ok(describe(stage, &mut running))
        })
    })
}

pub(crate) fn panic_in_poll<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    many(stage, |service| {
        stage.inner.play(Script::PanicInPoll);
        goes_on(|| {
            let mut running = stage.start(service)?;
            Ok(describe(stage, &mut running))
        })
    })?;

    // An executor catches the panic first and drops the future then.
    let stage = stage.afresh();
    many(&stage, |service| {
        stage.inner.play(Script::Wait);
        let mut running = stage.start(service)?;
        let _ = running.poll();
        stage.inner.play(Script::PanicInPoll);
        goes_on(|| Ok(describe(&stage, &mut running)))
    })
}

/// Lets panics happen, with enough successes between them that they are rare.
fn many<L: Subject>(
    stage: &Stage<'_, L>,
    mut panic: impl FnMut(&mut L::Service) -> Ruling,
) -> Ruling {
    let mut template = stage.service();
    for panics in 0..PANICS {
        stage
            .serve_nine(&mut template.clone())
            .map_err(|seen| format!("after {panics} panics, {seen}"))?;
        panic(&mut template.clone())?;
    }
    stage
        .serve_nine(&mut template)
        .map_err(|seen| format!("after {PANICS} panics, {seen}"))
}

/// Judges what `act` is left with: the panic that the inner service made, or what it says came
/// instead.
fn goes_on(act: impl FnOnce() -> Result<String, String>) -> Ruling {
    match catch_unwind(AssertUnwindSafe(act)) {
        Err(panic) if <dyn Any>::is::<ProbePanic>(&*panic) => Ok(()),
        Err(_) => Err("another panic came up than the inner service's".into()),
        Ok(instead) => Err(format!("the panic did not go on: {}", instead?)),
    }
}

fn describe<L: Subject>(stage: &Stage<'_, L>, running: &mut Running<L>) -> String {
    match stage.finish(running) {
        Some(Ok(_)) => "the call succeeded".into(),
        Some(Err(error)) => format!("the call failed with {error:?}"),
        None => "the call did not end".into(),
    }
}
