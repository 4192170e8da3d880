use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::nanos;

use crate::Adaptive;
use crate::explorers::Explorers;
use crate::heard::Testimony;
use crate::lasting::Lasting;
use crate::recent::{HALF_LIFE, Recent};
use crate::row::{Place, Row};

/// What an adaptive timeout is learnt from. All times are in nanoseconds.
///
/// A call that is cut off counts as what the [`Explorers`] have met that took longer than the
/// limit as well: as long as that, where they were answered, and not at all where they hang. Where
/// none has, it leaves the percentile as it is. One that is given up counts as those that are known
/// to have taken longer. So the quantiles are those of the calls that end, whether they are waited
/// for or not.
#[derive(Debug)]
pub(crate) struct Learning {
    recent: Recent,
    pub(crate) explorers: Explorers,
    row: Row,
    /// How many will have been recorded, and what time it will be, when the timeout is looked at
    /// again.
    look_at_count: AtomicU64,
    look_at_time: AtomicU64,
    look_soon_at: AtomicU64,
    /// The percentile that the timeout rests on, or 0. What is recorded there does not move it.
    usual: AtomicU64,
    /// The longest timeout of late.
    peak: AtomicU64,
    /// How many calls were cut off since the timeout was looked at.
    cut_of_late: AtomicU64,
    /// With what timeout enough calls are waited for. One slow call that explores counts for ten.
    kept: Lasting,
    /// Until when the timeout does not sink.
    held_until: AtomicU64,
    /// How many calls hung, and do not count.
    left_away: AtomicU64,
    /// How many calls were given up, and how many had been when an answer was heard of.
    given_up: AtomicU64,
    given_up_before: AtomicU64,
}

/// Aims so much below `max_cut`: what is left is for luck.
const AIM: f64 = 0.8;
const OVER: u64 = 4;

/// A timeout that has risen is held for so many times its length.
const HOLD: u64 = 2;

/// So many calls may move the timeout.
const WORTH_A_LOOK: u64 = 64;
/// So many calls that were given up may count without an answer: where all are, nobody knows why.
const MOST_GIVEN_UP: u64 = 64;
/// A look takes some microseconds.
const LOOK_EVERY: u64 = 2_000_000;
/// For how long figures may be old.
const STALE_AFTER: u64 = 200_000_000;

