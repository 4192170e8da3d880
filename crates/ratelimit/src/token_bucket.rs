use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Key, nanos};

use crate::decision::Meter;
use crate::gcra::{Gcra, GcraAt, UNTOUCHED};
use crate::past::Past;
use crate::tables::Tables;
use crate::words::{Unchanged, Words};
use crate::{Decision, Quotas, Status};

#[cfg(all(test, watertight_loom))]
mod loom;

/// Token buckets: one for each quota, and of each for every key that there are words for.
#[derive(Debug)]
pub(crate) struct TokenBucket<W> {
    gcras: Box<[Gcra]>,
    words: W,
    /// The most that all quotas can ever let pass at once.
    most: u64,
    epoch: Instant,
    /// The quotas before these, the latest first.
    before: Vec<Past<W>>,
    /// What was taken before the quotas were changed has all come back by then, in nanoseconds
    /// since the epoch.
    settled_at: u64,
}

impl<W: Words> TokenBucket<W> {
    /// Makes the buckets of valid quotas. `words` are untouched, and of no other machine.
    pub(crate) fn new(quotas: &Quotas, words: W, epoch: Instant) -> Self {
        let quotas = quotas.as_slice().iter();
        Self::of(quotas.map(Gcra::new).collect(), words, epoch)
    }

    /// Makes the buckets of these machines.
    pub(crate) fn of(gcras: Box<[Gcra]>, words: W, epoch: Instant) -> Self {
        Self {
            most: gcras.iter().map(Gcra::limit).min().unwrap_or(0),
            gcras,
            words,
            epoch,
            before: Vec::new(),
            settled_at: 0,
        }
    }

    /// Makes the buckets of other quotas, which take the place of these at `now`.
    ///
    /// What has been taken stays taken, from the quota of the same period, or else from the one in
    /// the same place, and comes back at the new rate. `words` are new ones again.
    pub(crate) fn followed_by(&self, quotas: &Quotas, words: W, now: Instant) -> Self {
        self.before(Self::new(quotas, words, self.epoch), now)
    }

    /// Makes of the `next` buckets those that take the place of these at `now`.
    pub(crate) fn before(&self, mut next: Self, now: Instant) -> Self {
        let now = self.nanos(now);
        next.before = vec![Past::new(self.gcras.clone(), self.words.clone(), now)];
        if now < self.settled_at {
            let older = self.before.iter().take(Past::<W>::MOST - 1);
            next.before.extend(older.cloned());
        }
        let recovery = next.gcras.iter().map(Gcra::recovery).max();
        next.settled_at = now.saturating_add(recovery.unwrap_or(0));
        next
    }

    /// Takes `cost` from the first quotas of `key`, as many as have it, and returns how the
    /// tightest stands then.
    #[inline]
    fn take_in_order(&self, key: Option<Key>, cost: u64, now: u64) -> Result<Status, Refusal> {
        let mut tightest = Tightest::default();
        for (index, gcra) in self.gcras.iter().enumerate() {
            let at = gcra.at(now);
            match self.update(key, index, now, |word| at.take(word, cost)) {
                Ok(word) => tightest.compare(at, word, index),
                Err(unchanged) => return Err(Refusal { index, unchanged }),
            }
        }
        Ok(tightest.status())
    }

    /// Says what became of a call of `cost` that one of the quotas refused.
    #[cold]
    fn refused(&self, key: Option<Key>, cost: u64, now: u64, refusal: &Refusal) -> Decision {
        let &Refusal { index, unchanged } = refusal;
        match unchanged {
            Unchanged::Word(refused) => self.decide(cost, now, |other| {
                if other == index {
                    refused
                } else {
                    self.word(key, other, now)
                }
            }),
            Unchanged::NoRoom => {
                let status = self.gcras[index].at(now).no_room(index);
                Decision::refused(status, Some(status.reset))
            }
        }
    }

    /// Decides on a call of `cost` by what has been taken, and takes nothing.
    fn look(&self, key: Option<Key>, cost: u64, now: u64) -> Decision {
        self.decide(cost, now, |index| self.word(key, index, now))
    }

