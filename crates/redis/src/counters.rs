use std::time::Duration;

use watertight_ratelimit::store::{Act, Answer};
use watertight_ratelimit::{Decision, Quota, Status};

use crate::acts;
use crate::decisions;
use crate::numbers::Numbers;
use crate::units;

/// The windows of an order, as the script of that name reckons with them: each in buckets, of which
/// the oldest fades.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    all: Vec<Window>,
    buckets: u64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    limit: u64,
    /// The most that penalties make of it.
    most: u64,
    period: Duration,
    /// How long a bucket is, in ticks of the clock.
    length: u64,
}

/// What is in a window at one time.
#[derive(Debug)]
struct Taken {
    at: u64,
    /// How far the state is ahead of the clock, in ticks.
    ahead: u64,
    /// The index of each bucket that counts something and its count, the oldest first.
    counts: Vec<(u64, u64)>,
}

impl Counters {
    /// Makes the windows of `quotas`, each in so many buckets.
    pub(crate) fn new(quotas: &[Quota], buckets: u32) -> Self {
        let buckets = u64::from(buckets.max(1));
        Self {
            all: quotas
                .iter()
                .map(|quota| Window::new(quota, buckets))
                .collect(),
            buckets,
        }
    }

    /// Returns the arguments of the script, `None` for an act that it does not know.
    pub(crate) fn arguments(&self, act: Act) -> Option<Vec<String>> {
        let amount = units::bounded(acts::amount(act));
        let mut arguments = vec![acts::name(act)?.to_owned(), amount.to_string()];
        let labels = self.all.iter().map(|window| window.length.to_string());
        for (window, label) in self.all.iter().zip(units::distinct(labels)) {
            let &Window {
                limit,
                most,
                length,
                ..
            } = window;
            arguments.push(label);
            let numbers = [length, self.buckets, limit, most];
            arguments.extend(numbers.map(|number| number.to_string()));
        }
        Some(arguments)
    }

    /// Makes the answer to `act` of what the script has returned.
    pub(crate) fn answer(&self, act: Act, mut numbers: Numbers<'_>) -> Option<Answer> {
        let (admitted, taken) = (numbers.flag()?, numbers.next()?);
        let (at, ahead) = (numbers.next()?, numbers.next()?);
        let cost = acts::cost_asked(act, admitted, taken);
        let mut strictest: Option<Decision> = None;
        for (quota, window) in self.all.iter().enumerate() {
            let mut counts = Vec::new();
            let mut sum = 0_u64;
            for _ in 0..numbers.next()? {
                let (index, count) = (numbers.next()?, numbers.next()?);
                sum = sum.checked_add(count)?;
                counts.push((index, count));
            }
            let mut decision = window.decide(&Taken { at, ahead, counts }, cost, self.buckets);
            decision.status.quota = quota;
            strictest =
                Some(strictest.map_or(decision, |so_far| decisions::stricter(so_far, decision)));
        }
        let decision = strictest.unwrap_or_else(decisions::nothing);
        Some(Answer::new(decision, taken))
    }
}

impl Window {
    fn new(quota: &Quota, buckets: u64) -> Self {
        Self {
            limit: quota.tokens(),
            most: quota.tokens().saturating_add(quota.max_debt()),
            period: quota.period(),
            length: units::ticks(quota.period()).div_ceil(buckets).max(1),
        }
    }

    fn decide(&self, taken: &Taken, cost: u64, buckets: u64) -> Decision {
        let remaining = self.limit.saturating_sub(self.used(taken, buckets));
        let until = |most| {
            let at = self.falls_to(taken, most, buckets);
            units::time(at.saturating_sub(taken.at.saturating_sub(taken.ahead)))
        };
        let status = Status {
            quota: 0,
            limit: self.limit,
            remaining,
            reset: until(0),
            window: self.period,
        };
        if cost <= remaining {
            return decisions::admitted(status);
        }
        decisions::refused(status, self.limit.checked_sub(cost).map(until))
    }

    /// Returns how much is in the window, rounded up.
    fn used(&self, taken: &Taken, buckets: u64) -> u64 {
        let running = taken.at / self.length;
        let left = (running + 1) * self.length - taken.at;
        let in_it = taken.counts.iter().map(|&(index, count)| {
            if index + buckets == running {
                let faded = u128::from(count) * u128::from(left);
                // It is no more than the count.
                faded.div_ceil(self.length.into()) as u64
            } else {
                count
            }
        });
        in_it.fold(0, u64::saturating_add)
    }

    /// Returns the tick at which no more than `most` is in the window, if nothing comes to it.
    fn falls_to(&self, taken: &Taken, most: u64, buckets: u64) -> u64 {
        let mut later = taken.counts.iter().map(|&(_, count)| count).sum::<u64>();
        let fading = taken.counts.iter().find_map(|&(index, count)| {
            later -= count;
            // What is left of this bucket by then, when all that is older has gone.
            let left = most.checked_sub(later)?;
            Some(self.fades_to(index + buckets, count, left))
        });
        // Nothing counts where there is nothing.
        fading.unwrap_or(taken.at).max(taken.at)
    }

    /// Returns the tick at which no more than `most` is left of the `count` of a bucket that begins to
    /// fade with the one of this `index`, 0 if it is no more before.
    fn fades_to(&self, index: u64, count: u64, most: u64) -> u64 {
        if count <= most {
            return 0;
        }
        // It is no more than the length.
        let left = u128::from(most) * u128::from(self.length) / u128::from(count);
        let elapsed = self.length - left as u64;
        index.saturating_mul(self.length).saturating_add(elapsed)
    }
}