impl Learning {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            recent: Recent::new(start),
            explorers: Explorers::new(),
            row: Row::new(),
            look_at_count: AtomicU64::new(0),
            look_at_time: AtomicU64::new(0),
            look_soon_at: AtomicU64::new(0),
            usual: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            cut_of_late: AtomicU64::new(0),
            held_until: AtomicU64::new(0),
            left_away: AtomicU64::new(0),
            kept: Lasting::new(),
            given_up: AtomicU64::new(0),
            given_up_before: AtomicU64::new(0),
        }
    }

    /// Records what calls took that were answered. Returns true if it is time to
    /// [look](Self::timeout).
    pub(crate) fn record(
        &self,
        durations: impl IntoIterator<Item = Duration>,
        calls_each: u64,
        now: u64,
    ) -> bool {
        let held = self.row.end().map(Duration::from_nanos);
        let given_up = self.given_up.load(Ordering::Relaxed);
        self.given_up_before.store(given_up, Ordering::Relaxed);
        self.note(durations.into_iter().chain(held), calls_each, now)
    }

    /// Records what a call took that explored: calls may go on being cut off around it. Returns
    /// true if it is time to look.
    pub(crate) fn explored(&self, took: u64, calls_each: u64, now: u64) -> bool {
        self.note([Duration::from_nanos(took)], calls_each, now)
    }

    /// Records that a call was given up by its caller, which would have taken longer than this.
    /// Returns true if it is time to look.
    ///
    /// It counts as one of those that are known to have taken longer, each as likely as another:
    /// Kaplan and Meier's estimate, one call at a time. Where none is known, it counts as what it
    /// took.
    pub(crate) fn given_up(&self, after: u64, calls_each: u64, now: u64) -> bool {
        let number = self.given_up.fetch_add(1, Ordering::Relaxed);
        let before = self.given_up_before.load(Ordering::Relaxed);
        if self.recent.recorded() == 0 || number.saturating_sub(before) >= MOST_GIVEN_UP {
            return false;
        }
        let after = Duration::from_nanos(after);
        let longer = self.recent.quantile_above(after, evenly_spread(number));
        self.note([longer.unwrap_or(after)], calls_each, now)
    }

    fn note(
        &self,
        durations: impl IntoIterator<Item = Duration>,
        calls_each: u64,
        now: u64,
    ) -> bool {
        self.recent.record(durations, calls_each, now);
        let recorded = self.recent.recorded();
        let enough = recorded >= self.look_at_count.load(Ordering::Relaxed);
        (enough && now >= self.look_soon_at.load(Ordering::Relaxed))
            || now >= self.look_at_time.load(Ordering::Relaxed)
    }

    /// Takes note that a call has reached the limit. Returns whether it goes on to explore: one in
    /// `every` calls may.
    pub(crate) fn goes_on(&self, every: u64, calls_each: u64, now: u64) -> bool {
        let calls = self.recent.recorded() + self.left_away.load(Ordering::Relaxed);
        let goes_on = self.explorers.explores(calls, every, calls_each);
        if goes_on {
            self.cut_of_late.fetch_add(1, Ordering::Relaxed);
            self.row.add(now);
        }
        goes_on
    }

    /// Records that a call was cut off at `limit`. Returns true if it is time to look.
    pub(crate) fn cut(&self, limit: u64, calls_each: u64, now: u64) -> bool {
        self.cut_of_late.fetch_add(1, Ordering::Relaxed);
        let place = self.row.add(now);
        let since = match place {
            Place::Early(_) => 0,
            Place::Late(since) => since,
        };
        let counts_as = match self.explorers.cut(limit, since, now) {
            Testimony::Ends(time) => time,
            Testimony::Hangs => {
                self.left_away.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            Testimony::Unknown => self.usual.load(Ordering::Relaxed),
        };
        if let Place::Early(place) = place {
            self.row.hold(place, counts_as);
            return false;
        }
        counts_as > 0 && self.note([Duration::from_nanos(counts_as)], calls_each, now)
    }

    /// Whether the warm-up is over.
    pub(crate) fn is_warm(&self, adaptive: &Adaptive) -> bool {
        self.recent.recorded() >= adaptive.warmup.into()
    }

    /// Returns the timeout that follows from what is known, where it has been `limit`.
    pub(crate) fn timeout(&self, adaptive: &Adaptive, limit: u64, now: u64) -> Duration {
        let cut = self.cut_of_late.swap(0, Ordering::Relaxed) > 0;
        self.looked(adaptive, now);
        if !self.is_warm(adaptive) {
            return adaptive.at_first();
        }
        let usual = self.recent.quantile(adaptive.percentile);
        let kept = self.recent.quantile(1.0 - AIM * adaptive.max_cut);
        let (Some(usual), Some(kept)) = (usual, kept) else {
            return adaptive.at_first();
        };
        self.usual.store(nanos(usual), Ordering::Relaxed);
        let usual = longest(usual);
        // Nobody has seen it where calls are cut off: it would be multiplied again and again.
        let times = if cut && nanos(usual) >= limit {
            1.0
        } else {
            adaptive.multiplier
        };
        let kept = self
            .kept
            .add(nanos(longest(kept)), self.recent.time(), HALF_LIFE);
        let timeout = multiplied(usual, times).max(Duration::from_nanos(kept));
        let timeout = self.held(nanos(timeout), limit, now);
        let timeout = Duration::from_nanos(timeout).clamp(adaptive.min, adaptive.max);
        self.forget_what_is_over(nanos(timeout), now);
        timeout
    }

    /// Holds a timeout that has risen from sinking again. Slow calls that are not cut off any more
    /// are known when they end, and count for enough when others have done so after them.
    fn held(&self, timeout: u64, limit: u64, now: u64) -> u64 {
        if timeout > limit {
            let until = now.saturating_add(timeout.saturating_mul(HOLD));
            self.held_until.store(until, Ordering::Relaxed);
        }
        if now < self.held_until.load(Ordering::Relaxed) {
            timeout.max(limit)
        } else {
            timeout
        }
    }

    /// Who has set out while the timeout was several times as long speaks of another time.
    fn forget_what_is_over(&self, timeout: u64, now: u64) {
        let peak = self.peak.load(Ordering::Relaxed);
        if timeout > peak || timeout < peak / OVER {
            self.peak.store(timeout, Ordering::Relaxed);
        }
        if timeout < peak / OVER {
            self.explorers.forget(now);
        }
    }

    /// Returns until when a thread may keep its samples to itself.
    pub(crate) fn due(&self, adaptive: &Adaptive, now: u64) -> u64 {
        if self.is_warm(adaptive) {
            now.saturating_add(STALE_AFTER)
        } else {
            now
        }
    }

    fn looked(&self, adaptive: &Adaptive, now: u64) {
        let recorded = self.recent.recorded();
        let warm = u64::from(adaptive.warmup);
        let next = if recorded < warm {
            warm
        } else {
            recorded + WORTH_A_LOOK
        };
        self.look_at_count.store(next, Ordering::Relaxed);
        self.look_soon_at
            .store(now.saturating_add(LOOK_EVERY), Ordering::Relaxed);
        self.look_at_time
            .store(now.saturating_add(STALE_AFTER), Ordering::Relaxed);
    }
}

