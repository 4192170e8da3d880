use watertight_core::{BoxError, Rejection};

use crate::stage::{Ruling, Running, Stage, Subject};

pub(crate) fn refuses<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    let _held = exhaust(stage, &mut service)?;
    for asked in 1..=3 {
        refusal(stage, &mut service).map_err(|seen| format!("asked {asked} times, {seen}"))?;
    }
    Ok(())
}

pub(crate) fn rejection_errors<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    let _held = exhaust(stage, &mut service)?;
    let error = refusal(stage, &mut service)?;
    match error.downcast_ref::<Rejection>() {
        Some(_) => Ok(()),
        None => Err(format!("the call was refused with {error:?}")),
    }
}

pub(crate) fn clones_share<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut service = stage.service();
    let mut earlier = service.clone();
    let _held = exhaust(stage, &mut service)?;
    refusal(stage, &mut earlier).map_err(|seen| format!("of a clone made before, {seen}"))?;

    let stage = stage.afresh();
    let mut service = stage.service();
    let _held = exhaust(&stage, &mut service)?;
    refusal(&stage, &mut service.clone())
        .map_err(|seen| format!("of a clone made after, {seen}"))?;
    Ok(())
}

pub(crate) fn layers_share<L: Subject>(stage: &Stage<'_, L>) -> Ruling {
    let mut earlier = stage.service();
    let _held = exhaust(stage, &mut stage.service())?;
    refusal(stage, &mut earlier).map_err(|seen| format!("of a service made before, {seen}"))?;

    let stage = stage.afresh();
    let _held = exhaust(&stage, &mut stage.service())?;
    refusal(&stage, &mut stage.service())
        .map_err(|seen| format!("of a service made after, {seen}"))?;

    let stage = stage.afresh();
    let clone = stage.layer.clone();
    let _held = exhaust(&stage, &mut stage.service())?;
    refusal(&stage, &mut clone.layer(stage.inner.probe()))
        .map_err(|seen| format!("of a service of a clone of the layer, {seen}"))?;
    Ok(())
}

/// Uses the layer up as its author has said.
fn exhaust<L: Subject>(
    stage: &Stage<'_, L>,
    service: &mut L::Service,
) -> Result<Vec<Running<L>>, String> {
    match stage.terms.exhaustion {
        Some(exhaustion) => exhaustion
            .act(stage, service)
            .map_err(|seen| format!("while the layer was used up, {seen}")),
        None => Err("nothing says what makes it refuse: refuses_after, or never_refuses".into()),
    }
}

/// Makes a call that has to be refused, and returns the error.
fn refusal<L: Subject>(stage: &Stage<'_, L>, service: &mut L::Service) -> Result<BoxError, String> {
    let before = stage.inner.counts().calls;
    let mut running = stage.start(service)?;
    let answer = stage.finish(&mut running);
    if stage.inner.counts().calls > before {
        return Err("the call went to the inner service".into());
    }
    match answer {
        Some(Err(error)) => Ok(error),
        Some(Ok(_)) => Err("the call succeeded".into()),
        None => Err("the call did not end".into()),
    }
}
