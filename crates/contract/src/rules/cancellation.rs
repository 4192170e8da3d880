use crate::control::Script;
use crate::stage::{Ruling, Stage, Subject};

/// How many calls are dropped before it must show that one of them kept something.
const DROPS: usize = 1_000;

/// The most polls before a drop.
const POLLS: usize = 4;

pub(crate) fn drop_unpolled<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    for dropped in 0..DROPS {
        drop(
            stage
                .start(&mut service)
                .map_err(|seen| format!("after {dropped} calls dropped unpolled, {seen}"))?,
        );
    }
    stage
        .serve(&mut service)
        .map_err(|seen| format!("after {DROPS} calls dropped unpolled, {seen}"))
}

pub(crate) fn drop_polled<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    for polls in 1..=POLLS {
        dropped_waiting(&stage.afresh(), polls)?;
        dropped_failing(&stage.afresh(), polls)?;
    }
    Ok(())
}

/// Drops calls that wait for the inner service.
fn dropped_waiting<L: Subject>(stage: &Stage<'_, L>, polls: usize) -> Ruling {
    let after = || format!("after {DROPS} calls dropped after {polls} polls");
    let mut service = stage.service();
    for _ in 0..DROPS {
        stage.inner.play(Script::Wait);
        let mut running = stage
            .start(&mut service)
            .map_err(|seen| format!("{}, {seen}", after()))?;
        for _ in 0..polls {
            if running.poll().is_ready() {
                break;
            }
            stage.inner.wake();
        }
    }
    stage.inner.play(Script::Respond);
    stage
        .serve(&mut service)
        .map_err(|seen| format!("{}, {seen}", after()))
}

/// Drops calls that are still busy after the inner service has failed: that is when a layer waits
/// to call it again.
fn dropped_failing<L: Subject>(stage: &Stage<'_, L>, polls: usize) -> Ruling {
    let mut service = stage.service();
    for dropped in 0..DROPS / 10 {
        let after =
            |seen| format!("after {dropped} failing calls and {polls} polls of each, {seen}");
        stage.serve_nine(&mut service).map_err(after)?;
        stage.inner.play(Script::Fail);
        let mut running = stage.start(&mut service).map_err(after)?;
        for _ in 0..polls {
            let seen = running.waiter.wakes();
            if running.poll().is_ready() || !stage.wait(&running.waiter, seen) {
                break;
            }
        }
    }
    stage.serve_nine(&mut service)
}

pub(crate) fn drops_inner<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    stage.inner.play(Script::Wait);
    for polls in 0..=POLLS {
        let mut running = stage.start(&mut service)?;
        for _ in 0..polls {
            let _ = running.poll();
            stage.inner.wake();
        }
        drop(running);
        if stage.inner.counts().live > 0 {
            return Err(format!(
                "dropped after {polls} polls, the inner future lives on"
            ));
        }
    }
    Ok(())
}
