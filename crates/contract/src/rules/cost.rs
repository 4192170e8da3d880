use std::hint::black_box;
use std::pin::pin;

use allocation_counter::{measure, opt_out};
use tower_service::Service;

use crate::control::Script;
use crate::stage::{Ruling, Stage, Subject};
use crate::waiter::Waiter;

/// How often what is counted is done before, and while, it is counted.
const TIMES: u64 = 100;

pub(crate) fn allocations<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    let waiter = Waiter::new();
    for waits in [false, true] {
        let count = count(|| one_call(stage, &mut service, &waiter, waits));
        if count > TIMES * stage.terms.allocations {
            let kind = if waits { "wait" } else { "do not wait" };
            return Err(format!(
                "{count} allocations in {TIMES} calls that {kind}, where {} a call are allowed",
                stage.terms.allocations
            ));
        }
    }
    Ok(())
}

fn one_call<L: Subject>(
    stage: &Stage<'_, L>,
    service: &mut L::Service,
    waiter: &Waiter,
    waits: bool,
) {
    if waits {
        opt_out(|| stage.inner.play(Script::Wait));
    }
    if waiter.poll_ready(service).is_pending() {
        return;
    }
    let mut future = pin!(service.call(stage.request()));
    if waits {
        let _ = waiter.poll(future.as_mut());
        opt_out(|| stage.inner.play(Script::Respond));
    }
    let _ = waiter.poll(future);
}

pub(crate) fn clone_allocations<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    stage.serve(&mut service)?;
    match count(|| drop(black_box(service.clone()))) {
        0 => Ok(()),
        count => Err(format!("{count} allocations in {TIMES} clones")),
    }
}

/// Counts the allocations of this thread in many rounds of `act`, after as many that do not count.
fn count(mut act: impl FnMut()) -> u64 {
    for _ in 0..TIMES {
        act();
    }
    measure(|| {
        for _ in 0..TIMES {
            act();
        }
    })
    .count_total
}
