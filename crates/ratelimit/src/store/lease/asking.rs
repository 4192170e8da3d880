use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Key, Name};

use super::entry::{Follower, Lead, Step};
use super::error::LeaseError;
use crate::store::{Act, Answer, Order, Rule, Store};
use crate::{Quotas, SlidingWindow};

/// What a [`Leased`](super::Leased) answers, which is at once while there are permits left.
///
/// While there are none it is to be polled in a tokio runtime.
#[must_use = "futures do nothing unless polled"]
pub struct LeasedAsking<St: Store>(State<St>);

enum State<St: Store> {
    /// `None` once it has been said.
    Answered(Option<Answer>),
    /// The store itself is asked.
    Passes(St::Asking),
    /// It asks the store for all.
    Leads(Box<Leads<St>>),
    /// It waits for who does.
    Follows(Box<Follows<St>>),
    Over,
}

struct Leads<St: Store> {
    lead: Lead<St::Error>,
    asking: St::Asking,
    wanted: u64,
    call: Call,
}

struct Follows<St: Store> {
    follower: Follower<St::Error>,
    store: St,
    call: Call,
}

/// A call for which there are no permits yet.
pub(super) struct Call {
    policy: Name,
    key: Option<Key>,
    quotas: Quotas,
    /// `None` for a token bucket.
    window: Option<SlidingWindow>,
    cost: u64,
    /// How many permits are held at most.
    most: u64,
    /// Until when it waits, if not for ever.
    until: Option<Instant>,
}

impl Call {
    /// Returns what an order to take `cost` comes to: `None` where there are turns.
    pub(super) fn new(order: &Order<'_>, cost: u64, most: u64, now: Instant) -> Option<Self> {
        let (quotas, window) = match order.rule {
            Rule::TokenBucket(quotas) => (quotas.clone(), None),
            Rule::SlidingWindow(quotas, window) => (quotas.clone(), Some(window)),
            Rule::LeakyBucket(..) => return None,
        };
        Some(Self {
            policy: order.policy,
            key: order.key,
            quotas,
            window,
            cost,
            most,
            until: now.checked_add(order.timeout),
        })
    }

    fn order(&self, wanted: u64) -> Order<'_> {
        Order {
            policy: self.policy,
            key: self.key,
            rule: match self.window {
                Some(window) => Rule::SlidingWindow(&self.quotas, window),
                None => Rule::TokenBucket(&self.quotas),
            },
            act: Act::TakeUpTo(wanted),
            patience: Duration::MAX,
            timeout: self.until.map_or(Duration::MAX, |until| {
                until.saturating_duration_since(Instant::now())
            }),
        }
    }
}

impl<St: Store> LeasedAsking<St> {
    pub(super) const fn answered(answer: Answer) -> Self {
        Self(State::Answered(Some(answer)))
    }

    pub(super) const fn passes(asking: St::Asking) -> Self {
        Self(State::Passes(asking))
    }

    pub(super) fn leads(lead: Lead<St::Error>, wanted: u64, store: &St, call: Call) -> Self {
        Self(State::Leads(Box::new(Leads {
            // If this panics, the lead is another's.
            asking: store.ask(&call.order(wanted)),
            lead,
            wanted,
            call,
        })))
    }

    pub(super) fn follows(follower: Follower<St::Error>, store: St, call: Call) -> Self {
        Self(State::Follows(Box::new(Follows {
            follower,
            store,
            call,
        })))
    }
}

impl<St: Store> Future for LeasedAsking<St> {
    type Output = Result<Answer, LeaseError<St::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                State::Answered(answer) => {
                    let answer = answer.take().expect("an answer is given only once");
                    return Poll::Ready(Ok(answer));
                }
                State::Passes(asking) => {
                    return Pin::new(asking).poll(cx).map_err(LeaseError::new);
                }
                State::Leads(leads) => {
                    let answer = ready!(Pin::new(&mut leads.asking).poll(cx));
                    let State::Leads(leads) = std::mem::replace(&mut self.0, State::Over) else {
                        unreachable!("it was that just now");
                    };
                    let Leads {
                        lead, wanted, call, ..
                    } = *leads;
                    let figures = (call.cost, wanted, call.most);
                    return Poll::Ready(lead.end(answer, figures, call.quotas.as_slice()));
                }
                State::Follows(follows) => {
                    let (cost, quotas) = (follows.call.cost, follows.call.quotas.as_slice());
                    match ready!(follows.follower.poll(cost, quotas, cx))? {
                        Step::Answered(answer) => {
                            self.0 = State::Over;
                            return Poll::Ready(Ok(answer));
                        }
                        Step::Leads(lead, wanted) => {
                            let State::Follows(follows) =
                                std::mem::replace(&mut self.0, State::Over)
                            else {
                                unreachable!("it was that just now");
                            };
                            let Follows { store, call, .. } = *follows;
                            *self = Self::leads(lead, wanted, &store, call);
                        }
                        Step::Follows(_) => unreachable!("who waits already goes on waiting"),
                    }
                }
                State::Over => panic!("an answer is given only once"),
            }
        }
    }
}

/// What is polled in it can be moved.
impl<St: Store> Unpin for LeasedAsking<St> {}

impl<St: Store> fmt::Debug for LeasedAsking<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedAsking").finish_non_exhaustive()
    }
}