/// Returns the longest of the durations that a quantile stands for.
fn longest(quantile: Duration) -> Duration {
    quantile.saturating_add(quantile / 32)
}

/// Returns a share for each number, so that those of any that follow each other are spread evenly.
fn evenly_spread(number: u64) -> f64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let word = number.wrapping_mul(GOLDEN);
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

/// `time` so many times, which is finite and at least 1.
fn multiplied(time: Duration, times: f64) -> Duration {
    Duration::from_nanos((nanos(time) as f64 * times) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const LIMIT: u64 = 100 * MS;

    fn learning() -> Learning {
        Learning::new(Instant::now())
    }

    fn record(learning: &Learning, calls: usize, ms: u64, now: u64) -> bool {
        learning.record(vec![Duration::from_millis(ms); calls], 1, now)
    }

    #[test]
    fn looks_when_64_calls_have_come_but_every_2_milliseconds_at_most() {
        let (learning, adaptive) = (learning(), Adaptive::default());
        learning.timeout(&adaptive, u64::MAX, 0);
        assert!(!record(&learning, 99, 10, 2 * MS));
        assert!(record(&learning, 1, 10, 2 * MS), "the warm-up is over");
        learning.timeout(&adaptive, u64::MAX, 2 * MS);

        assert!(!record(&learning, 63, 10, 4 * MS));
        assert!(record(&learning, 1, 10, 4 * MS));
        learning.timeout(&adaptive, u64::MAX, 4 * MS);

        assert!(!record(&learning, 1_000, 10, 6 * MS - 1));
        assert!(record(&learning, 0, 10, 6 * MS));
    }

    #[test]
    fn figures_are_a_fifth_of_a_second_old_at_most() {
        let (learning, adaptive) = (learning(), Adaptive::default());
        assert_eq!(learning.due(&adaptive, MS), MS, "the warm-up counts calls");
        record(&learning, 100, 10, MS);
        learning.timeout(&adaptive, u64::MAX, MS);

        assert!(!record(&learning, 1, 10, 201 * MS - 1));
        assert!(record(&learning, 1, 10, 201 * MS));
        assert_eq!(learning.due(&adaptive, MS), 201 * MS);
    }

    #[test]
    fn a_fifth_of_what_may_be_cut_off_is_left_for_luck() {
        let adaptive = Adaptive {
            percentile: 0.5,
            multiplier: 1.0,
            max_cut: 0.1,
            ..Adaptive::default()
        };
        // Of a thousand calls so many take a second.
        for (slow, is_waited_for) in [(79, false), (81, true)] {
            let learning = learning();
            record(&learning, 1_000 - slow, 10, 0);
            record(&learning, slow, 1_000, 0);

            let timeout = learning.timeout(&adaptive, u64::MAX, 0);

            assert_eq!(timeout >= Duration::from_secs(1), is_waited_for, "{slow}");
        }
    }

    #[test]
    fn the_first_in_a_row_count_by_whoever_has_explored_and_later_ones_do_not() {
        let learning = learning();
        let explorer = learning.explorers.send(LIMIT, MS);
        learning.explorers.came_back(explorer, 5 * LIMIT, LIMIT);

        for _ in 0..4 {
            assert!(!learning.cut(LIMIT, 1, 1_000 * MS));
        }
        assert_eq!(learning.row.end().collect::<Vec<_>>(), [5 * LIMIT; 4]);

        for _ in 0..5 {
            learning.cut(LIMIT, 1, 1_000 * MS);
        }
        assert_eq!(learning.recent.recorded(), 0);
    }

    #[test]
    fn one_of_whom_nobody_knows_leaves_the_percentile() {
        let learning = learning();
        learning.usual.store(40 * MS, Ordering::Relaxed);

        for _ in 0..3 {
            assert!(!learning.cut(LIMIT, 1, MS));
        }
        assert_eq!(learning.recent.recorded(), 0, "they are held");
        record(&learning, 0, 0, MS);
        assert_eq!(learning.recent.recorded(), 3);
        for _ in 0..5 {
            learning.cut(LIMIT, 1, MS);
        }
        assert_eq!(learning.recent.recorded(), 4, "they are a row");

        for p in [0.01, 1.0] {
            let found = learning.recent.quantile(p).unwrap();
            assert!(found.abs_diff(Duration::from_millis(40)) < Duration::from_millis(2));
        }
    }

    #[test]
    fn one_that_goes_on_is_one_of_a_row() {
        let learning = learning();
        // One in ten goes on.
        for _ in 0..40 {
            learning.goes_on(1, 1, MS);
        }

        assert_eq!(learning.row.add(2 * MS), Place::Late(MS));
    }

    #[test]
    fn slow_calls_that_are_soon_over_do_not_make_it_longer() {
        let (learning, adaptive) = (learning(), Adaptive::default());
        let mut now = 0;
        let mut calls = |n, ms| {
            for _ in 0..n {
                now += MS;
                record(&learning, 1, ms, now);
            }
            learning.timeout(&adaptive, u64::MAX, now)
        };
        let before = calls(5_000, 10);

        // A hundredth of what is known.
        assert_eq!(calls(10, 100), before);
        assert_eq!(calls(640, 10), before);
    }

    #[test]
    fn a_timeout_that_has_risen_is_held_for_twice_its_length() {
        let learning = learning();
        assert_eq!(learning.held(100 * MS, 50 * MS, 0), 100 * MS);

        assert_eq!(learning.held(60 * MS, 100 * MS, 199 * MS), 100 * MS);
        assert_eq!(learning.held(60 * MS, 100 * MS, 200 * MS), 60 * MS);
    }

    #[test]
    fn calls_that_are_given_up_count_as_those_that_took_longer() {
        let learning = learning();
        for round in 0..3_000 {
            let now = round * 12 * MS;
            record(&learning, 8, 5, now);
            record(&learning, 1, 500, now);
            record(&learning, 1, 900, now);
            for _ in 0..20 {
                learning.given_up(100 * MS, 1, now);
            }
        }

        // 8 of 30 took no longer, and about half of the others took 500 ms.
        for (p, ms) in [(0.25, 5), (0.29, 500), (0.53, 500), (0.75, 900)] {
            let found = learning.recent.quantile(p).unwrap();
            let expected = Duration::from_millis(ms);
            assert!(found.abs_diff(expected) * 20 <= expected, "{p}: {found:?}");
        }
    }

    #[test]
    fn one_that_is_given_up_when_nobody_has_waited_longer_counts_as_what_it_took() {
        let learning = learning();
        assert!(!learning.given_up(200 * MS, 1, 0));
        assert_eq!(learning.recent.recorded(), 0, "nobody was answered yet");
        record(&learning, 1, 5, 0);

        learning.given_up(200 * MS, 1, 0);

        let longest = learning.recent.quantile(1.0).unwrap();
        assert!(longest.abs_diff(Duration::from_millis(200)) < Duration::from_millis(7));
    }

    #[test]
    fn sixty_four_calls_that_are_given_up_count_without_an_answer() {
        let learning = learning();
        record(&learning, 1, 5, 0);
        for _ in 0..1_000 {
            learning.given_up(MS, 1, 0);
        }
        assert_eq!(learning.recent.recorded(), 1 + MOST_GIVEN_UP);

        record(&learning, 1, 5, 0);
        learning.given_up(MS, 1, 0);
        assert_eq!(learning.recent.recorded(), 3 + MOST_GIVEN_UP);
    }

    #[test]
    fn what_nobody_has_seen_for_calls_are_cut_off_is_not_multiplied() {
        let (learning, adaptive) = (learning(), Adaptive::default());
        record(&learning, 1_000, 100, 0);
        for (limit, is_cut, expected) in [(100, false, 150), (100, true, 103), (110, true, 150)] {
            if is_cut {
                learning.cut(limit * MS, 1, 0);
            }
            let timeout = learning.timeout(&adaptive, limit * MS, 0);
            let expected = Duration::from_millis(expected);
            assert!(timeout.abs_diff(expected) * 15 <= expected, "{timeout:?}");
        }
    }

    #[test]
    fn who_explored_while_the_timeout_was_four_times_as_long_is_heard_no_more() {
        let learning = learning();
        let sends_one = |now| {
            let explorer = learning.explorers.send(LIMIT, now);
            learning.explorers.came_back(explorer, 2 * LIMIT, LIMIT);
        };
        let says = |now| learning.explorers.cut(LIMIT, 0, now);
        learning.forget_what_is_over(1_000 * MS, 1);
        sends_one(2);

        learning.forget_what_is_over(250 * MS, 3);
        assert_eq!(says(3), Testimony::Ends(2 * LIMIT));
        learning.forget_what_is_over(249 * MS, 4);
        assert_eq!(says(4), Testimony::Unknown);

        sends_one(5);
        learning.forget_what_is_over(240 * MS, 6);
        assert_eq!(says(6), Testimony::Ends(2 * LIMIT), "it is the timeout now");
    }
}
