use std::time::Duration;

use tokio::time::Instant;

use crate::store::Answer;
use crate::{Decision, Quota, Status};

/// What a process holds of the quotas of one key.
#[derive(Debug)]
pub(super) struct Permits {
    /// How many are left of what was taken.
    left: u64,
    /// How many were spent since.
    spent: u64,
    taken_at: Instant,
    /// How many are to be taken next.
    next: u64,
    /// When the store was asked last.
    asked_at: Option<Instant>,
    /// Until when there is nothing to be had, it seems.
    none_until: Option<Instant>,
    /// How the store said that it stood.
    status: Status,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    Answer(Answer),
    /// The store has to be asked for so many.
    TooFew(u64),
}

impl Permits {
    /// The least time that what is left can be spent: who comes by every few seconds need not ask
    /// each time.
    pub(super) const LAPSE_FROM: Duration = Duration::from_secs(10);
    /// The longest.
    pub(super) const LAPSE_TO: Duration = Duration::from_secs(3_600);

    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: 0,
            spent: 0,
            taken_at: now,
            next: 1,
            asked_at: None,
            none_until: None,
            status: Status::default(),
        }
    }

    /// Returns how many are left.
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// Spends what a call costs, if it is there.
    pub(super) fn spend(&mut self, cost: u64, quotas: &[Quota], now: Instant) -> Found {
        self.lapse(quotas, now);
        if cost <= self.left {
            self.left -= cost;
            self.spent += cost;
            return Found::Answer(Answer::new(Decision::admitted(self.status()), cost));
        }
        match self.none_until.filter(|until| *until > now) {
            Some(until) => {
                let refused = Decision::refused(self.status(), Some(until - now));
                Found::Answer(Answer::new(refused, 0))
            }
            None => Found::TooFew(self.next.max(cost) - self.left),
        }
    }

    /// Takes in what the store has granted of so many, of which no more than `most` are to be held.
    pub(super) fn take_in(&mut self, wanted: u64, most: u64, answer: &Answer, now: Instant) {
        let since = self.asked_at.replace(now);
        let since = since.map(|at| now.saturating_duration_since(at));
        // Two may have asked, the one whom nobody waits for any more and another.
        self.left = (self.left + answer.taken).min(most);
        self.spent = 0;
        self.taken_at = now;
        self.status = answer.decision.status;
        if answer.taken >= wanted {
            self.none_until = None;
            self.next = (2 * self.next).min(most);
        } else {
            self.none_until = Some(now + self.pause(wanted, since, answer));
        }
    }

    /// Takes a penalty out of what is left, and returns how much of it is to be taken elsewhere.
    pub(super) fn charge(&mut self, cost: u64) -> u64 {
        let here = cost.min(self.left);
        self.left -= here;
        cost - here
    }

    /// Returns how the limit stands as far as it is known here.
    pub(super) fn status(&self) -> Status {
        let mut status = self.status;
        status.remaining = status.remaining.saturating_add(self.left).min(status.limit);
        status
    }

    /// After the longest of the windows the store has got back what was taken, and it would come on
    /// top. Who has not spent it by then needs less at a time.
    fn lapse(&mut self, quotas: &[Quota], now: Instant) {
        let windows = quotas.iter().map(Quota::window);
        let window = windows.max().unwrap_or_default();
        let lapse = window.clamp(Self::LAPSE_FROM, Self::LAPSE_TO);
        if self.left > 0 && now.saturating_duration_since(self.taken_at) >= lapse {
            self.left = 0;
            self.next = self.spent.max(1);
        }
    }

    /// Returns how long it takes until it is worth while to ask again: as long as, at what the store
    /// has granted since it was asked before, it takes to get all that is wanted.
    ///
    /// Others ask for the same, and how many they are shows in nothing else. Half a window is the
    /// most, or more would come back than the store can keep.
    fn pause(&self, wanted: u64, since: Option<Duration>, answer: &Answer) -> Duration {
        let Status { window, limit, .. } = self.status;
        let one = window / u32::try_from(limit.max(1)).unwrap_or(u32::MAX);
        let all = one.saturating_mul(u32::try_from(wanted).unwrap_or(u32::MAX));
        let since = since.unwrap_or(all).max(all);
        let times = (wanted as f64 / answer.taken.max(1) as f64).min(2.0);
        let pause = since.mul_f64(times).min(window / 2);
        pause.max(answer.decision.retry_after.unwrap_or(one))
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// A limit of a hundred a second.
    const QUOTAS: [Quota; 1] = [Quota::per_second(100)];

    fn granted(taken: u64) -> Answer {
        let status = Status {
            quota: 0,
            limit: 100,
            remaining: 40,
            reset: SECOND,
            window: SECOND,
        };
        let decision = if taken > 0 {
            Decision::admitted(status)
        } else {
            Decision::refused(status, Some(10 * MS))
        };
        Answer::new(decision, taken)
    }

    /// Returns how long nothing is asked after less was granted than wanted.
    fn pause(permits: &mut Permits, now: Instant) -> Duration {
        while permits.left() > 0 {
            permits.spend(1, &QUOTAS, now);
        }
        match permits.spend(1, &QUOTAS, now) {
            Found::Answer(answer) => answer.decision.retry_after.unwrap_or_default(),
            Found::TooFew(_) => Duration::ZERO,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_half_of_it_asks_again_after_twice_the_time() {
        let now = Instant::now();
        let mut permits = Permits::new(now);
        permits.take_in(8, 8, &granted(8), now);
        assert_eq!(pause(&mut permits, now), Duration::ZERO);

        permits.take_in(8, 8, &granted(4), now + 100 * MS);
        assert_eq!(pause(&mut permits, now + 100 * MS), 200 * MS);
        permits.take_in(8, 8, &granted(6), now + 300 * MS);
        let third = pause(&mut permits, now + 300 * MS);
        assert_eq!(third, (200 * MS).mul_f64(8.0 / 6.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_at_least_what_so_many_take_and_at_most_half_a_window() {
        let now = Instant::now();
        let mut permits = Permits::new(now);

        permits.take_in(8, 8, &granted(0), now);
        assert_eq!(pause(&mut permits, now), 160 * MS);
        let later = now + 10 * SECOND;
        permits.take_in(8, 8, &granted(0), later);
        assert_eq!(pause(&mut permits, later), 500 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_spent_in_a_pause_too() {
        let now = Instant::now();
        let mut permits = Permits::new(now);
        permits.take_in(8, 8, &granted(2), now);

        let Found::Answer(answer) = permits.spend(2, &QUOTAS, now) else {
            panic!("they are there");
        };
        assert!(answer.decision.admitted);
        assert_eq!(answer.decision.status.remaining, 40);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_spent_is_what_is_taken_after_a_lapse() {
        let now = Instant::now();
        let mut permits = Permits::new(now);
        permits.take_in(1, 64, &granted(1), now);
        permits.take_in(63, 64, &granted(63), now);
        for _ in 0..5 {
            permits.spend(1, &QUOTAS, now);
        }

        let later = now + Permits::LAPSE_FROM;

        assert_eq!(permits.spend(1, &QUOTAS, later), Found::TooFew(5));
        assert_eq!(permits.left(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn two_grants_are_no_more_than_the_most_that_is_held() {
        let now = Instant::now();
        let mut permits = Permits::new(now);

        permits.take_in(8, 8, &granted(8), now);
        permits.take_in(8, 8, &granted(8), now);

        assert_eq!(permits.left(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_steps_back_changes_nothing() {
        let now = Instant::now() + SECOND;
        let mut permits = Permits::new(now);
        permits.take_in(4, 8, &granted(4), now);
        permits.take_in(8, 8, &granted(1), now - SECOND);

        assert_eq!(permits.left(), 5);
        assert!(matches!(
            permits.spend(5, &QUOTAS, now - SECOND),
            Found::Answer(_)
        ));
    }
}
