use std::fmt;
use std::time::Duration;

use watertight_core::ConfigError;
use watertight_ratelimit::SlidingWindow;
use watertight_ratelimit::store::{Act, Answer, Order, Rule};

use crate::Error;
use crate::bucket::Buckets;
use crate::counters::Counters;
use crate::log::Logs;
use crate::numbers::Numbers;
use crate::script::{self, Script};
use crate::units;

/// An order, as Redis understands it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) key: String,
    pub(crate) arguments: Vec<String>,
    /// How long the answer is waited for.
    pub(crate) timeout: Duration,
    act: Act,
    way: Way,
}

/// How it is counted what has been taken.
#[derive(Clone, Debug)]
enum Way {
    Buckets(Buckets),
    Counters(Counters),
    Logs(Logs),
}

impl Question {
    /// Makes the question of an order. The names of all keys begin with `prefix`.
    ///
    /// # Errors
    ///
    /// If the order has numbers that a script cannot reckon with, or is of a kind that is not known
    /// here.
    pub(crate) fn new(prefix: &str, order: &Order<'_>) -> Result<Self, Error> {
        let (kind, way) = way(order.rule, order.patience)?;
        let arguments = match &way {
            Way::Buckets(buckets) => buckets.arguments(order.act),
            Way::Counters(counters) => counters.arguments(order.act),
            Way::Logs(logs) => logs.arguments(order.act),
        };
        Ok(Self {
            key: name_of_key(prefix, order, &kind),
            arguments: arguments.ok_or_else(|| unknown("act", order.act))?,
            timeout: order.timeout,
            act: order.act,
            way,
        })
    }

    /// Returns the script that answers it.
    pub(crate) fn script(&self) -> &'static Script {
        match self.way {
            Way::Buckets(_) => &script::BUCKET,
            Way::Counters(_) => &script::COUNTERS,
            Way::Logs(_) => &script::LOG,
        }
    }

    /// Makes the answer of what the script has returned.
    ///
    /// # Errors
    ///
    /// If that is not what a script of ours returns.
    pub(crate) fn answer(&self, returned: &[i64]) -> Result<Answer, Error> {
        let numbers = Numbers::new(returned);
        let answer = match &self.way {
            Way::Buckets(buckets) => buckets.answer(self.act, numbers),
            Way::Counters(counters) => counters.answer(self.act, numbers),
            Way::Logs(logs) => logs.answer(self.act, numbers),
        };
        answer.ok_or(Error::Unreadable)
    }
}

/// Checks whether scripts can reckon so.
///
/// # Errors
///
/// If a number is too large for them, or the rule is not known here.
pub(crate) fn check(rule: Rule<'_>) -> Result<(), ConfigError> {
    way(rule, Duration::MAX).map(drop)
}

/// Returns how it is counted by a rule, and what that is called: what is counted in another way is
/// kept under another name.
fn way(rule: Rule<'_>, patience: Duration) -> Result<(String, Way), ConfigError> {
    let quotas = rule.quotas();
    units::validate(quotas)?;
    Ok(match rule {
        Rule::TokenBucket(_) => ("token".into(), Way::Buckets(Buckets::new(quotas))),
        Rule::LeakyBucket(quota, leaky) => {
            let bucket = Buckets::leaky(quota, &leaky, patience)?;
            ("leaky".into(), Way::Buckets(bucket))
        }
        Rule::SlidingWindow(_, SlidingWindow::Approximate) => {
            ("window".into(), Way::Counters(Counters::new(quotas, 1)))
        }
        Rule::SlidingWindow(_, SlidingWindow::Buckets(buckets)) => {
            let counters = Counters::new(quotas, buckets);
            (format!("window{buckets}"), Way::Counters(counters))
        }
        Rule::SlidingWindow(_, SlidingWindow::Exact) => {
            ("log".into(), Way::Logs(Logs::new(quotas)?))
        }
        _ => return Err(unknown("rule", rule)),
    })
}

fn unknown(field: &'static str, value: impl fmt::Debug) -> ConfigError {
    ConfigError::new(field, value, "one that this store knows")
}

/// Names the key that an order is about. What was hashed cannot be read back from it, and the braces
/// keep all of a policy and key in one slot of a cluster.
fn name_of_key(prefix: &str, order: &Order<'_>, kind: &str) -> String {
    let policy = order.policy.as_str();
    match order.key {
        Some(key) => format!("{prefix}:{{{policy}:{key}}}:{kind}"),
        None => format!("{prefix}:{{{policy}}}:{kind}"),
    }
}
