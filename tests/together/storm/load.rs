use std::ops::Range;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, Service, ServiceExt};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const OUTAGE: Range<u32> = 10..20;

/// How many calls a second the service answers.
pub(super) const SERVED: u32 = 300;

/// Makes `offered` calls a second, evenly spaced, for as many `seconds`. Returns how many of those
/// that began in each second were answered.
pub(super) async fn offer<S>(stack: S, offered: u32, seconds: u32) -> Vec<u32>
where
    S: Service<(), Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for call in 0..offered * seconds {
        let after = SECOND * call / offered;
        sleep_until(start + after).await;
        let stack = stack.clone();
        calls.spawn(async move { (after.as_secs() as usize, stack.oneshot(()).await.is_ok()) });
    }
    let mut good = vec![0; seconds as usize];
    while let Some(call) = calls.join_next().await {
        let (second, is_good) = call.unwrap();
        good[second] += u32::from(is_good);
    }
    good
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
