use std::ops::Range;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, Service, ServiceExt};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const OUTAGE: Range<u32> = 10..20;

/// How many calls a second the service answers.
pub(super) const SERVED: u32 = 300;

/// What came of the calls.
#[derive(Debug)]
pub(super) struct Answers {
    /// How many of those that began in each second were answered.
    pub(super) good: Vec<u32>,
    /// How long the others took, on average.
    pub(super) waited: Duration,
}

/// Makes `offered` calls a second, evenly spaced, for as many `seconds`.
pub(super) async fn offer<S>(stack: S, offered: u32, seconds: u32) -> Answers
where
    S: Service<(), Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for call in 0..offered * seconds {
        let after = SECOND * call / offered;
        sleep_until(start + after).await;
        let answer = stack.clone().oneshot(());
        calls.spawn(async move {
            let is_good = answer.await.is_ok();
            (
                after.as_secs() as usize,
                is_good,
                Instant::now() - start - after,
            )
        });
    }
    let mut good = vec![0; seconds as usize];
    let mut waited = Duration::ZERO;
    while let Some(call) = calls.join_next().await {
        let (second, is_good, took) = call.unwrap();
        good[second] += u32::from(is_good);
        if !is_good {
            waited += took;
        }
    }
    let others = offered * seconds - good.iter().sum::<u32>();
    Answers {
        good,
        waited: waited / others.max(1),
    }
}

/// Returns the second from which on every call was answered, if there is one.
pub(super) fn healed(good: &[u32], offered: u32) -> Option<u32> {
    let last = good.iter().rposition(|good| *good < offered)?;
    (last + 1 < good.len()).then_some(last as u32 + 1)
}

/// Returns what a second has of it on average.
pub(super) fn rate(of: &[u32], seconds: Range<u32>) -> f64 {
    let count = seconds.len() as f64;
    let seconds = seconds.start as usize..seconds.end as usize;
    f64::from(of[seconds].iter().sum::<u32>()) / count
}
