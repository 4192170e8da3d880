use std::time::Duration;

use watertight_core::nanos;

use crate::ticks::Ticks;
use crate::{Quota, Status};

/// The generic cell rate algorithm: a token bucket whose whole state is one word.
///
/// The word is the tick at which the bucket will be whole again, the theoretical arrival time of
/// ITU-T I.371. Taking moves it on, time catches up with it, and as long as it is ahead of the time
/// by no more than the burst, there was enough. 0 is a bucket that nobody has touched. Since one
/// that is whole holds no information, to forget it is to lose nothing.
#[derive(Clone, Debug)]
pub(crate) struct Gcra {
    ticks: Ticks,
    /// In ticks.
    burst: u64,
    /// How far below nothing penalties go, in ticks.
    debt: u64,
    /// How much of what was taken from an older quota stays taken, in ticks.
    kept: u64,
    /// The burst in tokens.
    limit: u64,
    period: Duration,
    window: Duration,
}

/// The word of a bucket that nobody has touched.
pub(crate) const UNTOUCHED: u64 = 0;

impl Gcra {
    /// Makes the machine of a valid quota.
    pub(crate) fn new(quota: &Quota) -> Self {
        let (limit, debt) = (quota.capacity(), quota.max_debt());
        let reserve = limit.saturating_add(debt);
        let ticks = Ticks::new(quota.tokens(), quota.period(), reserve);
        Self {
            burst: ticks.of(limit),
            debt: ticks.of(debt),
            kept: ticks.of(limit),
            limit,
            period: quota.period(),
            window: quota.window(),
            ticks,
        }
    }

    /// Makes the machine of a valid quota whose tokens are waited for, in place of an `old` one.
    ///
    /// Whoever waits waits on, so that all stays taken, room for it or not.
    pub(crate) fn of_queue(quota: &Quota, old: Option<&Self>) -> Self {
        let gcra = Self::new(quota);
        let most = gcra.burst.saturating_add(gcra.debt);
        let kept = old.map_or(0, |old| gcra.ticks.convert(old.kept, &old.ticks));
        Self {
            kept: kept.max(most),
            ..gcra
        }
    }

    /// Returns the machine as it works at one time, which is in nanoseconds since the epoch.
    #[inline]
    pub(crate) fn at(&self, nanos: u64) -> GcraAt<'_> {
        GcraAt {
            gcra: self,
            nanos,
            tick: self.ticks.at(nanos),
        }
    }

    /// Returns how many tokens can be taken at once.
    #[inline]
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the period of the quota.
    pub(crate) fn period(&self) -> Duration {
        self.period
    }

    /// Returns how many nanoseconds it takes from the most that can be owed to nothing.
    pub(crate) fn recovery(&self) -> u64 {
        let most = self.kept.saturating_add(self.debt).saturating_add(1);
        self.ticks.nanos_at(most)
    }

    /// Makes of the `word` of an `old` quota the one of this quota, which took its place at
    /// `changed_at`, in nanoseconds since their epoch.
    ///
    /// What was taken stays taken, as far as there is room for it or it is waited for.
    pub(crate) fn carry(&self, word: u64, old: &Self, changed_at: u64) -> u64 {
        let owed = word.saturating_sub(old.ticks.at(changed_at));
        if owed == 0 {
            return UNTOUCHED;
        }
        let taken = self.ticks.convert(owed.min(old.kept), &old.ticks);
        let debt = self
            .ticks
            .convert(owed.saturating_sub(old.kept), &old.ticks);
        let owed = taken.min(self.kept).saturating_add(debt.min(self.debt));
        self.ticks.at(changed_at).saturating_add(owed)
    }
}

/// A [`Gcra`] at one time: what it makes of words then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GcraAt<'a> {
    gcra: &'a Gcra,
    nanos: u64,
    tick: u64,
}

