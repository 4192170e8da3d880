use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::Key;

use super::tempo::{Place, Tempo};
use crate::decision::Meter;
use crate::gcra::{Gcra, GcraAt, UNTOUCHED};
use crate::tables::Tables;
use crate::token_bucket::TokenBucket;
use crate::total::Term;
use crate::words::{Unchanged, Words};
use crate::{Decision, LeakyBucket, Quota, Status};

/// The machine of a [`LeakyBucket`]: turns that begin at an even pace, in the order in which they
/// are booked.
///
/// It is a token bucket of the size of all that may be in it. Who finds it full is refused, and who
/// is let in has their turn when what is in it has leaked down to the slack.
#[derive(Debug)]
pub(crate) struct Turns<W> {
    bucket: TokenBucket<W>,
    tempo: Arc<Tempo>,
    max_wait: Duration,
}

/// A turn that has been booked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Turn {
    /// How long it takes until it begins.
    pub(crate) wait: Duration,
    pub(super) cost: u64,
    /// The word that it left, which is there as long as no later turn has been booked.
    pub(super) word: u64,
    /// In which term its cost was taken of the total, if in any.
    pub(crate) total: Option<Term>,
}

impl Turn {
    const fn new(wait: Duration, cost: u64, word: u64) -> Self {
        Self {
            wait,
            cost,
            word,
            total: None,
        }
    }

    /// Returns the turn of a call that has taken its cost of the total as well.
    pub(crate) const fn with_total(self, term: Term) -> Self {
        Self {
            total: Some(term),
            ..self
        }
    }
}

impl<W: Words> Turns<W> {
    /// Makes the turns of a valid setting and quota. `words` are untouched, and of no other machine.
    pub(crate) fn new(setting: &LeakyBucket, quota: &Quota, words: W, epoch: Instant) -> Self {
        let gcra = Gcra::of_queue(&setting.bucket(quota), None);
        let tempo = Tempo::new(gcra.clone(), setting.queue + 1, epoch);
        let bucket = TokenBucket::of([gcra].into(), words, epoch);
        Self::of(setting, bucket, tempo)
    }

    /// Makes the turns of another setting or quota, which take the place of these at `now`.
    ///
    /// The turns that have been booked come in their order at the new pace, and those of later calls
    /// after them. `words` are new ones again.
    pub(crate) fn followed_by(
        &self,
        setting: &LeakyBucket,
        quota: &Quota,
        words: W,
        now: Instant,
    ) -> Self {
        let (gcra, epoch) = self.tempo.next_of(&setting.bucket(quota));
        let tempo = Tempo::new(gcra.clone(), setting.queue + 1, epoch);
        let bucket = TokenBucket::of([gcra].into(), words, epoch);
        let next = Self::of(setting, self.bucket.before(bucket, now), tempo);
        self.tempo.is_followed_by(&next.tempo, now);
        next
    }

    fn of(setting: &LeakyBucket, bucket: TokenBucket<W>, tempo: Tempo) -> Self {
        Self {
            bucket,
            tempo: Arc::new(tempo),
            max_wait: setting.max_wait.unwrap_or(Duration::MAX),
        }
    }

    /// Books a turn for a call of `cost` that waits no longer than `patience`, which is until its
    /// deadline. It is asked for only if the call has to wait.
    ///
    /// # Errors
    ///
    /// If the bucket is too full for it, or its turn would begin too late: it has booked nothing.
    #[inline]
    pub(crate) fn book(
        &self,
        key: Option<Key>,
        cost: u64,
        now: Instant,
        patience: impl FnOnce() -> Duration,
    ) -> Result<Turn, Decision> {
        let at = self.bucket.first_at(now);
        if cost == 0 {
            let (word, wait) = (self.bucket.first_word(key, at), Duration::ZERO);
            return Ok(Turn::new(wait, cost, word));
        }
        let patience = LazyCell::new(|| patience().min(self.max_wait));
        let mut wait = Duration::ZERO;
        let booked = self.bucket.update_first(key, at, |word| {
            wait = self.wait(at, word);
            at.take(word, cost)
                .filter(|_| wait.is_zero() || wait <= *patience)
        });
        match booked {
            Ok(word) => Ok(Turn::new(wait, cost, word)),
            Err(unchanged) => Err(self.refused(at, unchanged, cost, *patience)),
        }
    }

