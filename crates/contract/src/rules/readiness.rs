use std::task::Poll;

use crate::ProbeError;
use crate::control::{Readiness, Script};
use crate::stage::{Ruling, Stage, Subject};
use crate::waiter::Waiter;

/// How many services are made ready and not called.
const IDLE: usize = 1_000;

pub(crate) fn calls_ready_instance<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let template = stage.service();
    let mut service = template.clone();
    stage.serve_nine(&mut service)?;
    judge_instances(stage, "a service that is called again and again")?;

    // As axum does it: the service that is cloned is never ready itself.
    for _ in 0..3 {
        stage.serve(&mut template.clone())?;
    }
    judge_instances(stage, "a clone for each call")?;

    stage.inner.play(Script::Wait);
    let mut first = stage.start(&mut service)?;
    let mut second = stage.start(&mut service)?;
    let _ = (first.poll(), second.poll());
    stage.inner.play(Script::Respond);
    stage.finish(&mut second);
    stage.finish(&mut first);
    judge_instances(stage, "two calls in flight")?;

    stage.serve_nine(&mut service)?;
    stage.inner.play(Script::Fail);
    let mut failing = stage.start(&mut service)?;
    stage.finish(&mut failing);
    judge_instances(stage, "a call that fails below")
}

fn judge_instances<L: Subject>(stage: &Stage<'_, L>, doing: &str) -> Ruling {
    match stage.inner.counts().unready_calls {
        0 => Ok(()),
        n => Err(format!("{n} calls of instances not ready, with {doing}")),
    }
}

pub(crate) fn forgets_readiness<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();

    stage.ready(&mut service)?;
    if !asks(stage, &mut service.clone()) {
        return Err("the clone of a ready service did not ask the inner one".into());
    }

    stage.serve(&mut service)?;
    if !asks(stage, &mut service) {
        return Err("after a call, the service did not ask the inner one again".into());
    }
    Ok(())
}

fn asks<L: Subject>(stage: &Stage<'_, L>, service: &mut L::Service) -> bool {
    let before = stage.inner.counts().readiness_polls;
    let _ = Waiter::new().poll_ready(service);
    stage.inner.counts().readiness_polls > before
}

pub(crate) fn waits_for_readiness<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    let waiter = Waiter::new();

    stage.inner.readiness(Readiness::Pending);
    if waiter.poll_ready(&mut service).is_ready() {
        return Err("poll_ready did not wait for the inner service".into());
    }

    stage.inner.readiness(Readiness::Ready);
    stage.settle();
    if waiter.wakes() == 0 {
        return Err("nobody was woken when the inner service became ready".into());
    }
    match waiter.poll_ready(&mut service) {
        Poll::Ready(Ok(())) => stage.serve(&mut service),
        Poll::Ready(Err(error)) => Err(format!("once woken, poll_ready failed: {error}")),
        Poll::Pending => Err("once woken, poll_ready was Pending again".into()),
    }
}

pub(crate) fn readiness_errors<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let template = stage.service();
    for _ in 0..3 {
        stage.serve_nine(&mut template.clone())?;
        let before = stage.inner.counts().readiness_polls;

        stage.inner.readiness(Readiness::ErrorOnce);
        match Waiter::new().poll_ready(&mut template.clone()) {
            Poll::Ready(Err(error)) if error.is::<ProbeError>() => {}
            Poll::Ready(Err(error)) => return Err(format!("another error came up: {error:?}")),
            Poll::Ready(Ok(())) => return Err("the error was eaten: ready".into()),
            Poll::Pending => return Err("the error was eaten: Pending".into()),
        }
        let asked = stage.inner.counts().readiness_polls - before;
        if asked != 1 {
            return Err(format!("the inner service was polled {asked} times for it"));
        }
        stage.inner.readiness(Readiness::Ready);
        stage
            .serve(&mut template.clone())
            .map_err(|seen| format!("after the error, {seen}"))?;
    }
    Ok(())
}

pub(crate) fn reserves_nothing<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let mut service = stage.service();
        stage
            .ready(&mut service)
            .map_err(|seen| format!("beside {} services ready and idle, {seen}", idle.len()))?;
        idle.push(service);
    }
    stage
        .serve(&mut stage.service())
        .map_err(|seen| format!("beside {IDLE} services ready and idle, {seen}"))?;

    let stage = stage.afresh();
    let mut template = stage.service();
    for _ in 0..IDLE {
        stage.ready(&mut template.clone())?;
    }
    stage
        .serve(&mut template)
        .map_err(|seen| format!("after {IDLE} services were ready and dropped, {seen}"))
}
