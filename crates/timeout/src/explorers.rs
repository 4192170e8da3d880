use std::array;
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::heard::{Heard, Last, Late, Testimony};

/// The calls that go on when their time is up, and what becomes of them.
///
/// Of a call that is cut off nobody knows how long it would have taken. These know: each is one of
/// many of its time, and speaks for those that were cut off. All times are in nanoseconds.
#[derive(Debug)]
pub(crate) struct Explorers {
    /// When those set out that are out. 0 is none. The first places are of those that may take the
    /// longest timeout, and nobody else gets one of these.
    out: [AtomicU64; MOST_OUT],
    /// How many others have set out.
    set_out: AtomicU64,
    /// Of those that came back late, and those that did not. Who may take the longest timeout has
    /// places of its own: others are soon back, and would take them.
    heard: Heard,
    heard_soon: Heard,
    /// Who has set out before that does not speak.
    first: AtomicU64,
    /// How many calls have been cut off.
    cuts: AtomicU64,
    /// How many calls have reached the limit.
    reached: AtomicU64,
    /// After how many calls it is the turn of the next one.
    next: AtomicU64,
}

/// A call that explores.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Explorer {
    /// Of those that are out.
    pub(crate) place: u64,
    /// When it began.
    pub(crate) since: u64,
}

/// So many are looked after while they are out: enough to see that calls hang.
const MOST_OUT: usize = 64;

/// So many of them may take the longest timeout. A call that hangs holds a connection, and a place in
/// a bulkhead, for as long: these few tell that calls hang as well as many would.
const MOST_PATIENT: usize = 8;

/// The others may take so many times the limit: enough to follow a service that becomes ten times
/// slower while calls hang.
const IMPATIENT: u64 = 16;

/// One in so many of the calls that reach the limit goes on: enough to hear of what has begun before
/// it counts for much, and the limit still is one.
const ONE_IN: u64 = 10;

/// So many may set out before their turn: calls that are cut off in a row say that something has
/// changed, and whether it is for long is not known until a few have been waited for.
const MOST_AHEAD: u64 = 4;

/// One that is out for so many times the limit is taken for one that hangs. Until then nobody knows.
const PATIENCE: u64 = 8;

impl Explorers {
    pub(crate) fn new() -> Self {
        Self {
            out: array::from_fn(|_| AtomicU64::new(0)),
            set_out: AtomicU64::new(0),
            heard: Heard::new(),
            heard_soon: Heard::new(),
            first: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            next: AtomicU64::new(0),
        }
    }

    /// Whether a call explores that reaches the limit, after so many `calls` in all: one in
    /// [`ONE_IN`] does that reach it, as long as it is no more than one in `every` of all.
    pub(crate) fn explores(&self, calls: u64, every: u64, calls_each: u64) -> bool {
        let number = self.reached.fetch_add(1, Ordering::Relaxed);
        // Each of these stands for so many.
        let one_in = (ONE_IN / calls_each).max(2);
        number.is_multiple_of(one_in) && self.is_turn(calls, (every / calls_each).max(1))
    }

    fn is_turn(&self, calls: u64, every: u64) -> bool {
        let latest = calls.saturating_add((MOST_AHEAD - 1).saturating_mul(every));
        let next = |next: u64| (next <= latest).then(|| next.max(calls) + every);
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }

    /// Takes note that more explore, or fewer: nobody waits for the turn that was his.
    pub(crate) fn share_changed(&self) {
        self.next.store(0, Ordering::Relaxed);
    }

