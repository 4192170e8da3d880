use std::time::Duration;

use watertight_core::ConfigError;
use watertight_ratelimit::store::{Act, Answer};
use watertight_ratelimit::{Decision, Quota, Status};

use crate::acts;
use crate::decisions;
use crate::numbers::Numbers;
use crate::units;

/// The most records of a log. A script holds up all of Redis while it runs, and one that drops so
/// many takes some milliseconds.
const MAX_LOGGED: u64 = 10_000;

/// The logs of an order, as the script of that name reckons with them: each of what was taken in a
/// period.
#[derive(Clone, Debug)]
pub(crate) struct Logs(Vec<Log>);

#[derive(Clone, Copy, Debug)]
struct Log {
    limit: u64,
    /// The most that penalties make of it.
    most: u64,
    period: Duration,
    /// In ticks of the clock.
    length: u64,
}

impl Logs {
    /// Makes the logs of `quotas`.
    ///
    /// # Errors
    ///
    /// If one of them would be too long.
    pub(crate) fn new(quotas: &[Quota]) -> Result<Self, ConfigError> {
        for quota in quotas {
            if quota.tokens() > MAX_LOGGED {
                let allowed = format!("in 1..={MAX_LOGGED} for an exact window in Redis");
                return Err(ConfigError::new("quota.tokens", quota.tokens(), allowed));
            }
        }
        Ok(Self(quotas.iter().map(Log::new).collect()))
    }

    /// Returns the arguments of the script, `None` for an act that it does not know.
    pub(crate) fn arguments(&self, act: Act) -> Option<Vec<String>> {
        let amount = units::bounded(acts::amount(act));
        let mut arguments = vec![acts::name(act)?.to_owned(), amount.to_string()];
        let labels = self.0.iter().map(|log| log.length.to_string());
        for (log, label) in self.0.iter().zip(units::distinct(labels)) {
            arguments.push(label);
            let numbers = [log.length, log.limit, log.most];
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
        for (quota, log) in self.0.iter().enumerate() {
            let (used, empty_at) = (numbers.next()?, numbers.next()?);
            let room_at = numbers.next_signed()?;
            let until = |tick: u64| units::time(tick.saturating_sub(at.saturating_sub(ahead)));
            let status = Status {
                quota,
                limit: log.limit,
                remaining: log.limit.saturating_sub(used),
                reset: until(empty_at),
                window: log.period,
            };
            let decision = if cost <= status.remaining {
                decisions::admitted(status)
            } else {
                decisions::refused(status, u64::try_from(room_at).ok().map(until))
            };
            strictest =
                Some(strictest.map_or(decision, |so_far| decisions::stricter(so_far, decision)));
        }
        let decision = strictest.unwrap_or_else(decisions::nothing);
        Some(Answer::new(decision, taken))
    }
}

impl Log {
    fn new(quota: &Quota) -> Self {
        Self {
            limit: quota.tokens(),
            most: quota.tokens().saturating_add(quota.max_debt()),
            period: quota.period(),
            length: units::ticks(quota.period()).max(1),
        }
    }
}
