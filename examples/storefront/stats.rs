//! What the visitors saw: in the current second, in each tenth of a second, and in all. A page
//! counts when its visitor has it, or has lost patience.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::incident::Phases;
use crate::latencies::Latencies;
use crate::load::GIVE_UP;
use crate::page::{Verdict, Visitor};

/// A visitor that is sent this late does not put the load on the shop that it should.
const LATE: Duration = Duration::from_millis(100);

/// How finely the time to recovery is told.
const SLOT: Duration = Duration::from_millis(100);
const SLOTS_PER_SECOND: usize = 10;

/// The share of normal pages from which a second is normal.
const NORMAL: f64 = 0.99;

/// A good page that comes later than this is not normal: one takes some 20 ms on a healthy day.
const PROMPT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Stats {
    phases: Phases,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    second: Tally,
    total: Tally,
    in_stall: Tally,
    in_hang: Tally,
    in_abuse: Tally,
    slots: Vec<Slot>,
    late: u64,
}

/// What some visitors saw.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) offered: u64,
    pub(crate) good: u64,
    pub(crate) degraded: u64,
    /// All that are neither.
    pub(crate) failed: u64,
    /// The failed ones of which too many were asked for from one address.
    pub(crate) refused: u64,
    latencies: Latencies,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    pages: u64,
    normal: u64,
}

/// What all visitors saw.
#[derive(Debug)]
pub(crate) struct Totals {
    pub(crate) tally: Tally,
    /// How many were sent late, or not at all.
    pub(crate) late: u64,
    /// What those saw who came while the inventory stalled.
    pub(crate) in_stall: Tally,
    /// What those saw who came while other upstreams hung than their page needs.
    pub(crate) in_hang: Tally,
    /// What those saw who came while one client asked for far more than its share.
    pub(crate) in_abuse: Tally,
    slots: Vec<Slot>,
}

impl Stats {
    pub(crate) fn new(phases: Phases) -> Self {
        Self {
            phases,
            inner: Mutex::new(Inner {
                second: Tally::new(),
                total: Tally::new(),
                in_stall: Tally::new(),
                in_hang: Tally::new(),
                in_abuse: Tally::new(),
                slots: Vec::new(),
                late: 0,
            }),
        }
    }

    /// Counts a visitor that was to come now.
    pub(crate) fn offered(&self, visitor: Visitor) {
        self.each(visitor, |tally| tally.offered += 1);
    }

    /// Counts one who found no room to wait in.
    pub(crate) fn turned_away(&self, visitor: Visitor) {
        self.took(visitor, GIVE_UP);
        self.each(visitor, |tally| tally.failed += 1);
        self.lock().late += 1;
    }

    /// Notes how long after its time a visitor came.
    pub(crate) fn sent(&self, late_by: Duration) {
        if late_by > LATE {
            self.lock().late += 1;
        }
    }

    /// Counts what became of a visitor who had an answer, or none, `at` then, from the start.
    pub(crate) fn answered(&self, visitor: Visitor, at: Duration, verdict: Verdict) {
        self.each(visitor, |tally| match verdict {
            Verdict::Good => tally.good += 1,
            Verdict::Degraded => tally.degraded += 1,
            Verdict::Refused => {
                tally.failed += 1;
                tally.refused += 1;
            }
            Verdict::Failed => tally.failed += 1,
        });
        let prompt = at.saturating_sub(visitor.due) <= PROMPT;
        let mut inner = self.lock();
        let slot = inner.slot(at);
        slot.pages += 1;
        slot.normal += u64::from(verdict == Verdict::Good && prompt);
    }

    /// Records how long after its time a visitor left.
    pub(crate) fn took(&self, visitor: Visitor, latency: Duration) {
        self.each(visitor, |tally| tally.latencies.record(latency));
    }

    /// Returns what has been seen since the last call.
    pub(crate) fn take_second(&self) -> Tally {
        std::mem::replace(&mut self.lock().second, Tally::new())
    }