impl GcraAt<'_> {
    /// Returns the time, in nanoseconds since the epoch.
    #[inline]
    pub(crate) fn nanos(&self) -> u64 {
        self.nanos
    }

    /// Takes `cost` tokens, if they are there.
    #[inline]
    pub(crate) fn take(&self, word: u64, cost: u64) -> Option<u64> {
        let whole_at = word.max(self.tick).checked_add(self.gcra.ticks.of(cost))?;
        (whole_at - self.tick <= self.gcra.burst).then_some(whole_at)
    }

    /// Takes `cost` tokens whether they are there or not, as far as debts go.
    pub(crate) fn charge(&self, word: u64, cost: u64) -> u64 {
        let reserve = self.gcra.burst.saturating_add(self.gcra.debt);
        let most = self.tick.saturating_add(reserve);
        let whole_at = word.max(self.tick).saturating_add(self.gcra.ticks.of(cost));
        // The time may have stepped back from where the word was within bounds.
        whole_at.min(most).max(word)
    }

    /// Gives `cost` tokens back. A bucket that is whole without them has no use for them.
    pub(crate) fn give_back(&self, word: u64, cost: u64) -> Option<u64> {
        let whole_at = word.saturating_sub(self.gcra.ticks.of(cost));
        (word > self.tick).then(|| whole_at.max(UNTOUCHED + 1))
    }

    /// Returns the word that was there before `cost` tokens were taken, of a bucket that was not whole.
    pub(crate) fn before(&self, word: u64, cost: u64) -> u64 {
        word.saturating_sub(self.gcra.ticks.of(cost))
    }

    /// Returns how many whole tokens are left.
    #[inline]
    pub(crate) fn remaining(&self, word: u64) -> u64 {
        let owed = word.saturating_sub(self.tick);
        self.gcra.ticks.tokens(self.gcra.burst.saturating_sub(owed))
    }

    /// Returns how long it takes until `cost` tokens are there, `None` if they never are.
    pub(crate) fn wait(&self, word: u64, cost: u64) -> Option<Duration> {
        if cost > self.gcra.limit {
            return None;
        }
        let whole_at = word.saturating_add(self.gcra.ticks.of(cost));
        Some(self.until(whole_at.saturating_sub(self.gcra.burst)))
    }

    /// Returns how the quota stands, which is the one of this `index`.
    #[inline]
    pub(crate) fn status(&self, word: u64, index: usize) -> Status {
        Status {
            quota: index,
            limit: self.gcra.limit,
            remaining: self.remaining(word),
            reset: self.until(word),
            window: self.gcra.window,
        }
    }

    /// Returns the status of a quota where there is no room for a word. Nobody knows until when: a
    /// word of somebody who takes nothing more is whole after a window.
    pub(crate) fn no_room(&self, index: usize) -> Status {
        Status {
            remaining: 0,
            reset: self.gcra.window,
            ..self.status(UNTOUCHED, index)
        }
    }

    /// Returns what is lost if `word` is forgotten: the nanoseconds until it is whole.
    pub(crate) fn worth(&self, word: u64) -> u64 {
        nanos(self.until(word))
    }

    #[inline]
    fn until(&self, tick: u64) -> Duration {
        if tick <= self.tick {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.gcra.ticks.nanos_at(tick).saturating_sub(self.nanos))
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use watertight_core::nanos;

    use super::*;
    use crate::ticks::HORIZON;

    /// In nanoseconds, as times are.
    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;
    const HUNDRED_YEARS: u64 = nanos(HORIZON);

    fn wait(nanos: u64) -> Option<Duration> {
        Some(Duration::from_nanos(nanos))
    }

    /// Ten a second, three at once, as the vectors of the algorithm have it: an interval of
    /// 100 ms and a tolerance of 200.
    #[test]
    fn decides_as_virtual_scheduling_does() {
        let gcra = Gcra::new(&Quota::per_second(10).burst(3));
        let mut word = UNTOUCHED;

        for (time, after) in [
            (0, 0),
            (0, 0),
            (0, 0),
            (0, 100),
            (99, 1),
            (100, 0),
            (150, 50),
            (199, 1),
            (200, 0),
            (1_000, 0),
            (1_000, 0),
            (1_000, 0),
            (1_000, 100),
        ] {
            let at = gcra.at(time * MS);
            assert_eq!(at.wait(word, 1), wait(after * MS), "at {time} ms");
            let taken = at.take(word, 1);
            assert_eq!(taken.is_some(), after == 0, "at {time} ms");
            word = taken.unwrap_or(word);
        }
    }

    #[test]
    fn lets_no_more_pass_in_an_interval_than_the_burst_and_what_comes_in() {
        let gcra = Gcra::new(&Quota::per_second(10).burst(5));

        let mut word = UNTOUCHED;
        let mut passed = 0;
        for time in 0..=250 {
            let at = gcra.at(time * MS);
            while let Some(taken) = at.take(word, 1) {
                word = taken;
                passed += 1;
            }
        }

        assert_eq!(passed, 7);
    }

    #[test]
    fn a_penalty_goes_below_nothing_and_is_bounded() {
        let gcra = Gcra::new(&Quota::per_second(1).burst(5).debt(20));
        let at = gcra.at(0);

        let word = at.charge(UNTOUCHED, 10);
        assert_eq!(at.remaining(word), 0);
        assert_eq!(at.wait(word, 1), wait(6 * SECOND));

        let word = at.charge(word, u64::MAX);
        assert_eq!(at.wait(word, 1), wait(21 * SECOND));
    }

    #[test]
    fn a_bucket_never_gets_more_back_than_it_holds() {
        let gcra = Gcra::new(&Quota::per_second(1).burst(5));
        let at = gcra.at(0);
        let word = at.take(UNTOUCHED, 3).unwrap();

        assert_eq!(at.remaining(at.give_back(word, 2).unwrap()), 4);
        assert_eq!(at.remaining(at.give_back(word, u64::MAX).unwrap()), 5);
        assert_eq!(gcra.at(3 * SECOND).give_back(word, 1), None);
    }

    /// Or else it would be taken for a word that an older quota has to say more of.
    #[test]
    fn a_bucket_that_got_everything_back_is_not_untouched() {
        let gcra = Gcra::new(&Quota::per_second(1).burst(5));
        let at = gcra.at(0);

        let word = at.take(UNTOUCHED, 3).unwrap();
        assert_ne!(at.give_back(word, 5), Some(UNTOUCHED));
    }

    #[test]
    fn a_time_that_steps_back_creates_nothing_and_loses_nothing() {
        let gcra = Gcra::new(&Quota::per_second(1).burst(5));
        let later = gcra.at(100 * SECOND);
        let word = later.take(UNTOUCHED, 5).unwrap();

        for back in [0, 50 * SECOND] {
            let back = gcra.at(back);
            assert_eq!(back.take(word, 1), None);
            assert_eq!(back.charge(word, 1), word);
        }

        assert_eq!(later.take(word, 1), None);
        let at = gcra.at(102 * SECOND);
        assert_eq!(at.remaining(word), 2);
    }

    #[test]
    fn what_was_taken_of_an_old_quota_stays_taken() {
        let now = 1_000 * SECOND;
        let old = Gcra::new(&Quota::per_second(100));
        let word = old.at(now).take(UNTOUCHED, 30).unwrap();

        for (quota, remaining) in [
            (Quota::per_second(100), 70),
            (Quota::per_second(1_000), 970),
            (Quota::per_second(1_000_000_000), 999_999_970),
            (Quota::per_second(40), 10),
            (Quota::per_second(20), 0),
            (Quota::per_hour(60), 30),
        ] {
            let new = Gcra::new(&quota);
            let carried = new.carry(word, &old, now);
            assert_eq!(new.at(now).remaining(carried), remaining, "{quota:?}");
            assert!(
                new.at(now).wait(carried, 1) <= wait(60 * SECOND),
                "{quota:?}"
            );
        }
    }

    #[test]
    fn nobody_owes_more_than_the_next_quota_allows() {
        let old = Gcra::new(&Quota::per_second(1_000));
        let at = old.at(0);
        let (dry, in_debt) = (at.charge(UNTOUCHED, 1_000), at.charge(UNTOUCHED, u64::MAX));

        let new = Gcra::new(&Quota::per_second(1).burst(5).debt(10));
        for (word, seconds) in [(dry, 1), (in_debt, 11)] {
            let carried = new.carry(word, &old, 0);
            assert_eq!(new.at(0).wait(carried, 1), wait(seconds * SECOND));
        }
    }

    #[test]
    fn what_is_whole_is_untouched_for_the_next_quota() {
        let old = Gcra::new(&Quota::per_second(100));
        let word = old.at(0).take(UNTOUCHED, 100).unwrap();

        let new = Gcra::new(&Quota::per_second(1));
        assert_eq!(new.carry(word, &old, SECOND), UNTOUCHED);
    }

    #[test]
    fn when_a_hundred_years_are_over_no_more_comes_in() {
        let gcra = Gcra::new(&Quota::per_second(1_000_000_000));
        let late = gcra.at(2 * HUNDRED_YEARS);
        let word = late.take(UNTOUCHED, 1_000_000_000).unwrap();

        let later = gcra.at(3 * HUNDRED_YEARS);
        assert_eq!(later.take(word, 1), None);
    }
}
