//! What the words of core cost that calls use, beside one atomic add.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tower::retry::budget::Budget as _;
use watertight_core::{Budget, BudgetCall, Context, Quantile, Record, Tally, Window};

use super::floor::Before;
use crate::{Family, Row, peers};

pub(super) fn family() -> Family {
    Family {
        name: "core",
        rows: vec![
            Row::success("fetch_add", || {
                let counter = Arc::new(AtomicU64::new(0));
                Before(move || {
                    counter.fetch_add(1, Ordering::Relaxed);
                })
            })
            .reference(),
            Row::success("Context::with, none set", || {
                Before(|| {
                    black_box(Context::with(|context| context.is_some()));
                })
            }),
            Row::success("tower's TpsBudget::deposit", || {
                let budget = Arc::new(peers::tower::tps_budget());
                Before(move || budget.deposit())
            }),
            Row::success("BudgetCall, of a ratio", || {
                let budget = Arc::new(Budget::ratio(0.1));
                Before(move || drop(black_box(BudgetCall::new(&*budget))))
            }),
            Row::success("Quantile::record", || {
                let now = Instant::now();
                let quantile = Arc::new(Quantile::new(Duration::from_secs(30), now));
                Before(move || quantile.record(black_box(Duration::from_millis(7)), now))
            }),
            Row::success("Tally::success", || {
                let now = Instant::now();
                let tally = Arc::new(Tally::new(Window::calls(100), 0, now));
                Before(move || {
                    black_box(tally.success(0, || now));
                })
            }),
            Row::success("Tally::record, a failure", || {
                let now = Instant::now();
                let tally = Arc::new(Tally::new(Window::calls(100), 0, now));
                Before(move || {
                    black_box(tally.record(0, Record::FAILURE, || now));
                })
            }),
        ],
    }
}
