use std::time::Duration;

use watertight_core::ConfigError;
use watertight_ratelimit::store::{Act, Answer};
use watertight_ratelimit::{Decision, LeakyBucket, Quota, Status};

use crate::acts;
use crate::decisions;
use crate::numbers::Numbers;
use crate::units::{self, Rate};

/// The buckets of an order, as the script of that name reckons with them: token buckets, or one that
/// leaks.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    all: Vec<Bucket>,
    /// Of a leaky bucket, how much may start at once, and how long a call waits for more.
    pace: Option<Pace>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: Rate,
    burst: u64,
    debt: u64,
    window: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    slack: u64,
    patience: Duration,
}

/// What is owed of a bucket, in parts.
#[derive(Clone, Copy, Debug)]
struct Owed {
    parts: u128,
    /// How far the state is ahead of the clock.
    ahead: Duration,
}

impl Buckets {
    /// Makes the token buckets of `quotas`.
    pub(crate) fn new(quotas: &[Quota]) -> Self {
        Self {
            all: quotas.iter().map(Bucket::new).collect(),
            pace: None,
        }
    }

    /// Makes the bucket that leaks at the rate of `quota`: of the size of all that may be in it.
    ///
    /// # Errors
    ///
    /// If that is too large for a script.
    pub(crate) fn leaky(
        quota: &Quota,
        leaky: &LeakyBucket,
        patience: Duration,
    ) -> Result<Self, ConfigError> {
        let size = leaky.queue.saturating_add(leaky.slack).saturating_add(1);
        let quota = Quota::new(quota.tokens(), quota.period())
            .burst(size)
            .debt(quota.max_debt());
        units::validate(&[quota])?;
        Ok(Self {
            all: vec![Bucket::new(&quota)],
            pace: Some(Pace {
                slack: leaky.slack,
                patience: leaky.max_wait.map_or(patience, |most| most.min(patience)),
            }),
        })
    }

    /// Returns the arguments of the script, `None` for an act that it does not know.
    pub(crate) fn arguments(&self, act: Act) -> Option<Vec<String>> {
        let (name, amount, turn) = match act {
            Act::Take(cost) if self.pace.is_some() => ("book", cost, 0),
            Act::Leave { cost, turn } => ("leave", cost, turn),
            act => (acts::name(act)?, acts::amount(act), 0),
        };
        let mut arguments = vec![
            name.to_owned(),
            units::bounded(amount).to_string(),
            turn.to_string(),
        ];
        let labels = units::distinct(self.all.iter().map(|bucket| bucket.rate.label()));
        for (bucket, label) in self.all.iter().zip(labels) {
            let (tokens, parts) = self.open_up_to(bucket, act);
            arguments.push(label);
            arguments.extend(
                [
                    bucket.rate.period,
                    bucket.rate.tokens,
                    bucket.burst,
                    bucket.most(),
                    tokens,
                    parts,
                ]
                .map(|number| number.to_string()),
            );
        }
        Some(arguments)
    }

    /// Returns how much may be owed of a bucket at most for anything to be taken.
    fn open_up_to(&self, bucket: &Bucket, act: Act) -> (u64, u64) {
        let Some(pace) = self.pace else {
            return (bucket.most(), 0);
        };
        let patience = match act {
            Act::TakeUpTo(_) => Duration::ZERO,
            _ => pace.patience,
        };
        let (tokens, parts) = bucket.rate.coming_in(patience);
        match tokens.checked_add(pace.slack.into()) {
            Some(tokens) if tokens < bucket.most().into() => (tokens as u64, parts),
            _ => (bucket.most(), 0),
        }
    }