    /// Sends a call out that `began` then, while other calls are cut off at `limit`.
    pub(crate) fn send(&self, limit: u64, began: u64) -> Explorer {
        let since = began.max(1);
        let none = 0;
        let patient = self.out[..MOST_PATIENT].iter().position(|place| {
            place
                .compare_exchange(none, since, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        });
        if let Some(place) = patient {
            return Explorer {
                place: place as u64,
                since,
            };
        }
        let number = self.set_out.fetch_add(1, Ordering::Relaxed) as usize;
        let place = MOST_PATIENT + number % (MOST_OUT - MOST_PATIENT);
        let holder = self.out[place].load(Ordering::Relaxed);
        // It speaks as soon as it has been waited for, which it would never be in a hurry.
        if holder == 0 || is_overdue(holder, limit, since) {
            self.out[place].store(since, Ordering::Relaxed);
        }
        Explorer {
            place: place as u64,
            since,
        }
    }

    /// Takes note that an explorer was answered after this time, while other calls are cut off at
    /// `limit`.
    pub(crate) fn came_back(&self, explorer: Explorer, after: u64, limit: u64) {
        self.is_in(explorer);
        if after > limit {
            self.hear(explorer, Late::Ended(after));
        }
    }

    /// Takes note that there was no good answer, as far as one was waited for.
    pub(crate) fn lost(&self, explorer: Explorer, after: u64, limit: u64) {
        self.went(explorer, Late::Hung(after), limit);
    }

    /// Takes note that its caller went away.
    pub(crate) fn given_up(&self, explorer: Explorer, after: u64, limit: u64) {
        self.went(explorer, Late::GivenUp(after), limit);
    }

    fn went(&self, explorer: Explorer, late: Late, limit: u64) {
        // One whose place was taken has spoken before: they would all be heard of again when what
        // has held them up is long over.
        if self.is_in(explorer) && late.after() > limit {
            self.hear(explorer, late);
        }
    }

    fn hear(&self, explorer: Explorer, late: Late) {
        let heard = if explorer.is_patient() {
            &self.heard
        } else {
            &self.heard_soon
        };
        heard.add(explorer.since, late);
    }

    /// Takes note that a call was cut off at `limit`, and says what would have become of it.
    ///
    /// Half of the calls go by the last of those that took longer than the limit, a quarter by the
    /// one before it, and so on: what is over must not speak for what has begun. Only those speak
    /// that have set out from `since` on.
    pub(crate) fn cut(&self, limit: u64, since: u64, now: u64) -> Testimony {
        let cut = self.cuts.fetch_add(1, Ordering::Relaxed) + 1;
        let since = since.max(self.first.load(Ordering::Relaxed));
        self.goes_by(cut, limit, since, now)
    }

    /// Says what becomes of a call that was cut off at `limit`. It goes by one that took longer; and
    /// where nobody knows how long that would have taken, by one that is known to have taken longer
    /// still.
    fn goes_by(&self, mut draw: u64, limit: u64, since: u64, now: u64) -> Testimony {
        let back = |draw: &mut u64| {
            let back = draw.trailing_zeros();
            *draw = draw.checked_shr(back + 1).unwrap_or(0);
            back as usize
        };
        let out = self.overdue(limit, now);
        let longer = self.longer_than(limit, since, out);
        let Some(mut last) = longer.the_last_but(back(&mut draw)) else {
            return Testimony::Unknown;
        };
        loop {
            if let Late::Ended(after) = last {
                return Testimony::Ends(after);
            }
            let longer = self.longer_than(last.after(), since, iter::empty());
            last = match (longer.the_last_but(back(&mut draw)), last) {
                (Some(longer), _) => longer,
                // That somebody goes away does not say that others would wait in vain.
                (None, Late::GivenUp(after)) if after / PATIENCE <= limit => {
                    return Testimony::Ends(after);
                }
                (None, _) => return Testimony::Hangs,
            };
        }
    }

    /// Returns those that are out and have been waited for where calls are cut off at `limit`.
    fn overdue(&self, limit: u64, now: u64) -> impl Iterator<Item = (u64, Late)> {
        let out = self.out.iter().map(|place| place.load(Ordering::Relaxed));
        out.filter(move |set_out| *set_out > 0 && is_overdue(*set_out, limit, now))
            .map(move |set_out| (set_out, Late::Hung(now - set_out)))
    }

    /// Returns the last of those that are `out`, and of those that are known to have taken longer
    /// than `after`.
    fn longer_than(&self, after: u64, since: u64, out: impl Iterator<Item = (u64, Late)>) -> Last {
        let mut last = Last::default();
        out.chain(self.heard.longer_than(after))
            .chain(self.heard_soon.longer_than(after))
            .filter(|(set_out, _)| *set_out >= since)
            .for_each(|(set_out, late)| last.add(set_out, late));
        last
    }

    /// Lets nobody speak who has set out before now.
    pub(crate) fn forget(&self, now: u64) {
        self.first.store(now, Ordering::Relaxed);
    }

    /// Takes one in. Returns whether it was looked after until now.
    fn is_in(&self, explorer: Explorer) -> bool {
        let (since, none) = (explorer.since, 0);
        self.place(explorer)
            .compare_exchange(since, none, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    fn place(&self, explorer: Explorer) -> &AtomicU64 {
        &self.out[explorer.place as usize % MOST_OUT]
    }
}

impl Explorer {
    const fn is_patient(self) -> bool {
        (self.place as usize) < MOST_PATIENT
    }

    /// Returns how many nanoseconds it may take, where others are cut off at `limit` and none may
    /// take longer than `max`.
    pub(crate) fn may_take(self, limit: u64, max: u64) -> u64 {
        if self.is_patient() {
            max
        } else {
            max.min(limit.saturating_mul(IMPATIENT))
        }
    }
}

/// Whether what has set out `since` then has been waited for.
const fn is_overdue(since: u64, limit: u64, now: u64) -> bool {
    now.saturating_sub(since) / PATIENCE > limit
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    const LIMIT: u64 = 100;

    const OVERDUE: u64 = PATIENCE * (LIMIT + 1);

    #[test]
    fn nobody_knows_before_one_has_taken_longer() {
        let explorers = Explorers::new();
        assert_eq!(explorers.cut(LIMIT, 0, 0), Testimony::Unknown);

        let quick = explorers.send(LIMIT, 1);
        explorers.came_back(quick, LIMIT, LIMIT);
        explorers.send(LIMIT, 1);

        assert_eq!(explorers.cut(LIMIT, 0, OVERDUE), Testimony::Unknown);
    }

    #[test]
    fn one_that_is_out_for_long_hangs_until_it_comes_back() {
        let explorers = Explorers::new();
        let explorer = explorers.send(LIMIT, 7);
        let late = 7 + OVERDUE;

        assert_eq!(explorers.cut(LIMIT, 0, late), Testimony::Hangs);
        explorers.came_back(explorer, 5_000, LIMIT);
        assert_eq!(explorers.cut(LIMIT, 0, late), Testimony::Ends(5_000));
        // With a longer limit it would not have been cut off.
        assert_eq!(explorers.cut(5_000, 0, late), Testimony::Unknown);
    }

    #[test]
    fn one_is_waited_for_eight_times_as_long_as_others() {
        let explorers = Explorers::new();
        explorers.send(LIMIT, 1);

        assert_eq!(explorers.cut(LIMIT, 0, 800), Testimony::Unknown);
        assert_eq!(explorers.cut(LIMIT, 0, 809), Testimony::Hangs);
    }

    #[test]
    fn one_that_brings_no_good_answer_hangs() {
        let explorers = Explorers::new();
        let quick = explorers.send(LIMIT, 1);
        explorers.lost(quick, LIMIT, LIMIT);
        assert_eq!(explorers.cut(LIMIT, 0, 500), Testimony::Unknown);

        let explorer = explorers.send(LIMIT, 1);
        explorers.lost(explorer, 500, LIMIT);

        assert_eq!(explorers.cut(LIMIT, 0, 500), Testimony::Hangs);
    }

    #[test]
    fn the_last_ones_speak_most() {
        let explorers = Explorers::new();
        for took in [400, 300, 200] {
            let explorer = explorers.send(LIMIT, 1_000 - took);
            explorers.came_back(explorer, took, LIMIT);
        }

        let mut heard = [0; 3];
        for _ in 0..80 {
            let Testimony::Ends(took) = explorers.cut(LIMIT, 0, 0) else {
                panic!("all have ended");
            };
            heard[took as usize / 100 - 2] += 1;
        }

        assert_eq!(heard, [40, 20, 20]);
    }

    #[test]
    fn those_who_are_forgotten_or_went_before_do_not_speak() {
        for comes_back in [true, false] {
            let explorers = Explorers::new();
            let explorer = explorers.send(LIMIT, 1);
            if comes_back {
                explorers.came_back(explorer, 500, LIMIT);
            }

            assert_eq!(explorers.cut(LIMIT, 2, OVERDUE + 1), Testimony::Unknown);
            assert_ne!(explorers.cut(LIMIT, 1, OVERDUE + 1), Testimony::Unknown);
            explorers.forget(2);
            assert_eq!(explorers.cut(LIMIT, 0, OVERDUE + 1), Testimony::Unknown);
        }
    }

    #[test]
    fn one_that_is_out_keeps_its_place_until_it_has_been_waited_for() {
        let explorers = Explorers::new();
        for now in 1..=2 * MOST_OUT as u64 {
            explorers.send(LIMIT, now);
        }

        let late = OVERDUE + MOST_OUT as u64;

        assert_eq!(explorers.cut(LIMIT, 0, late), Testimony::Hangs);
        let after_the_first = MOST_OUT as u64 + 1;
        let testimony = explorers.cut(LIMIT, after_the_first, late + MOST_OUT as u64);
        assert_eq!(testimony, Testimony::Unknown);
    }

    #[test]
    fn one_whose_place_was_taken_is_heard_if_it_comes_back() {
        for comes_back in [true, false] {
            let explorers = Explorers::new();
            for _ in 0..MOST_PATIENT {
                explorers.send(LIMIT, 1 + OVERDUE);
            }
            let first = explorers.send(LIMIT, 1);
            for _ in MOST_PATIENT..MOST_OUT {
                explorers.send(LIMIT, 1 + OVERDUE);
            }

            if comes_back {
                explorers.came_back(first, 2 * OVERDUE, LIMIT);
            } else {
                explorers.lost(first, 2 * OVERDUE, LIMIT);
            }

            let expected = if comes_back {
                Testimony::Ends(2 * OVERDUE)
            } else {
                Testimony::Unknown
            };
            assert_eq!(explorers.cut(LIMIT, 0, 1 + OVERDUE), expected);
        }
    }

    #[test]
    fn eight_may_take_the_longest_timeout_and_others_sixteen_times_the_limit() {
        let explorers = Explorers::new();
        let max = 1_000 * LIMIT;
        let first = explorers.send(LIMIT, 1);
        for _ in 1..MOST_PATIENT {
            assert_eq!(explorers.send(LIMIT, 1).may_take(LIMIT, max), max);
        }

        // However long they have been out.
        let next = explorers.send(LIMIT, 10 * OVERDUE);
        assert_eq!(next.may_take(LIMIT, max), 16 * LIMIT);
        assert_eq!(next.may_take(LIMIT, 2 * LIMIT), 2 * LIMIT);

        for ends in [Explorers::came_back, Explorers::lost, Explorers::given_up] {
            ends(&explorers, first, 5 * LIMIT, LIMIT);
            let next = explorers.send(LIMIT, 1);
            assert_eq!(next.may_take(LIMIT, max), max);
        }
    }

    #[test]
    fn one_that_is_given_up_goes_by_those_that_were_waited_for_longer() {
        for (longer, expected) in [
            (Late::Ended(199), Testimony::Ends(200)),
            (Late::Ended(900), Testimony::Ends(900)),
            (Late::Hung(900), Testimony::Hangs),
            (Late::GivenUp(700), Testimony::Ends(700)),
            (Late::GivenUp(900), Testimony::Hangs),
        ] {
            let explorers = Explorers::new();
            let before = explorers.send(LIMIT, 1);
            explorers.went(before, longer, LIMIT);
            let given_up = explorers.send(LIMIT, 2);
            explorers.given_up(given_up, 200, LIMIT);

            assert_eq!(explorers.cut(LIMIT, 0, 2), expected, "{longer:?}");
        }
    }

    #[test]
    fn one_that_is_out_goes_by_those_that_were_waited_for_longer() {
        let explorers = Explorers::new();
        let patient = explorers.send(LIMIT, 1);
        explorers.came_back(patient, 2 * OVERDUE, LIMIT);
        explorers.send(LIMIT, 2);

        let cut = |now| explorers.cut(LIMIT, 0, now);
        assert_eq!(cut(2 + OVERDUE), Testimony::Ends(2 * OVERDUE));
        cut(2 + OVERDUE);
        // It has been out for as long.
        assert_eq!(cut(2 + 2 * OVERDUE), Testimony::Hangs);
    }

    #[test]
    fn those_who_are_soon_back_do_not_drown_the_patient() {
        let explorers = Explorers::new();
        let mut slow = explorers.send(LIMIT, 1);
        for now in 2..=MOST_PATIENT as u64 {
            slow = explorers.send(LIMIT, now);
        }
        for now in 0..100 {
            let other = explorers.send(LIMIT, 100 + now);
            explorers.lost(other, 16 * LIMIT, LIMIT);
        }

        explorers.came_back(slow, 50 * LIMIT, LIMIT);

        assert_eq!(explorers.cut(LIMIT, 0, 200), Testimony::Ends(50 * LIMIT));
    }

    #[test]
    fn one_whose_time_was_up_goes_by_those_that_had_more_time() {
        let explorers = Explorers::new();
        let patient = explorers.send(LIMIT, 1);
        let other = explorers.send(LIMIT, 2);

        explorers.lost(other, 200, LIMIT);
        assert_eq!(explorers.cut(LIMIT, 0, 2), Testimony::Hangs);
        explorers.came_back(patient, 500, LIMIT);
        assert_eq!(explorers.cut(LIMIT, 0, 2), Testimony::Ends(500));
    }

    #[test]
    fn one_in_ten_explores_of_those_that_reach_the_limit() {
        let explorers = Explorers::new();
        let set_out = (0..1_000).filter(|call| explorers.explores(100 * call, 100, 1));

        assert_eq!(set_out.count(), 100);
    }

    #[test]
    fn where_one_in_eight_is_looked_at_one_in_two_of_those_explores() {
        let explorers = Explorers::new();
        let set_out = (0..1_000).filter(|call| explorers.explores(100 * call, 100, 8));

        assert_eq!(set_out.count(), 500);
    }

    #[test]
    fn no_more_explore_than_one_call_in_so_many_and_a_few_ahead() {
        for every in [100, 1_000] {
            let explorers = Explorers::new();
            let set_out = |calls: Range<u64>| {
                let set_out = calls.filter(|call| explorers.explores(*call, every, 1));
                set_out.count() as u64
            };

            assert_eq!(set_out(0..10_000), 10_000 / every + MOST_AHEAD - 1);
            assert_eq!(
                set_out(20_000..20_100),
                MOST_AHEAD,
                "nobody went in between"
            );
        }
    }
}