    /// Returns what has been seen in all, and starts anew.
    pub(crate) fn take_totals(&self) -> Totals {
        let mut inner = self.lock();
        Totals {
            tally: std::mem::replace(&mut inner.total, Tally::new()),
            late: std::mem::take(&mut inner.late),
            in_stall: std::mem::replace(&mut inner.in_stall, Tally::new()),
            in_hang: std::mem::replace(&mut inner.in_hang, Tally::new()),
            in_abuse: std::mem::replace(&mut inner.in_abuse, Tally::new()),
            slots: std::mem::take(&mut inner.slots),
        }
    }

    /// Does the same to each tally that the visitor belongs to.
    fn each(&self, visitor: Visitor, f: impl Fn(&mut Tally)) {
        let mut inner = self.lock();
        f(&mut inner.second);
        f(&mut inner.total);
        if self.phases.stall.contains(&visitor.due) {
            f(&mut inner.in_stall);
        }
        if visitor.page.is_bystander() && self.phases.hang.contains(&visitor.due) {
            f(&mut inner.in_hang);
        }
        if self.phases.abuse.contains(&visitor.due) {
            f(&mut inner.in_abuse);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn slot(&mut self, at: Duration) -> &mut Slot {
        let slot = slot(at);
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, Slot::default());
        }
        &mut self.slots[slot]
    }
}

impl Tally {
    fn new() -> Self {
        Self {
            offered: 0,
            good: 0,
            degraded: 0,
            failed: 0,
            refused: 0,
            latencies: Latencies::new(),
        }
    }

    /// Returns the share of pages that came in time, whole or not.
    pub(crate) fn served(&self) -> f64 {
        share(self.good + self.degraded, self.offered)
    }

    /// Returns the share of pages that came in time and lacked something.
    pub(crate) fn degraded(&self) -> f64 {
        share(self.degraded, self.offered)
    }

    /// Returns how long the quickest `share` of the visits took, of those that are over.
    pub(crate) fn latency(&self, share: f64) -> Option<Duration> {
        self.latencies.quantile(share)
    }
}

impl Totals {
    /// Returns how long after `end`, when the last fault ended, the first second begins in which
    /// all is well: at least 99 of 100 pages are good and come within half a second.
    pub(crate) fn recovery(&self, end: Duration) -> Option<Duration> {
        let first = slot(end + SLOT - Duration::from_nanos(1));
        let after = self.slots.get(first..)?;
        let slots = after.windows(SLOTS_PER_SECOND).position(|second| {
            let pages = second.iter().map(|slot| slot.pages).sum();
            let normal = second.iter().map(|slot| slot.normal).sum();
            share(normal, pages) >= NORMAL
        })?;
        Some(SLOT * u32::try_from(first + slots).ok()? - end)
    }
}

fn slot(at: Duration) -> usize {
    (at.as_nanos() / SLOT.as_nanos()) as usize
}

