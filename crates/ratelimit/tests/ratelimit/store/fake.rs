use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::sleep;
use watertight_core::{ConfigError, Key};
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, Answer, InStore, Order, Rule, Store, StoreError};
use watertight_ratelimit::{
    Decision, Quotas, RateLimitBuilder, Rules, Status, TokenBucket, TokenBucketLayer,
};

use crate::stage::SECOND;

/// A store that does as it is told, and remembers what it was asked. Nothing comes back by itself.
#[derive(Clone, Debug)]
pub(crate) struct Fake(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    taken: HashMap<(&'static str, Option<Key>), u64>,
    asked: Vec<Asked>,
    /// How long the next turn is away.
    wait: Duration,
}

/// What the store was asked: the policy, what it was to do, the patience, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Asked {
    pub(crate) policy: &'static str,
    pub(crate) act: Act,
    pub(crate) patience: Duration,
    pub(crate) timeout: Duration,
}

/// How the store goes about it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    AnswersAtOnce,
    AnswersAfter(Duration),
    NeverAnswers,
    /// It errs when the time of the order is over.
    GivesUp,
    Errs,
    ErrsAfter(Duration),
    PanicsWhenAsked,
    PanicsWhenPolled,
}

impl Fake {
    /// It can keep no quota that is greater.
    pub(crate) const MOST: u64 = 1_000_000;

    pub(crate) fn that(behaviour: Behaviour) -> Self {
        Self(Arc::new(Mutex::new(State {
            behaviour,
            taken: HashMap::new(),
            asked: Vec::new(),
            wait: Duration::ZERO,
        })))
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.state().behaviour = behaviour;
    }

    pub(crate) fn give_turns_after(&self, wait: Duration) {
        self.state().wait = wait;
    }

    /// Returns what it was asked since this was called last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    /// Returns what it was to do since this was called last.
    pub(crate) fn acts(&self) -> Vec<Act> {
        self.asked().into_iter().map(|asked| asked.act).collect()
    }

    /// Returns how much has been taken of a policy without a key.
    pub(crate) fn taken(&self, policy: &'static str) -> u64 {
        let taken = self.state().taken.get(&(policy, None)).copied();
        taken.unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn serve(&mut self, order: &Order<'_>) -> Answer {
        let limit = order.rule.quotas()[0].capacity();
        let has_turns = matches!(order.rule, Rule::LeakyBucket(..));
        let taken = self.taken.entry((order.policy.as_str(), order.key));
        let taken = taken.or_default();
        let left = limit.saturating_sub(*taken);
        let mut wait = Duration::ZERO;
        let took = match order.act {
            Act::Take(cost) if has_turns && self.wait > order.patience => {
                wait = self.wait;
                (cost == 0).then_some(0)
            }
            Act::Take(cost) if has_turns => {
                wait = self.wait;
                (cost <= left).then_some(cost)
            }
            Act::Take(cost) => (cost <= left).then_some(cost),
            Act::TakeUpTo(most) => Some(most.min(left)).filter(|took| *took > 0 || most == 0),
            Act::Charge(cost) => Some(cost),
            Act::GiveBack(cost) | Act::Leave { cost, .. } => {
                *taken = taken.saturating_sub(cost);
                Some(0)
            }
            Act::Peek(cost) => (cost <= left).then_some(0),
            other => panic!("{other:?} is new"),
        };
        *taken += took.unwrap_or(0);
        let status = Status {
            quota: 0,
            limit,
            remaining: limit.saturating_sub(*taken),
            reset: SECOND,
            window: SECOND,
        };
        let decision = Decision {
            admitted: took.is_some(),
            status,
            retry_after: took.is_none().then_some(SECOND),
        };
        Answer {
            wait,
            turn: 7,
            ..Answer::new(decision, took.unwrap_or(0))
        }
    }
}

impl Store for Fake {
    type Error = io::Error;
    type Asking = Pin<Box<dyn Future<Output = io::Result<Answer>> + Send>>;

    fn check(&self, rule: &Rule<'_>) -> Result<(), ConfigError> {
        let mut quotas = rule.quotas().iter();
        match quotas.find(|quota| quota.tokens() > Self::MOST) {
            Some(quota) => Err(ConfigError::new("quota.tokens", quota.tokens(), "less")),
            None => Ok(()),
        }
    }

    fn ask(&self, order: &Order<'_>) -> Self::Asking {
        let mut state = self.state();
        state.asked.push(Asked {
            policy: order.policy.as_str(),
            act: order.act,
            patience: order.patience,
            timeout: order.timeout,
        });
        let behaviour = state.behaviour;
        if matches!(behaviour, Behaviour::PanicsWhenAsked) {
            drop(state);
            panic!("in the store");
        }
        let answer = state.serve(order);
        let timeout = order.timeout;
        Box::pin(async move {
            match behaviour {
                Behaviour::AnswersAfter(time) => sleep(time).await,
                Behaviour::NeverAnswers => pending().await,
                Behaviour::GivesUp => {
                    sleep(timeout).await;
                    return Err(io::Error::other(Late));
                }
                Behaviour::Errs => return Err(io::Error::other("the store is full")),
                Behaviour::ErrsAfter(time) => {
                    sleep(time).await;
                    return Err(io::Error::other("the store is full"));
                }
                Behaviour::PanicsWhenPolled => panic!("in the store"),
                Behaviour::AnswersAtOnce | Behaviour::PanicsWhenAsked => {}
            }
            Ok(answer)
        })
    }
}

/// The store has no answer in time.
#[derive(Debug)]
struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too late")
    }
}

impl Error for Late {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&StoreError::TimedOut)
    }
}

/// Starts the making of a token bucket that is kept in `store`.
pub(crate) fn bucket_in(
    store: &Fake,
    quotas: impl Into<Quotas>,
) -> RateLimitBuilder<TokenBucket, Rules, InStore<Fake>> {
    TokenBucketLayer::builder("api", quotas)
        .registry(&Registry::new())
        .store(store.clone())
}