    /// Decides on a call of `cost` by the words of the quotas.
    fn decide(&self, cost: u64, now: u64, word: impl Fn(usize) -> u64) -> Decision {
        let mut tightest = Tightest::default();
        let mut longest: Option<(Option<Duration>, Status)> = None;
        for (index, gcra) in self.gcras.iter().enumerate() {
            let (at, word) = (gcra.at(now), word(index));
            let wait = at.wait(word, cost);
            if cost == 0 || wait == Some(Duration::ZERO) {
                tightest.compare(at, word, index);
                continue;
            }
            let order = |wait: Option<Duration>| wait.unwrap_or(Duration::MAX);
            if longest.is_none_or(|(so_far, _)| order(wait) > order(so_far)) {
                longest = Some((wait, at.status(word, index)));
            }
        }
        match longest {
            Some((wait, status)) => Decision::refused(status, wait),
            None => Decision::admitted(tightest.status()),
        }
    }

    /// Gives `cost` back to the first `count` quotas, and returns whether there was room for that.
    fn give_back_to(&self, count: usize, key: Option<Key>, cost: u64, now: u64) -> bool {
        let mut has_room = true;
        for (index, gcra) in self.gcras.iter().enumerate().take(count) {
            let at = gcra.at(now);
            // A bucket that is whole, or for which there is no room, is as good as given back to.
            let given_back = self.update(key, index, now, |word| at.give_back(word, cost));
            has_room &= given_back != Err(Unchanged::NoRoom);
        }
        has_room
    }

    #[inline(always)]
    fn update(
        &self,
        key: Option<Key>,
        index: usize,
        now: u64,
        change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, Unchanged> {
        let worth = move |word| self.gcras[index].at(now).worth(word);
        let fresh = self.fresh(key, index, now);
        self.words.update(key, index, fresh, worth, change)
    }

    fn word(&self, key: Option<Key>, index: usize, now: u64) -> u64 {
        match self.words.word(key, index) {
            UNTOUCHED => self.fresh(key, index, now),
            word => word,
        }
    }

    /// Returns the word of a key that nobody has asked for since the quotas were changed.
    #[inline(always)]
    fn fresh(&self, key: Option<Key>, index: usize, now: u64) -> u64 {
        if now >= self.settled_at || self.before.is_empty() {
            return UNTOUCHED;
        }
        Past::inherited(&self.before, key, index, &self.gcras[index])
    }

    /// Returns the nanoseconds from the epoch until `now`, which is how the machines tell time.
    #[inline]
    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }
}

/// What a machine needs that is a token bucket of one quota within.
impl<W: Words> TokenBucket<W> {
    /// Returns the first quota as it works at one time.
    #[inline]
    pub(crate) fn first_at(&self, now: Instant) -> GcraAt<'_> {
        self.gcras[0].at(self.nanos(now))
    }

    /// Returns the word of the first quota.
    pub(crate) fn first_word(&self, key: Option<Key>, at: GcraAt<'_>) -> u64 {
        self.word(key, 0, at.nanos())
    }

    /// Makes of the word of the first quota what `change` says, as [`Words::update`] does.
    #[inline]
    pub(crate) fn update_first(
        &self,
        key: Option<Key>,
        at: GcraAt<'_>,
        change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, Unchanged> {
        self.update(key, 0, at.nanos(), change)
    }

    /// Forgets what `key` was with before the quotas were changed, which is in its words by now: once
    /// they are whole they give way, and it would be found again as it was.
    pub(crate) fn forget_past(&self, key: Option<Key>, at: GcraAt<'_>) {
        if at.nanos() < self.settled_at {
            self.before.iter().for_each(|past| past.forget(key));
        }
    }
}

impl TokenBucket<Tables> {
    /// Makes room for keys.
    pub(crate) fn make_room(&self) {
        self.words.make();
    }

    /// Returns how many keys have not got everything back. `None` if there are no keys.
    pub(crate) fn keys(&self, now: Instant) -> Option<usize> {
        let gcras = self.gcras.iter().enumerate();
        let keys = gcras.filter_map(|(index, gcra)| {
            let at = gcra.at(self.nanos(now));
            self.words.len(index, |word| at.worth(word))
        });
        keys.max()
    }

    /// Returns how many keys were forgotten before they had. `None` if there are no keys.
    pub(crate) fn evicted(&self) -> Option<u64> {
        self.words.evicted()
    }
}