    /// Says how the bucket stands right after a turn was booked.
    pub(crate) fn status(&self, turn: &Turn, now: Instant) -> Status {
        self.bucket.first_at(now).status(turn.word, 0)
    }

    /// Gives a turn back whose call has gone away before it began, if no later turn depends on it,
    /// and returns whether it did.
    ///
    /// If one does, it is too late: to move that forward is no longer possible, and to let another
    /// have this one would be to let them overtake.
    pub(crate) fn give_turn_back(&self, key: Option<Key>, turn: &Turn, now: Instant) -> bool {
        let at = self.bucket.first_at(now);
        let given_back = self.bucket.update_first(key, at, |word| {
            let is_last = word == turn.word && turn.cost > 0;
            is_last.then(|| at.give_back(word, turn.cost)).flatten()
        });
        if given_back.is_ok() {
            self.bucket.forget_past(key, at);
        }
        given_back.is_ok()
    }

    /// Returns the place in the queue of a call that has booked `turn` just now.
    pub(crate) fn place(&self, turn: Turn, now: Instant) -> Place {
        Place::new(turn, &self.tempo, now)
    }

    /// Does as [`give_turn_back`](Self::give_turn_back), if it is a turn of this queue.
    pub(crate) fn give_place_back(&self, key: Option<Key>, place: &Place, now: Instant) -> bool {
        Arc::ptr_eq(&self.tempo, &place.tempo) && self.give_turn_back(key, &place.turn, now)
    }

    /// Returns how long it takes until the turn begins that comes after `word`.
    #[inline]
    fn wait(&self, at: GcraAt<'_>, word: u64) -> Duration {
        self.tempo.wait(at, word)
    }

    #[cold]
    fn refused(
        &self,
        at: GcraAt<'_>,
        unchanged: Unchanged,
        cost: u64,
        patience: Duration,
    ) -> Decision {
        match unchanged {
            Unchanged::Word(word) => self.decide(at, word, cost, patience),
            Unchanged::NoRoom => {
                let mut status = at.status(UNTOUCHED, 0);
                status.remaining = 0;
                status.reset = status.window;
                Decision::refused(status, Some(status.window))
            }
        }
    }

    /// Says what becomes of a call of `cost`.
    fn decide(&self, at: GcraAt<'_>, word: u64, cost: u64, patience: Duration) -> Decision {
        let status = at.status(word, 0);
        let too_long = self.wait(at, word).saturating_sub(patience);
        match at.wait(word, cost) {
            _ if cost == 0 => Decision::admitted(status),
            None => Decision::refused(status, None),
            Some(too_full) if too_full.is_zero() && too_long.is_zero() => {
                Decision::admitted(status)
            }
            Some(too_full) => Decision::refused(status, Some(too_full.max(too_long))),
        }
    }
}

impl Turns<Tables> {
    /// Makes room for keys.
    pub(crate) fn make_room(&self) {
        self.bucket.make_room();
    }

    /// Returns how many keys have something to get back. `None` if there are no keys.
    pub(crate) fn keys(&self, now: Instant) -> Option<usize> {
        self.bucket.keys(now)
    }

    /// Returns how many keys were forgotten before they had. `None` if there are no keys.
    pub(crate) fn evicted(&self) -> Option<u64> {
        self.bucket.evicted()
    }
}

/// What is taken here begins at once, or not at all.
impl<W: Words> Meter for Turns<W> {
    fn take(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        match self.book(key, cost, now, || Duration::ZERO) {
            Ok(turn) => Decision::admitted(self.status(&turn, now)),
            Err(decision) => decision,
        }
    }

    fn take_up_to(&self, key: Option<Key>, most: u64, now: Instant) -> (u64, Decision) {
        let at = self.bucket.first_at(now);
        let mut taken = 0;
        let updated = self.bucket.update_first(key, at, |word| {
            if most == 0 || !self.wait(at, word).is_zero() {
                return None;
            }
            // Nothing may be left even so, of what penalties have taken.
            taken = at.remaining(word).min(most);
            (taken > 0).then(|| at.take(word, taken)).flatten()
        });
        match updated {
            Ok(word) => (taken, Decision::admitted(at.status(word, 0))),
            Err(unchanged) => {
                let refused = self.refused(at, unchanged, most.min(1), Duration::ZERO);
                (0, refused)
            }
        }
    }