    /// Makes the answer to `act` of what the script has returned.
    pub(crate) fn answer(&self, act: Act, mut numbers: Numbers<'_>) -> Option<Answer> {
        let (admitted, taken) = (numbers.flag()?, numbers.next()?);
        let ahead = units::time(numbers.next()?);
        let turn = numbers.next()?;
        let mut owed = Vec::with_capacity(self.all.len());
        for bucket in &self.all {
            let parts = bucket.rate.parts(numbers.next()?) + u128::from(numbers.next()?);
            owed.push(Owed { parts, ahead });
        }
        let cost = acts::cost_asked(act, admitted, taken);
        let Some(pace) = self.pace else {
            let decision = self.decide(&owed, cost);
            return Some(Answer::new(decision, taken));
        };
        let (bucket, &owed) = (self.all.first()?, owed.first()?);
        let patience = match act {
            Act::TakeUpTo(_) => Duration::ZERO,
            _ => pace.patience,
        };
        let pace = Pace { patience, ..pace };
        let decision = bucket.decide_on_turn(owed, cost, pace);
        let wait = match act {
            // What costs nothing comes before no one.
            Act::Take(0) => Duration::ZERO,
            Act::Take(cost) if admitted => {
                let before = owed.parts.saturating_sub(bucket.rate.parts(cost));
                bucket.until_turn(
                    Owed {
                        parts: before,
                        ..owed
                    },
                    pace.slack,
                )
            }
            Act::Take(cost) if bucket.wait(owed, cost) == Some(Duration::ZERO) => {
                bucket.until_turn(owed, pace.slack)
            }
            _ => Duration::ZERO,
        };
        Some(Answer {
            decision,
            taken,
            wait,
            turn,
        })
    }

    /// Decides on a call of `cost` by what is owed: the quota that refuses it for longest says so,
    /// and else the one that has least left.
    fn decide(&self, owed: &[Owed], cost: u64) -> Decision {
        let buckets = self.all.iter().zip(owed).enumerate();
        let decisions = buckets.map(|(quota, (bucket, &owed))| {
            let mut decision = bucket.decide(owed, cost);
            decision.status.quota = quota;
            decision
        });
        decisions
            .reduce(decisions::stricter)
            .unwrap_or_else(decisions::nothing)
    }
}

impl Bucket {
    fn new(quota: &Quota) -> Self {
        Self {
            rate: Rate::of(quota),
            burst: quota.capacity(),
            debt: quota.max_debt(),
            window: quota.window(),
        }
    }

    /// Returns the most that can be owed.
    fn most(&self) -> u64 {
        self.burst.saturating_add(self.debt)
    }

    fn decide(&self, owed: Owed, cost: u64) -> Decision {
        let status = self.status(owed);
        match self.wait(owed, cost) {
            _ if cost == 0 => decisions::admitted(status),
            Some(Duration::ZERO) => decisions::admitted(status),
            wait => decisions::refused(status, wait),
        }
    }

    /// Decides on a call that waits for its turn as long as it has patience.
    fn decide_on_turn(&self, owed: Owed, cost: u64, pace: Pace) -> Decision {
        let decision = self.decide(owed, cost);
        let too_long = self
            .until_turn(owed, pace.slack)
            .saturating_sub(pace.patience);
        if cost == 0 || too_long.is_zero() || cost > self.burst {
            return decision;
        }
        let too_full = decision.retry_after.unwrap_or_default();
        decisions::refused(decision.status, Some(too_full.max(too_long)))
    }

    /// Returns how long it takes until no more than the slack is owed.
    fn until_turn(&self, owed: Owed, slack: u64) -> Duration {
        self.until(owed, self.rate.parts(slack))
    }

    /// Returns how long it takes until `cost` tokens are there, `None` if they never are.
    fn wait(&self, owed: Owed, cost: u64) -> Option<Duration> {
        let most = self.burst.checked_sub(cost)?;
        Some(self.until(owed, self.rate.parts(most)))
    }

    /// Returns how long it takes until no more than so many parts are owed.
    fn until(&self, owed: Owed, parts: u128) -> Duration {
        match owed.parts.checked_sub(parts) {
            None | Some(0) => Duration::ZERO,
            Some(parts) => self.rate.time_of(parts).saturating_add(owed.ahead),
        }
    }

    fn status(&self, owed: Owed) -> Status {
        let taken = owed.parts.div_ceil(u128::from(self.rate.period.max(1)));
        let taken = u64::try_from(taken).unwrap_or(u64::MAX);
        Status {
            quota: 0,
            limit: self.burst,
            remaining: self.burst.saturating_sub(taken),
            reset: self.until(owed, 0),
            window: self.window,
        }
    }
}
