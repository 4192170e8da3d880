use std::time::Duration;

use tokio::time::Instant;

/// Tells a standing queue from a burst: the controlled delay of Nichols and Jacobson (RFC 8289), in
/// the form in which Facebook's servers have it (Maurer, "Fail at Scale", ACM Queue 13(8), 2015).
///
/// A burst is waited out: somebody is served soon after he came before an interval is over. A queue
/// in which everybody has waited for longer than the target all the time stands. Then to serve who
/// came first makes all of them late, and who came last is served in time.
#[derive(Debug)]
pub(crate) struct CoDel {
    target: Duration,
    interval: Duration,
    /// Since when whoever came first had waited for longer than the target.
    late_since: Option<Instant>,
    /// Whether a queue has stood, and there has been somebody in it ever since.
    stands: bool,
}

impl CoDel {
    /// "M" of the article, and the target of RFC 8289, section 4.4.
    const TARGET: Duration = Duration::from_millis(5);
    /// "N" of the article, and the interval of RFC 8289, section 4.3.
    const INTERVAL: Duration = Duration::from_millis(100);

    pub(crate) const fn new() -> Self {
        Self::with(Self::TARGET, Self::INTERVAL)
    }

    pub(crate) const fn with(target: Duration, interval: Duration) -> Self {
        Self {
            target,
            interval,
            late_since: None,
            stands: false,
        }
    }

    /// Takes note since when the one has been waiting who came first, and returns whether the
    /// queue stands.
    pub(crate) fn look(&mut self, oldest: Option<Instant>, now: Instant) -> bool {
        let Some(oldest) = oldest else {
            self.late_since = None;
            self.stands = false;
            return false;
        };
        let late_since = oldest + self.target;
        if now < late_since {
            self.late_since = None;
        } else {
            let since = *self.late_since.get_or_insert(late_since);
            self.stands |= now >= since + self.interval;
        }
        self.stands
    }

    /// Whether somebody who has been waiting `since` then is not worth serving, with others waiting
    /// who came later.
    pub(crate) fn gives_up(&self, since: Instant, now: Instant) -> bool {
        self.stands && now >= since + self.target
    }

    /// Returns when somebody who has been waiting `since` then is to be looked at again: once he may
    /// be given up.
    pub(crate) fn look_again(&self, since: Instant) -> Instant {
        if self.stands {
            since + self.target
        } else {
            since + self.target + self.interval
        }
    }
}