    /// Says what would become of a call that waits as long as it may.
    fn peek(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        let at = self.bucket.first_at(now);
        let word = self.bucket.first_word(key, at);
        self.decide(at, word, cost, self.max_wait)
    }

    fn give_back(&self, key: Option<Key>, cost: u64, now: Instant) {
        self.bucket.give_back(key, cost, now);
    }

    fn charge(&self, key: Option<Key>, cost: u64, now: Instant) {
        self.bucket.charge(key, cost, now);
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::WhenFull;
    use crate::window::Room;
    use crate::words::Direct;

    const MS: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::MAX;

    fn turns(quota: Quota, queue: u64, slack: u64) -> (Turns<Direct>, Instant) {
        let setting = LeakyBucket {
            queue,
            slack,
            max_wait: None,
        };
        assert_eq!(setting.validate(&quota.into()), Ok(()));
        let epoch = Instant::now();
        (Turns::new(&setting, &quota, Direct::new(1), epoch), epoch)
    }

    fn book(turns: &Turns<Direct>, now: Instant) -> Turn {
        turns.book(None, 1, now, || LONG).expect("a free turn")
    }

    fn wait(turns: &Turns<Direct>, now: Instant) -> Duration {
        book(turns, now).wait
    }

    #[test]
    fn a_turn_that_was_given_back_after_a_change_is_not_owed_again() {
        let acme = Some(Key::of("acme"));
        let setting = |queue| LeakyBucket {
            queue,
            ..LeakyBucket::default()
        };
        let room = Room {
            max_keys: 16,
            when_full: WhenFull::Evict,
        };
        let tables = || Tables::new(1, room);
        let (quota, now) = (Quota::per_second(1), Instant::now());
        let turns = Turns::new(&setting(10), &quota, tables(), now);
        turns.book(acme, 1, now, || LONG).unwrap();
        let turn = turns.book(acme, 3, now, || LONG).unwrap();
        let mut place = turns.place(turn, now);

        let turns = turns.followed_by(&setting(11), &quota, tables(), now);
        assert!(place.follow());
        assert!(turns.give_place_back(acme, &place, now));
        let later = now + 1_000 * MS;
        for other in (0..1_000_u64).map(Key::of) {
            let _ = turns.book(Some(other), 1, later, || LONG);
        }

        assert!(turns.book(acme, 1, later, || LONG).unwrap().wait.is_zero());
    }

    #[test]
    fn turns_begin_at_an_even_pace_and_the_queue_is_bounded() {
        let (turns, now) = turns(Quota::per_second(10), 3, 0);

        for number in 0..=3 {
            assert_eq!(wait(&turns, now), number * 100 * MS);
        }

        let refused = turns.book(None, 1, now, || LONG).unwrap_err();
        assert_eq!(refused.retry_after, Some(100 * MS));
        assert_eq!(refused.status.remaining, 0);
        assert_eq!(wait(&turns, now + 100 * MS), 300 * MS);
    }

    /// As a limiter of one a cycle: one that goes, one that waits for the next cycle, and one that
    /// would have to wait too long and takes nothing.
    #[test]
    fn who_would_wait_too_long_is_refused_at_once_and_takes_nothing() {
        let (turns, now) = turns(Quota::per_second(1), 10, 0);
        assert_eq!(wait(&turns, now), Duration::ZERO);
        assert_eq!(wait(&turns, now), 1_000 * MS);

        for _ in 0..3 {
            let refused = turns.book(None, 1, now, || 1_500 * MS).unwrap_err();
            assert_eq!(refused.retry_after, Some(500 * MS));
        }

        assert_eq!(wait(&turns, now), 2_000 * MS);
    }

    #[test]
    fn the_setting_bounds_the_wait_too() {
        let setting = LeakyBucket {
            queue: 10,
            slack: 0,
            max_wait: Some(100 * MS),
        };
        let now = Instant::now();
        let turns = Turns::new(&setting, &Quota::per_second(10), Direct::new(1), now);
        book(&turns, now);
        book(&turns, now);

        let refused = turns.book(None, 1, now, || LONG).unwrap_err();

        assert_eq!(refused.retry_after, Some(100 * MS));
        assert_eq!(turns.peek(None, 1, now), refused);
        assert!(turns.peek(None, 1, now + 100 * MS).admitted);
    }

    #[test]
    fn without_slack_a_pause_saves_no_turns() {
        let (turns, epoch) = turns(Quota::per_second(10), 5, 0);
        let now = epoch + 10_000 * MS;

        assert_eq!(wait(&turns, now), Duration::ZERO);
        assert_eq!(wait(&turns, now), 100 * MS);
    }

    #[test]
    fn a_pause_saves_as_many_turns_as_there_is_slack() {
        let (turns, now) = turns(Quota::per_second(10), 5, 2);

        let waits = [(); 5].map(|()| wait(&turns, now));
        assert_eq!(waits, [0, 0, 0, 100, 200].map(|wait| wait * MS));

        let now = now + 400 * MS;
        let waits = [(); 4].map(|()| wait(&turns, now));
        assert_eq!(waits, [0, 0, 100, 200].map(|wait| wait * MS));
    }

    #[test]
    fn a_dear_call_keeps_the_next_one_waiting_for_longer() {
        let (turns, now) = turns(Quota::per_second(10), 6, 0);
        let dear = |cost| turns.book(None, cost, now, || LONG);

        assert_eq!(dear(4).unwrap().wait, Duration::ZERO);
        assert_eq!(dear(3).unwrap().wait, 400 * MS);
        assert_eq!(dear(1).unwrap_err().retry_after, Some(100 * MS));
        assert_eq!(dear(7).unwrap_err().retry_after, Some(700 * MS));
        assert_eq!(dear(8).unwrap_err().retry_after, None);
    }

    #[test]
    fn the_last_turn_can_be_given_back() {
        let (turns, now) = turns(Quota::per_second(10), 5, 0);
        book(&turns, now);
        let last = book(&turns, now);

        assert!(turns.give_turn_back(None, &last, now + 20 * MS));

        assert_eq!(wait(&turns, now + 20 * MS), 80 * MS);
    }

    #[test]
    fn an_earlier_turn_goes_unused() {
        let (turns, now) = turns(Quota::per_second(10), 5, 0);
        book(&turns, now);
        let earlier = book(&turns, now);
        book(&turns, now);

        assert!(!turns.give_turn_back(None, &earlier, now));

        assert_eq!(wait(&turns, now), 300 * MS);
    }

    #[test]
    fn a_turn_that_costs_nothing_comes_at_once_and_leaves_nothing_to_give_back() {
        let (turns, now) = turns(Quota::per_second(10), 0, 0);
        book(&turns, now);

        let turn = turns.book(None, 0, now, || Duration::ZERO).unwrap();

        assert_eq!(turn.wait, Duration::ZERO);
        assert!(!turns.give_turn_back(None, &turn, now));
    }

    #[test]
    fn what_is_taken_without_a_turn_begins_at_once_or_not_at_all() {
        let (turns, now) = turns(Quota::per_second(10), 5, 2);

        assert_eq!(turns.take_up_to(None, 2, now).0, 2);
        assert!(turns.take(None, 1, now).admitted);
        let refused = turns.take(None, 1, now);
        assert_eq!(refused.retry_after, Some(100 * MS));
        assert_eq!(turns.take_up_to(None, 2, now), (0, refused));
    }

    #[test]
    fn a_penalty_moves_the_next_turn_on() {
        let (turns, now) = turns(Quota::per_second(10), 5, 0);

        turns.charge(None, 3, now);

        assert_eq!(wait(&turns, now), 300 * MS);
    }

    /// Returns the places of so many who book now.
    fn places(turns: &Turns<Direct>, count: usize, now: Instant) -> Vec<Place> {
        let places = (0..count).map(|_| turns.place(book(turns, now), now));
        places.collect()
    }

    fn follow(turns: &Turns<Direct>, (rate, queue, slack): Terms, now: Instant) -> Turns<Direct> {
        let setting = LeakyBucket {
            queue,
            slack,
            max_wait: None,
        };
        turns.followed_by(&setting, &Quota::per_second(rate), Direct::new(1), now)
    }

    #[test]
    fn who_waits_goes_over_to_another_pace_and_who_comes_later_comes_after_them() {
        for (terms, waits, last) in [
            ((100, 50, 0), [0, 5, 15], 25),
            ((1, 50, 0), [0, 500, 1_500], 2_500),
            ((10, 50, 2), [0, 0, 0], 50),
            ((10, 3, 0), [0, 50, 150], 250),
        ] {
            let (before, now) = turns(Quota::per_second(10), 5, 0);
            let places = places(&before, 3, now);

            let now = now + 50 * MS;
            let turns = follow(&before, terms, now);

            for (mut place, wait) in places.into_iter().zip(waits) {
                assert!(place.follow());
                let begins_in = place.begins_at().saturating_duration_since(now);
                assert_eq!(begins_in, wait * MS, "{terms:?}");
            }
            assert_eq!(wait(&turns, now), last * MS, "{terms:?}");
        }
    }

    #[test]
    fn a_queue_that_is_longer_than_the_next_one_may_be_lets_nobody_overtake() {
        let (before, now) = turns(Quota::per_second(10), 20, 0);
        let mut places = places(&before, 20, now);

        let turns = follow(&before, (100, 2, 0), now);

        let full = turns.book(None, 1, now, || LONG).unwrap_err();
        assert_eq!(full.retry_after, Some(180 * MS));
        let mut last = places.pop().unwrap();
        last.follow();
        assert_eq!(last.begins_at(), now + 190 * MS);
        assert_eq!(wait(&turns, now + 180 * MS), 20 * MS);
    }

    #[test]
    fn the_last_turn_can_be_given_back_at_another_pace() {
        let (before, now) = turns(Quota::per_second(10), 5, 0);
        let [_, mut earlier, mut last] = places(&before, 3, now).try_into().unwrap();
        let turns = follow(&before, (7, 5, 0), now);
        let turns = follow(&turns, (100, 5, 0), now);
        assert!(
            !turns.give_place_back(None, &last, now),
            "it did not follow"
        );

        earlier.follow();
        last.follow();
        assert!(!turns.give_place_back(None, &earlier, now));
        assert!(turns.give_place_back(None, &last, now));

        assert_eq!(wait(&turns, now), 20 * MS);
    }

    /// As many as would not fit on a stack one within the other.
    #[test]
    fn who_did_not_follow_for_long_lets_go_of_all_changes() {
        let (mut turns, now) = turns(Quota::per_second(10), 5, 0);
        let place = places(&turns, 1, now);

        for _ in 0..100_000 {
            turns = follow(&turns, (10, 5, 0), now);
        }

        drop(turns);
        drop(place);
    }

    #[test]
    fn a_time_that_steps_back_gives_no_turn_twice() {
        let (turns, epoch) = turns(Quota::per_second(10), 50, 0);
        let now = epoch + 1_000 * MS;
        book(&turns, now);

        assert_eq!(wait(&turns, epoch + 500 * MS), 600 * MS);
        assert_eq!(wait(&turns, now), 200 * MS);
    }

    #[test]
    fn threads_never_book_the_same_turn() {
        let (turns, now) = turns(Quota::per_second(1_000), 10_000, 0);

        let mut waits: Vec<Duration> = thread::scope(|scope| {
            let book = || (0..500).map(|_| wait(&turns, now)).collect::<Vec<_>>();
            let threads = [(); 4].map(|()| scope.spawn(book));
            let waits = threads.map(|thread| thread.join().unwrap());
            waits.into_iter().flatten().collect()
        });

        waits.sort_unstable();
        let expected: Vec<_> = (0..2_000).map(|number| number * MS).collect();
        assert_eq!(waits, expected);
    }

    proptest! {
        /// Whatever comes, waits or gives up: turns begin in the order in which they were booked,
        /// and in no time begin more than what comes in it, one, and the slack.
        #[test]
        fn turns_keep_their_order_and_their_pace(
            (tokens, period, slack) in (1..50_u64, 1..2_000_u32, 0..4_u64),
            arrivals in vec((0..3_000_u32, 0..40_u32, any::<Option<Index>>()), 1..80),
        ) {
            let period = period * MS;
            let (turns, mut now) = turns(Quota::new(tokens, period), 20, slack);
            let mut starts: Vec<Instant> = Vec::new();
            let mut waiting: Vec<(Instant, Turn)> = Vec::new();

            for (idle, patience, gives_up) in arrivals {
                now += period * idle / 1_000 / tokens as u32;
                let due = waiting.iter().take_while(|(start, _)| *start <= now).count();
                starts.extend(waiting.drain(..due).map(|(start, _)| start));
                let patience = period * patience / tokens as u32;
                if let Ok(turn) = turns.book(None, 1, now, || patience) {
                    prop_assert!(turn.wait <= patience);
                    waiting.push((now + turn.wait, turn));
                }
                if let (Some(index), 1..) = (gives_up, waiting.len()) {
                    let (_, turn) = waiting.remove(index.index(waiting.len()));
                    turns.give_turn_back(None, &turn, now);
                }
                prop_assert!(waiting.is_sorted_by_key(|(start, _)| *start));
            }
            starts.extend(waiting.iter().map(|(start, _)| *start));

            prop_assert!(starts.is_sorted());
            for (index, first) in starts.iter().enumerate() {
                for (more, last) in starts[index..].iter().enumerate() {
                    // The beginnings are rounded to the nanosecond.
                    let time = (*last - *first).as_nanos() + 1;
                    let come = time * u128::from(tokens) / period.as_nanos();
                    prop_assert!(more as u128 <= come + u128::from(slack));
                }
            }
        }

        /// A model that counts in billionths of tokens what has come since the beginning, as the
        /// rates in force have it. A call begins when its turn has come, but for the slack.
        #[test]
        fn turns_keep_their_order_and_the_paces_in_force(
            first in terms(),
            events in vec((0..400_u64, 0..5_u8, terms(), any::<Index>()), 1..100),
        ) {
            let (mut turns, epoch) = turns(Quota::per_second(first.0), first.1, first.2);
            let (mut now, mut model) = (epoch, Model::new(first));
            let mut waiting: Vec<(Place, u128)> = Vec::new();
            let mut starts: Vec<Instant> = Vec::new();

            for (idle, event, terms, index) in events {
                now += Duration::from_millis(idle);
                model.pass(idle);
                let is_due = |(place, _): &&(Place, u128)| place.begins_at() <= now;
                let due = waiting.iter().take_while(is_due).count();
                starts.extend(waiting.drain(..due).map(|(place, _)| place.begins_at()));
                match event {
                    0 => {
                        turns = follow(&turns, terms, now);
                        waiting.iter_mut().for_each(|(place, _)| assert!(place.follow()));
                        model.terms = terms;
                    }
                    1 if !waiting.is_empty() => {
                        let (place, turn) = waiting.remove(index.index(waiting.len()));
                        turns.give_place_back(None, &place, now);
                        model.give_back(turn);
                    }
                    _ => if let Ok(turn) = turns.book(None, 1, now, || LONG) {
                        waiting.push((turns.place(turn, now), model.book()));
                    }
                }
                for (place, turn) in &waiting {
                    let expected = model.time_until(*turn);
                    let begins_in = place.begins_at().saturating_duration_since(now).as_nanos();
                    prop_assert!(begins_in.abs_diff(expected) <= 100, "{begins_in} {expected}");
                }
                let begin = waiting.iter().map(|(place, _)| place.begins_at().max(now));
                prop_assert!(begin.is_sorted());
            }
            prop_assert!(starts.is_sorted());
        }
    }

    /// A rate a second, a queue and a slack.
    type Terms = (u64, u64, u64);

    fn terms() -> impl Strategy<Value = Terms> {
        (1..50_u64, 0..30_u64, 0..4_u64)
    }

    const TOKEN: u128 = 1_000_000_000;

    struct Model {
        terms: Terms,
        come: u128,
        /// When as much has come, the next turn begins.
        booked: u128,
    }

    impl Model {
        fn new(terms: Terms) -> Self {
            let (come, booked) = (100 * TOKEN, 0);
            Self {
                terms,
                come,
                booked,
            }
        }

        fn pass(&mut self, ms: u64) {
            self.come += u128::from(ms * self.terms.0) * TOKEN / 1_000;
        }

        fn book(&mut self) -> u128 {
            let turn = self.booked.max(self.come);
            self.booked = turn + TOKEN;
            turn
        }

        fn give_back(&mut self, turn: u128) {
            if self.booked == turn + TOKEN {
                self.booked = turn;
            }
        }

        fn time_until(&self, turn: u128) -> u128 {
            let (rate, _, slack) = self.terms;
            let come = self.come + u128::from(slack) * TOKEN;
            turn.saturating_sub(come) / u128::from(rate)
        }
    }
}