impl<W: Words> Meter for TokenBucket<W> {
    #[inline]
    fn take(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        let now = self.nanos(now);
        if cost == 0 || cost > self.most {
            return self.look(key, cost, now);
        }
        // What is going to be refused by one need not be reserved with the others.
        if self.gcras.len() > 1 {
            let decision = self.look(key, cost, now);
            if !decision.admitted {
                return decision;
            }
        }
        match self.take_in_order(key, cost, now) {
            Ok(status) => Decision::admitted(status),
            Err(refusal) => {
                self.give_back_to(refusal.index, key, cost, now);
                self.refused(key, cost, now, &refusal)
            }
        }
    }

    #[inline(always)]
    fn pass(&self, key: Option<Key>, cost: u64, now: Instant) -> Result<(), Decision> {
        if self.gcras.len() > 1 || cost == 0 {
            return self.take(key, cost, now).passed();
        }
        let now = self.nanos(now);
        let at = self.gcras[0].at(now);
        let index = 0;
        match self.update(key, index, now, move |word| at.take(word, cost)) {
            Ok(_) => Ok(()),
            Err(unchanged) => Err(self.refused(key, cost, now, &Refusal { index, unchanged })),
        }
    }

    fn take_up_to(&self, key: Option<Key>, most: u64, now: Instant) -> (u64, Decision) {
        let now = self.nanos(now);
        let remaining = |(index, gcra): (usize, &Gcra)| {
            let word = self.word(key, index, now);
            gcra.at(now).remaining(word)
        };
        let least = self.gcras.iter().enumerate().map(remaining).min();
        let mut taken = most.min(least.unwrap_or(0));
        if taken == 0 {
            let decision = self.look(key, most.min(1), now);
            if most > 0 && decision.admitted {
                // Somebody has just given something back. It is there to be asked for again.
                return (0, Decision::refused(decision.status, Some(Duration::ZERO)));
            }
            return (0, decision);
        }
        for (index, gcra) in self.gcras.iter().enumerate() {
            let at = gcra.at(now);
            let mut here = 0;
            let updated = self.update(key, index, now, |word| {
                here = at.remaining(word).min(taken);
                (here > 0).then(|| at.take(word, here)).flatten()
            });
            if let Err(unchanged) = updated {
                self.give_back_to(index, key, taken, now);
                let refusal = Refusal { index, unchanged };
                return (0, self.refused(key, most.min(1), now, &refusal));
            }
            if here < taken {
                self.give_back_to(index, key, taken - here, now);
                taken = here;
            }
        }
        (taken, self.look(key, 0, now))
    }

    fn peek(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        self.look(key, cost, self.nanos(now))
    }

    fn give_back(&self, key: Option<Key>, cost: u64, now: Instant) {
        if self.give_back_to(self.gcras.len(), key, cost, self.nanos(now)) {
            self.forget_past(key, self.first_at(now));
        }
    }

    fn charge(&self, key: Option<Key>, cost: u64, now: Instant) {
        let now = self.nanos(now);
        if cost == 0 {
            return;
        }
        for (index, gcra) in self.gcras.iter().enumerate() {
            let at = gcra.at(now);
            // A key for which there is no room gets nothing anyhow.
            let _ = self.update(key, index, now, |word| Some(at.charge(word, cost)));
        }
    }
}

/// Which quota did not let a call pass, and why.
struct Refusal {
    index: usize,
    unchanged: Unchanged,
}

/// The quota that has least left, the first of equal ones.
#[derive(Default)]
struct Tightest<'a>(Option<(u64, GcraAt<'a>, u64, usize)>);

impl<'a> Tightest<'a> {
    #[inline]
    fn compare(&mut self, at: GcraAt<'a>, word: u64, index: usize) {
        let remaining = at.remaining(word);
        if self.0.is_none_or(|(least, ..)| remaining < least) {
            self.0 = Some((remaining, at, word, index));
        }
    }

