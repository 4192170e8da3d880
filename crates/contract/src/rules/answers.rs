use tower_service::Service;
use watertight_core::BoxError;

use crate::control::Script;
use crate::stage::{Ruling, Running, Stage, Subject};
use crate::{ProbeError, Response};

pub(crate) fn serves<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    stage.serve(&mut stage.service())
}

pub(crate) fn responses<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    for _ in 0..3 {
        stage.ready(&mut service)?;
        let request = stage.request();
        let calls = stage.inner.counts().calls;

        let mut running = Running::<L>::new(service.call(request));
        let answer = stage.finish(&mut running);

        let calls = stage.inner.counts().calls - calls;
        if calls != 1 {
            return Err(format!(
                "one call became {calls} calls of the inner service"
            ));
        }
        match stage.inner.request() {
            Some(came) if came == request => {}
            came => return Err(format!("{request:?} went down as {came:?}")),
        }
        match answer {
            Some(Ok(response)) if response.id == request.id => {}
            answer => return Err(format!("{request:?} was answered with {answer:?}")),
        }
    }
    Ok(())
}

pub(crate) fn errors<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    for waits in [false, true, false, true] {
        stage.serve_nine(&mut service)?;

        stage
            .inner
            .play(if waits { Script::Wait } else { Script::Fail });
        let mut running = stage.start(&mut service)?;
        if waits {
            let _ = running.poll();
            stage.inner.play(Script::Fail);
        }
        untouched(stage.finish(&mut running))?;
    }
    Ok(())
}

fn untouched(answer: Option<Result<Response, BoxError>>) -> Ruling {
    match answer {
        Some(Err(error)) if error.is::<ProbeError>() => Ok(()),
        Some(Err(error)) => Err(format!("another error came up: {error:?}")),
        Some(Ok(response)) => Err(format!("the error was eaten: {response:?}")),
        None => Err("the call that failed did not end".into()),
    }
}

pub(crate) fn answers_at_once<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    for _ in 0..3 {
        let mut running = stage.start(&mut service)?;
        if running.poll().is_pending() {
            return Err("the inner future had answered, and the response was Pending".into());
        }
    }
    Ok(())
}

pub(crate) fn ends_once<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    for script in [Script::Respond, Script::Fail] {
        stage.serve_nine(&mut service)?;
        stage.inner.play(script);
        let mut running = stage.start(&mut service)?;
        stage.finish(&mut running);

        stage.inner.play(Script::Wait);
        let mut running = stage.start(&mut service)?;
        let first = running.poll();
        stage.inner.play(script);
        if first.is_pending() {
            stage.finish(&mut running);
        }
    }
    match stage.inner.counts().polls_after_end {
        0 => Ok(()),
        n => Err(format!("{n} polls of inner futures that had answered")),
    }
}
