use std::task::Poll;

use crate::control::{Readiness, Script};
use crate::stage::{Ruling, Stage, Subject};
use crate::waiter::Waiter;

/// How often a call is woken and polled without an answer.
const ROUNDS: u64 = 5;

pub(crate) fn wakes_response<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    stage.inner.play(Script::Wait);
    let mut running = stage.start(&mut service)?;
    if running.poll().is_ready() {
        return Err("the response did not wait for the inner future".into());
    }

    // Twice, as a waker is good for one wake-up.
    stage.inner.wake();
    stage.settle();
    if running.waiter.wakes() == 0 {
        return Err("the inner future was woken, and the response was not".into());
    }
    let _ = running.poll();
    let before = running.waiter.wakes();
    stage.inner.play(Script::Respond);
    stage.settle();
    if running.waiter.wakes() == before {
        return Err("polled again, the response was not woken with the inner future".into());
    }
    match running.poll() {
        Poll::Ready(Ok(_)) => Ok(()),
        Poll::Ready(Err(error)) => Err(format!("once woken, the call failed: {error}")),
        Poll::Pending => Err("once woken, the response was Pending again".into()),
    }
}

pub(crate) fn one_waker_per_waiter<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    // A waiter that waits alone and is not woken is what two other rules are about.
    if waits_for_response(&stage.afresh(), 1) == 1 {
        let woken = waits_for_response(&stage.afresh(), 2);
        if woken < 2 {
            return Err(format!("of 2 calls that could go on, {woken} was woken"));
        }
        if !wakes_the_last_waker(&stage.afresh()) {
            return Err("polled with another waker, the response woke the earlier one".into());
        }
    }
    if waits_for_readiness(&stage.afresh(), 1) == 1 {
        let woken = waits_for_readiness(&stage.afresh(), 2);
        if woken < 2 {
            return Err(format!(
                "of 2 services that became ready, {woken} was woken"
            ));
        }
    }
    Ok(())
}

/// Returns how many of `n` calls are woken by their answer.
fn waits_for_response<L: Subject>(stage: &Stage<'_, L>, n: usize) -> usize {
    let template = stage.service();
    stage.inner.play(Script::Wait);
    let mut calls: Vec<_> = (0..n)
        .filter_map(|_| stage.start(&mut template.clone()).ok())
        .collect();
    for call in &mut calls {
        let _ = call.poll();
    }

    stage.inner.play(Script::Respond);
    stage.settle();

    calls.iter().filter(|call| call.waiter.wakes() > 0).count()
}

/// Returns how many of `n` services are woken by becoming ready.
fn waits_for_readiness<L: Subject>(stage: &Stage<'_, L>, n: usize) -> usize {
    stage.inner.readiness(Readiness::Pending);
    let mut waiting: Vec<_> = (0..n).map(|_| (stage.service(), Waiter::new())).collect();
    for (service, waiter) in &mut waiting {
        let _ = waiter.poll_ready(service);
    }

    stage.inner.readiness(Readiness::Ready);
    stage.settle();

    let woken = |(_, waiter): &&(_, Waiter)| waiter.wakes() > 0;
    waiting.iter().filter(woken).count()
}

fn wakes_the_last_waker<L: Subject>(stage: &Stage<'_, L>) -> bool {
    stage.inner.play(Script::Wait);
    let Ok(mut running) = stage.start(&mut stage.service()) else {
        return false;
    };
    let last = Waiter::new();
    let _ = (running.poll(), running.poll_as(&last));

    stage.inner.play(Script::Respond);
    stage.settle();

    last.wakes() > 0
}

pub(crate) fn no_self_wake<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    stage.inner.play(Script::Wait);
    let mut running = stage.start(&mut service)?;
    let _ = running.poll();
    stage.settle();
    let wakes = running.waiter.wakes();
    if wakes > 0 {
        return Err(format!("{wakes} wake-ups of a response that waits"));
    }

    let waiter = Waiter::new();
    stage.inner.readiness(Readiness::Pending);
    let _ = waiter.poll_ready(&mut stage.service());
    stage.settle();
    match waiter.wakes() {
        0 => Ok(()),
        wakes => Err(format!("{wakes} wake-ups of a poll_ready that waits")),
    }
}

pub(crate) fn no_spinning<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    stage.inner.play(Script::Wait);
    let mut running = stage.start(&mut service)?;
    for polls in 1..=ROUNDS {
        let _ = running.poll();
        let below = stage.inner.counts().polls;
        if below != polls {
            return Err(format!(
                "{polls} polls of the response were {below} of the inner future"
            ));
        }
        stage.inner.wake();
        stage.settle();
    }

    let waiter = Waiter::new();
    let mut service = stage.service();
    let before = stage.inner.counts().readiness_polls;
    for polls in 1..=ROUNDS {
        stage.inner.readiness(Readiness::Pending);
        let _ = waiter.poll_ready(&mut service);
        let below = stage.inner.counts().readiness_polls - before;
        if below != polls {
            return Err(format!(
                "{polls} polls of poll_ready were {below} of the inner one"
            ));
        }
        stage.settle();
    }
    Ok(())
}