    #[inline]
    fn status(self) -> Status {
        self.0
            .map(|(_, at, word, index)| at.status(word, index))
            .unwrap_or_default()
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::thread;

    use super::*;
    use crate::Quota;
    use crate::words::Direct;

    const MS: Duration = Duration::from_millis(1);

    fn bucket(quotas: impl Into<Quotas>) -> (TokenBucket<Direct>, Instant) {
        let quotas = quotas.into();
        assert_eq!(quotas.validate(), Ok(()));
        let epoch = Instant::now();
        let words = Direct::new(quotas.as_slice().len());
        (TokenBucket::new(&quotas, words, epoch), epoch)
    }

    /// The table that limiters of the kind are tested by: one a second, five at once.
    #[test]
    fn says_what_is_left_and_when_there_will_be_more() {
        let (bucket, epoch) = bucket(Quota::per_second(1).burst(5));
        let never = None;

        for (time, cost, admitted, remaining, reset, retry_after) in [
            (0, 6, false, 5, 0, never),
            (0, 1, true, 4, 1_000, None),
            (0, 1, true, 3, 2_000, None),
            (0, 1, true, 2, 3_000, None),
            (0, 1, true, 1, 4_000, None),
            (0, 1, true, 0, 5_000, None),
            (0, 1, false, 0, 5_000, Some(1_000)),
            (3_000, 1, true, 2, 3_000, None),
            (3_100, 1, true, 1, 3_900, None),
            (4_000, 1, true, 1, 4_000, None),
            (8_000, 1, true, 4, 1_000, None),
            (9_500, 1, true, 4, 1_000, None),
            (9_500, 0, true, 4, 1_000, None),
            (9_500, 2, true, 2, 3_000, None),
            (9_500, 5, false, 2, 3_000, Some(3_000)),
            (15_000, 6, false, 5, 0, never),
        ] {
            let now = epoch + time * MS;
            let expected = Decision {
                admitted,
                status: Status {
                    quota: 0,
                    limit: 5,
                    remaining,
                    reset: reset * MS,
                    window: 5_000 * MS,
                },
                retry_after: retry_after.map(|after| after * MS),
            };
            assert_eq!(
                bucket.take(None, cost, now),
                expected,
                "{cost} at {time} ms"
            );
        }
    }

    fn follow(old: &TokenBucket<Direct>, quotas: &Quotas, now: Instant) -> TokenBucket<Direct> {
        assert_eq!(quotas.validate(), Ok(()));
        old.followed_by(quotas, Direct::new(quotas.as_slice().len()), now)
    }

    #[test]
    fn every_quota_has_to_be_met() {
        let quotas = Quota::per_second(10)
            .and(Quota::per_minute(15))
            .and(Quota::per_hour(1_000));
        let (bucket, epoch) = bucket(quotas);

        for _ in 0..10 {
            assert!(bucket.take(None, 1, epoch).admitted);
        }
        let refused = bucket.take(None, 1, epoch);
        assert_eq!(refused.status.quota, 0);
        assert_eq!(refused.retry_after, Some(100 * MS));

        let later = epoch + 1_000 * MS;
        for _ in 0..5 {
            assert!(bucket.take(None, 1, later).admitted);
        }
        let refused = bucket.take(None, 1, later);
        assert_eq!(refused.status.quota, 1);
        assert_eq!(refused.retry_after, Some(3_000 * MS));
    }

    #[test]
    fn a_call_that_one_quota_refuses_takes_nothing_from_the_others() {
        let (bucket, now) = bucket(Quota::per_second(10).and(Quota::per_minute(2)));
        assert!(bucket.take(None, 2, now).admitted);

        for _ in 0..100 {
            assert!(!bucket.take(None, 1, now).admitted);
            assert_eq!(bucket.take_up_to(None, 5, now).0, 0);
        }

        let at = bucket.gcras[0].at(bucket.nanos(now));
        assert_eq!(at.remaining(bucket.words.word(None, 0)), 8);
    }

    #[test]
    fn who_is_admitted_hears_of_the_tightest_quota_and_who_is_not_of_the_longest_wait() {
        let (bucket, now) = bucket(Quota::per_second(10).and(Quota::per_hour(12)));

        let status = bucket.take(None, 4, now).status;
        assert_eq!((status.quota, status.limit, status.remaining), (0, 10, 6));
        assert_eq!(status.reset, 400 * MS);

        let refused = bucket.take(None, 9, now);
        assert_eq!(refused.status.quota, 1);
        assert_eq!(refused.retry_after, Some(300_000 * MS));

        assert_eq!(bucket.take(None, 11, now).retry_after, None);
    }

    #[test]
    fn takes_what_there_is_up_to_what_is_asked_for() {
        let (bucket, now) = bucket(Quota::per_second(10).and(Quota::per_minute(8)));

        let (taken, decision) = bucket.take_up_to(None, 5, now);
        assert_eq!((taken, decision.status.remaining), (5, 3));
        let (taken, decision) = bucket.take_up_to(None, 5, now);
        assert_eq!((taken, decision.status.remaining), (3, 0));
        assert!(decision.admitted);

        let (taken, decision) = bucket.take_up_to(None, 5, now);
        assert_eq!((taken, decision.admitted), (0, false));
        assert_eq!(decision.retry_after, Some(7_500 * MS));

        let (taken, decision) = bucket.take_up_to(None, 0, now);
        assert_eq!((taken, decision.admitted), (0, true));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (bucket, now) = bucket(Quota::per_second(3).and(Quota::per_minute(3)));
        assert!(bucket.take(None, 3, now).admitted);

        bucket.give_back(None, 2, now);

        assert!(bucket.take(None, 2, now).admitted);
        assert!(!bucket.take(None, 1, now).admitted);
    }

    /// A guess of a password costs ten more: after the first there is nothing left for a while.
    #[test]
    fn penalties_shut_out_who_earns_them() {
        let (bucket, epoch) = bucket(Quota::per_second(1).burst(10));

        assert!(bucket.take(None, 1, epoch).admitted);
        bucket.charge(None, 10, epoch);
        let refused = bucket.take(None, 1, epoch);
        assert_eq!(refused.retry_after, Some(2_000 * MS));
        assert_eq!(refused.status.remaining, 0);
        assert_eq!(refused.status.reset, 11_000 * MS);

        bucket.charge(None, 1_000, epoch);
        let refused = bucket.take(None, 1, epoch);
        assert_eq!(
            refused.retry_after,
            Some(11_000 * MS),
            "the debt is bounded"
        );
    }

    #[test]
    fn what_costs_nothing_passes_even_a_bucket_in_debt() {
        let (bucket, now) = bucket(Quota::per_second(1));
        bucket.charge(None, 2, now);

        assert!(bucket.take(None, 0, now).admitted);
        assert!(!bucket.take(None, 1, now).admitted);
    }

    /// The first quota has words as ever, and for the second there is no room.
    #[derive(Clone)]
    struct Full(Direct);

    impl Words for Full {
        fn word(&self, key: Option<Key>, index: usize) -> u64 {
            self.0.word(key, index)
        }

        fn update(
            &self,
            key: Option<Key>,
            index: usize,
            fresh: u64,
            worth: impl Fn(u64) -> u64,
            change: impl FnMut(u64) -> Option<u64>,
        ) -> Result<u64, Unchanged> {
            if index == 1 {
                return Err(Unchanged::NoRoom);
            }
            self.0.update(key, index, fresh, worth, change)
        }

        fn forget(&self, key: Option<Key>, index: usize) {
            self.0.forget(key, index);
        }
    }

    #[test]
    fn a_key_without_room_is_refused_for_a_window() {
        let quotas = Quota::per_second(5).and(Quota::per_minute(5));
        let epoch = Instant::now();
        let bucket = TokenBucket::new(&quotas, Full(Direct::new(2)), epoch);
        let now = epoch + 200 * MS;

        let refused = bucket.take(None, 1, now);
        assert!(!refused.admitted);
        assert_eq!((refused.status.quota, refused.status.remaining), (1, 0));
        assert_eq!(refused.retry_after, Some(60_000 * MS));
        assert_eq!(bucket.take_up_to(None, 3, now), (0, refused));

        bucket.charge(None, 2, now);
        bucket.give_back(None, 2, now);
        let at = bucket.gcras[0].at(bucket.nanos(now));
        assert_eq!(at.remaining(bucket.words.word(None, 0)), 5);
    }

    /// Somebody else takes from the second quota just before the first that comes to it.
    #[derive(Clone)]
    struct Contended {
        words: Direct,
        other: Arc<Mutex<Option<(Gcra, u64)>>>,
    }

    impl Words for Contended {
        fn word(&self, key: Option<Key>, index: usize) -> u64 {
            self.words.word(key, index)
        }

        fn update(
            &self,
            key: Option<Key>,
            index: usize,
            fresh: u64,
            worth: impl Fn(u64) -> u64,
            change: impl FnMut(u64) -> Option<u64>,
        ) -> Result<u64, Unchanged> {
            let mut other = self.other.lock().expect("nobody panics with it");
            if let Some((gcra, cost)) = other.take_if(|_| index == 1) {
                let at = gcra.at(0);
                let take = |word| at.take(word, cost);
                let taken = self.words.update(key, index, fresh, &worth, take);
                assert!(taken.is_ok());
            }
            self.words.update(key, index, fresh, worth, change)
        }

        fn forget(&self, key: Option<Key>, index: usize) {
            self.words.forget(key, index);
        }
    }

    #[test]
    fn what_a_later_quota_has_no_longer_goes_back_to_the_earlier_ones() {
        let minute = Quota::per_minute(8);
        let quotas = Quota::per_second(10).and(minute);
        for (others, most, taken) in [(5, 6, 3), (8, 6, 0), (0, 6, 6)] {
            let words = Contended {
                words: Direct::new(2),
                other: Arc::new(Mutex::new(Some((Gcra::new(&minute), others)))),
            };
            let epoch = Instant::now();
            let bucket = TokenBucket::new(&quotas, words, epoch);

            assert_eq!(bucket.take_up_to(None, most, epoch).0, taken);

            let at = bucket.gcras[0].at(0);
            assert_eq!(at.remaining(bucket.words.word(None, 0)), 10 - taken);
        }
    }

    #[test]
    fn a_quota_that_changes_keeps_what_was_taken() {
        let (old, epoch) = bucket(Quota::per_second(100).and(Quota::per_hour(1_000)));
        let now = epoch + 10_000 * MS;
        assert!(old.take(None, 60, now).admitted);

        // The one of an hour is found by its period, and the other by its place.
        let new = follow(&old, &Quota::per_minute(80).and(Quota::per_hour(70)), now);

        let status = new.peek(None, 0, now).status;
        assert_eq!((status.quota, status.limit, status.remaining), (1, 70, 10));
        assert!(new.take(None, 10, now).admitted);
        let wait = Duration::from_nanos(51_428_571_429);
        assert_eq!(new.take(None, 1, now).retry_after, Some(wait));
        // Nothing is inherited twice.
        new.give_back(None, u64::MAX, now);
        assert_eq!(new.peek(None, 0, now).status.remaining, 70);
    }

    #[test]
    fn a_quota_that_moves_is_found_by_its_period() {
        let (old, epoch) = bucket(Quota::per_second(100).and(Quota::per_hour(1_000)));
        assert!(old.take(None, 60, epoch).admitted);

        let now = epoch + 500 * MS;
        let new = follow(&old, &Quota::per_hour(70).into(), now);

        assert_eq!(new.peek(None, 0, now).status.remaining, 10);
    }

    #[test]
    fn whoever_is_not_seen_while_quotas_change_is_remembered_for_some_changes() {
        let (old, epoch) = bucket(Quota::per_hour(100));
        assert!(old.take(None, 40, epoch).admitted);

        let mut latest = old;
        for changes in 1..10 {
            latest = follow(&latest, &Quota::per_hour(100 + changes).into(), epoch);
            let taken = if changes <= 8 { 40 } else { 0 };
            let status = latest.peek(None, 0, epoch).status;
            assert_eq!(status.limit - status.remaining, taken, "{changes} changes");
        }
    }

    #[test]
    fn what_was_taken_before_a_change_comes_back_at_the_new_rate() {
        let (old, epoch) = bucket(Quota::per_second(10));
        assert!(old.take(None, 10, epoch).admitted);

        let now = epoch + 500 * MS;
        let new = follow(&old, &Quota::per_minute(10).into(), now);

        let remaining = |after| new.peek(None, 0, now + after * MS).status.remaining;
        assert_eq!(remaining(0), 5);
        assert_eq!(remaining(5_999), 5);
        assert_eq!(remaining(6_000), 6);
        assert_eq!(remaining(30_000), 10);
    }

    #[test]
    fn what_a_change_left_behind_is_forgotten_once_it_is_settled() {
        let (old, epoch) = bucket(Quota::per_second(10));
        let new = follow(&old, &Quota::per_second(5).into(), epoch);
        assert_eq!(new.settled_at, nanos(2_000 * MS));

        let next = follow(&new, &Quota::per_second(5).into(), epoch + 1_999 * MS);
        assert_eq!(next.before.len(), 2);
        let next = follow(&new, &Quota::per_second(5).into(), epoch + 2_000 * MS);
        assert_eq!(next.before.len(), 1);
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let (bucket, now) = bucket(Quota::per_second(10_000).and(Quota::per_minute(12_000)));

        let taken: u64 = thread::scope(|scope| {
            let take = || {
                let ones = (0..10_000).filter(|_| bucket.take(None, 1, now).admitted);
                ones.count() as u64 + bucket.take_up_to(None, 50, now).0
            };
            let threads = [(); 4].map(|()| scope.spawn(take));
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });

        assert_eq!(taken, 10_000);
    }
}