/// Returns the share of the `part` in the `whole`, of nothing 0.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Page;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn stats() -> Stats {
        Stats::new(Phases {
            stall: millis(1_000)..millis(2_000),
            hang: millis(3_000)..millis(4_000),
            abuse: millis(4_000)..millis(5_000),
        })
    }

    fn visitor(page: Page, due: u64) -> Visitor {
        Visitor {
            number: 0,
            page,
            due: millis(due),
        }
    }

    /// Ten pages a second for five seconds, those before `good_from` in vain.
    fn totals(good_from: u64) -> Totals {
        let stats = stats();
        for at in (0..5_000).step_by(100) {
            let verdict = if at < good_from {
                Verdict::Failed
            } else {
                Verdict::Good
            };
            stats.answered(visitor(Page::Product, at), millis(at), verdict);
        }
        stats.take_totals()
    }

    #[test]
    fn recovery_ends_where_the_first_normal_second_begins() {
        assert_eq!(totals(0).recovery(millis(2_000)), Some(Duration::ZERO));
        assert_eq!(totals(2_700).recovery(millis(2_000)), Some(millis(700)));
        assert_eq!(totals(2_700).recovery(millis(1_950)), Some(millis(750)));
        assert_eq!(totals(4_000).recovery(millis(2_000)), Some(millis(2_000)));
    }

    #[test]
    fn without_a_normal_second_there_is_no_recovery() {
        assert_eq!(totals(4_100).recovery(millis(2_000)), None);
        assert_eq!(totals(0).recovery(millis(9_000)), None);
    }

    #[test]
    fn a_second_is_normal_with_one_page_of_a_hundred_amiss() {
        let stats = stats();
        for n in 0..300 {
            let verdict = if [50, 150, 199, 250].contains(&n) {
                Verdict::Degraded
            } else {
                Verdict::Good
            };
            stats.answered(visitor(Page::Product, 10 * n), millis(10 * n), verdict);
        }
        let totals = stats.take_totals();

        assert_eq!(totals.recovery(Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(totals.recovery(millis(1_000)), Some(millis(1_000)));
    }

    #[test]
    fn a_second_of_good_pages_that_come_late_is_not_normal() {
        let after_waiting = |wait| {
            let stats = stats();
            for due in (0..2_000).step_by(100) {
                let visitor = visitor(Page::Product, due);
                stats.answered(visitor, millis(due + wait), Verdict::Good);
            }
            stats.take_totals().recovery(Duration::ZERO)
        };

        assert_eq!(after_waiting(501), None);
        assert_eq!(after_waiting(500), Some(Duration::ZERO));
    }

    #[test]
    fn a_second_is_told_once_and_the_totals_hold_it_all() {
        let stats = stats();
        let visitor = visitor(Page::Feed, 0);
        stats.offered(visitor);
        stats.answered(visitor, Duration::ZERO, Verdict::Degraded);
        stats.took(visitor, millis(20));

        assert_eq!(stats.take_second().degraded, 1);
        let second = stats.take_second();
        assert_eq!((second.offered, second.latency(0.5)), (0, None));
        let totals = stats.take_totals();
        assert_eq!((totals.tally.offered, totals.tally.degraded), (1, 1));
        assert!((totals.tally.served() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn who_comes_during_the_stall_is_told_apart() {
        let stats = stats();
        for (due, latency) in [(999, 1), (1_000, 2), (1_999, 3), (2_000, 4)] {
            stats.took(visitor(Page::Checkout, due), millis(latency));
        }
        let totals = stats.take_totals();

        assert_eq!(totals.in_stall.latency(0.01).unwrap().as_millis(), 2);
        assert_eq!(totals.in_stall.latency(0.99).unwrap().as_millis(), 3);
        assert_eq!(totals.tally.latency(0.99).unwrap().as_millis(), 4);
    }

    #[test]
    fn who_needs_nothing_that_hangs_is_told_apart() {
        let stats = stats();
        for page in [Page::Product, Page::Checkout, Page::Feed] {
            for due in [2_999, 3_000, 3_999, 4_000] {
                stats.offered(visitor(page, due));
                stats.answered(visitor(page, due), millis(due), Verdict::Degraded);
            }
        }
        let bystanders = stats.take_totals().in_hang;

        assert_eq!((bystanders.offered, bystanders.degraded), (4, 4));
    }

    #[test]
    fn who_comes_beside_the_abuser_is_told_apart() {
        let stats = stats();
        for due in [3_999, 4_000, 4_999, 5_000] {
            stats.offered(visitor(Page::Checkout, due));
            stats.answered(visitor(Page::Checkout, due), millis(due), Verdict::Refused);
        }
        let beside = stats.take_totals().in_abuse;

        assert_eq!((beside.offered, beside.failed, beside.refused), (2, 2, 2));
    }

    #[test]
    fn visitors_that_come_late_or_not_at_all_are_told_apart() {
        let stats = stats();
        stats.sent(millis(100));
        assert_eq!(stats.take_totals().late, 0);

        stats.sent(millis(101));
        stats.turned_away(visitor(Page::Product, 0));

        assert_eq!(stats.take_totals().late, 2);
    }
}
