//! Leases of a limit that is kept elsewhere.

use std::convert::Infallible;
use std::future::{Ready, ready};

use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, Answer, Order, Store};
use watertight_ratelimit::{Decision, Quota, Status, TokenBucketLayer};

use crate::{Family, Limits, Row};

pub(super) fn family() -> Family {
    Family {
        name: "leased limit",
        rows: vec![
            // What most calls do: they spend what is held.
            Row::success("watertight token bucket, leased", || {
                let builder = TokenBucketLayer::builder("api", ample()).announce(false);
                let builder = builder.store(AmpleStore).lease(LEASE);
                builder.registry(&Registry::new()).build()
            })
            .within(SUCCESS),
        ],
    }
}

const LEASE: u64 = 1_000_000;

const SUCCESS: Limits = Limits {
    allocations: 0,
    locked: 6,
    clock: 1,
};

fn ample() -> Quota {
    Quota::per_second(1_000_000_000)
}

/// A store that has all that it is asked for, and says so at once.
#[derive(Clone, Copy, Debug)]
struct AmpleStore;

impl Store for AmpleStore {
    type Error = Infallible;
    type Asking = Ready<Result<Answer, Infallible>>;

    fn ask(&self, order: &Order<'_>) -> Self::Asking {
        let taken = match order.act {
            Act::Take(cost) | Act::TakeUpTo(cost) => cost,
            _ => 0,
        };
        let decision = Decision {
            admitted: true,
            status: Status::default(),
            retry_after: None,
        };
        ready(Ok(Answer::new(decision, taken)))
    }
}
