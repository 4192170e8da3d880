//! What one server allows, by its own words. Nothing here waits or reads the clock.

use std::time::Duration;

use tokio::time::Instant;

use super::purse::{Purse, after};
use super::said::{Limit, Said};

/// Says when calls to one server may start.
#[derive(Debug)]
pub(super) struct Allowance {
    phase: Phase,
    /// The limits that are known, while the phase is `Open`.
    purses: Vec<Purse>,
    /// How many calls have started and have not been answered.
    in_flight: u64,
    /// How many calls have started.
    started: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Calls start as the purses allow.
    Open,
    /// None starts before. Then: `Asking`.
    Held(Instant),
    /// What was known is over. One call is out to find what there is; if its answer says nothing,
    /// all is open. The others wait, or all that have waited would come at once.
    Asking,
}

/// What becomes of a call that wants to start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    Now(Ticket),
    /// It may start at this time.
    At(Instant),
    /// It may start when an answer has come.
    WhenAnswered,
}

/// A call that has started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ticket {
    /// Which call it is: they are counted as they start.
    number: u64,
    /// Whether others wait for what it is answered.
    asks: bool,
}

/// How an answer changes what is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// At which share of a quota calls begin to be spread.
    pub(super) spread_below: f64,
    /// The longest time for which a server is believed.
    pub(super) max_hold: Duration,
}

/// How many limits of one server are kept.
const MOST_PURSES: usize = 8;

impl Allowance {
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Open,
            purses: Vec::new(),
            in_flight: 0,
            started: 0,
        }
    }

    /// Starts a call, if it may.
    pub(super) fn start(&mut self, now: Instant) -> Start {
        self.settle(now);
        match self.phase {
            Phase::Open => match self.opens_at(now) {
                Some(at) if at > now => return Start::At(at),
                Some(_) => {}
                None if self.in_flight > 0 => return Start::WhenAnswered,
                None => return self.ask(),
            },
            Phase::Held(until) if until > now => return Start::At(until),
            Phase::Held(_) => return self.ask(),
            Phase::Asking => return Start::WhenAnswered,
        }
        for purse in &mut self.purses {
            purse.take(now);
        }
        Start::Now(self.ticket(false))
    }

    /// Notes a call that starts whatever is known.
    pub(super) fn start_anyway(&mut self) -> Ticket {
        self.ticket(false)
    }

    /// Returns when a call would start before which there are `ahead` others, as far as one can
    /// know. `None`: with the next answer.
    pub(super) fn estimate(&mut self, ahead: u64, now: Instant) -> Option<Instant> {
        self.settle(now);
        match self.phase {
            Phase::Asking => None,
            Phase::Held(until) => Some(until.max(now)),
            Phase::Open => {
                let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
                let interval = self.purses.iter().map(Purse::interval).max();
                let queue = interval.unwrap_or_default().saturating_mul(ahead);
                Some(after(self.opens_at(now)?, queue))
            }
        }
    }

    /// Takes in what the answer to a call says.
    pub(super) fn answered(
        &mut self,
        ticket: Ticket,
        said: Option<Said>,
        terms: Terms,
        now: Instant,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let is_answer = ticket.asks && matches!(self.phase, Phase::Asking);
        if is_answer {
            self.open();
        }
        match said {
            None => {}
            Some(Said::Hold(time)) => self.hold(time, terms, now),
            Some(Said::Limits(limits)) => {
                for limit in limits {
                    self.learn(&limit, ticket, terms, now);
                }
            }
        }
    }

    /// Notes that a call came to an end without an answer.
    pub(super) fn gone(&mut self, ticket: Ticket, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if ticket.asks && matches!(self.phase, Phase::Asking) {
            self.phase = Phase::Held(now);
        }
    }

    /// Forgets what the server has said.
    pub(super) fn forget(&mut self) {
        self.open();
    }

    /// Returns until when what is known holds: `now` if nothing is.
    pub(super) fn holds_until(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Open if self.purses.is_empty() => Some(now),
            Phase::Open => self.opens_at(now),
            Phase::Held(until) => Some(until.max(now)),
            Phase::Asking => None,
        }
    }

    /// Returns whether there is nothing to forget.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.phase, Phase::Open) && self.purses.is_empty() && self.in_flight == 0
    }

    /// Lets go of what is over. A limit that was used up is one to ask about, and another begins
    /// anew, as far as it is known.
    fn settle(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let was_used_up = |purse: &Purse| purse.is_over(now) && purse.is_empty();
        if self.purses.iter().any(was_used_up) {
            self.phase = Phase::Held(now);
            return;
        }
        let in_flight = self.in_flight;
        self.purses.retain_mut(|purse| {
            if !purse.is_over(now) {
                return true;
            }
            let is_known = purse.renew();
            purse.spend(in_flight);
            is_known
        });
    }

    /// Returns when all purses are open. `None`: with an answer.
    fn opens_at(&self, now: Instant) -> Option<Instant> {
        let mut purses = self.purses.iter();
        purses.try_fold(now, |at, purse| Some(at.max(purse.opens_at(now)?)))
    }

    fn ask(&mut self) -> Start {
        self.phase = Phase::Asking;
        self.purses.clear();
        Start::Now(self.ticket(true))
    }

    fn ticket(&mut self, asks: bool) -> Ticket {
        self.in_flight += 1;
        self.started += 1;
        Ticket {
            number: self.started,
            asks,
        }
    }

    fn open(&mut self) {
        self.phase = Phase::Open;
        self.purses.clear();
    }

    /// A hold is never shortened: answers may overtake each other.
    fn hold(&mut self, time: Duration, terms: Terms, now: Instant) {
        let until = after(now, time.min(terms.max_hold));
        self.phase = match self.phase {
            Phase::Held(before) => Phase::Held(before.max(until)),
            Phase::Open | Phase::Asking => Phase::Held(until),
        };
    }

    fn learn(&mut self, limit: &Limit, ticket: Ticket, terms: Terms, now: Instant) {
        let until = limit.reset.or(limit.interval);
        if let (0, Some(time)) = (limit.left, until) {
            return self.hold(time, terms, now);
        }
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let limit = Limit {
            reset: limit.reset.map(|time| time.min(terms.max_hold)),
            ..*limit
        };
        let place = self.purses.iter().position(|purse| purse.id == limit.id);
        let before = place.map(|place| &self.purses[place]);
        if before.is_some_and(|before| before.told_by > ticket.number) {
            return;
        }
        let mut purse = Purse::new(&limit, ticket.number, terms.spread_below, now);
        purse.spend(self.in_flight);
        if let Some(before) = before {
            purse.follow(before, now);
        }
        match place {
            Some(place) => self.purses[place] = purse,
            None if self.purses.len() < MOST_PURSES => self.purses.push(purse),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use watertight_core::Key;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const TERMS: Terms = Terms {
        spread_below: 0.5,
        max_hold: Duration::from_secs(3600),
    };

    fn limit(left: u64, quota: Option<u64>, reset: u64) -> Limit {
        Limit {
            id: Key::of("a"),
            left,
            quota,
            reset: Some(Duration::from_secs(reset)),
            interval: None,
        }
    }

    fn says(limit: Limit) -> Option<Said> {
        Some(Said::Limits(vec![limit]))
    }

    /// An allowance that has been told `said` by its first call.
    fn told(said: Option<Said>) -> (Allowance, Instant) {
        let (mut allowance, now) = (Allowance::new(), Instant::now());
        let first = started(&mut allowance, now);
        allowance.answered(first, said, TERMS, now);
        (allowance, now)
    }

    fn started(allowance: &mut Allowance, now: Instant) -> Ticket {
        match allowance.start(now) {
            Start::Now(ticket) => ticket,
            start => panic!("it does not start: {start:?}"),
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_open() {
        let (mut allowance, now) = told(None);

        for _ in 0..100 {
            started(&mut allowance, now);
        }
    }

    #[test]
    fn nothing_starts_in_a_hold_and_one_goes_ahead_after_it() {
        let (mut allowance, now) = told(Some(Said::Hold(3 * SECOND)));

        assert_eq!(allowance.start(now), Start::At(now + 3 * SECOND));
        let later = now + 3 * SECOND;
        let asks = started(&mut allowance, later);
        assert_eq!(allowance.start(later), Start::WhenAnswered);

        allowance.answered(asks, None, TERMS, later);
        started(&mut allowance, later);
        started(&mut allowance, later);
    }

    #[test]
    fn who_went_ahead_in_vain_leaves_it_to_the_next() {
        let (mut allowance, now) = told(Some(Said::Hold(Duration::ZERO)));
        let asks = started(&mut allowance, now);

        allowance.gone(asks, now);

        started(&mut allowance, now);
        assert_eq!(allowance.start(now), Start::WhenAnswered);
    }

    #[test]
    fn a_hold_is_never_shortened_and_never_too_long() {
        let (mut allowance, now) = told(None);
        let tickets = [(); 4].map(|()| started(&mut allowance, now));
        let said = [
            Some(Said::Hold(5 * SECOND)),
            Some(Said::Hold(SECOND)),
            says(limit(9, Some(10), 1)),
            None,
        ];

        for (ticket, said) in tickets.into_iter().zip(said) {
            allowance.answered(ticket, said, TERMS, now);
        }
        assert_eq!(allowance.start(now), Start::At(now + 5 * SECOND));

        let (mut allowance, now) = told(Some(Said::Hold(Duration::MAX)));
        assert_eq!(allowance.start(now), Start::At(now + TERMS.max_hold));
    }

    #[test]
    fn what_is_left_is_spread_when_it_is_less_than_half() {
        let (mut allowance, now) = told(says(limit(7, Some(10), 10)));

        // Down to five at once, and the first of those, too.
        for _ in 0..3 {
            started(&mut allowance, now);
        }
        let interval = 10 * SECOND / 7;
        assert_eq!(allowance.start(now), Start::At(now + interval));
        started(&mut allowance, now + interval);
        let third = Start::At(now + 2 * interval);
        assert_eq!(allowance.start(now + interval), third);
    }

    #[test]
    fn no_rate_is_inferred_that_the_policy_does_not_allow() {
        let limit = Limit {
            interval: Some(SECOND / 10),
            ..limit(10_000, Some(20_000), 10)
        };
        let (mut allowance, now) = told(says(limit));

        started(&mut allowance, now);

        assert_eq!(allowance.start(now), Start::At(now + SECOND / 10));
    }

    #[test]
    fn a_limit_without_a_policy_is_not_spread() {
        let (mut allowance, now) = told(says(limit(2, None, 10)));

        started(&mut allowance, now);
        started(&mut allowance, now);

        assert_eq!(allowance.start(now), Start::At(now + 10 * SECOND));
    }

    #[test]
    fn a_limit_of_which_nothing_else_is_known_goes_one_by_one() {
        let empty = Limit {
            reset: None,
            ..limit(0, None, 0)
        };
        let (mut allowance, now) = told(says(empty));

        let asks = started(&mut allowance, now);
        assert_eq!(allowance.start(now), Start::WhenAnswered);

        allowance.answered(asks, says(empty), TERMS, now);
        started(&mut allowance, now);
        assert_eq!(allowance.start(now), Start::WhenAnswered);
    }

    #[test]
    fn calls_on_their_way_are_taken_off_what_is_left() {
        let (mut allowance, now) = told(None);
        let first = started(&mut allowance, now);
        started(&mut allowance, now);

        allowance.answered(first, says(limit(2, None, 10)), TERMS, now);

        started(&mut allowance, now);
        assert_eq!(allowance.start(now), Start::At(now + 10 * SECOND));
    }

    #[test]
    fn an_answer_that_was_overtaken_changes_nothing() {
        let (mut allowance, now) = told(None);
        let first = started(&mut allowance, now);
        let second = started(&mut allowance, now);

        allowance.answered(second, says(limit(2, None, 10)), TERMS, now);
        allowance.answered(first, says(limit(3, None, 10)), TERMS, now);

        started(&mut allowance, now);
        assert_eq!(allowance.start(now), Start::At(now + 10 * SECOND));
    }

    #[test]
    fn a_quota_begins_anew_when_its_time_is_over() {
        let (mut allowance, now) = told(says(limit(1, Some(2), 1)));

        let later = now + SECOND;
        started(&mut allowance, later);
        started(&mut allowance, later);

        assert_eq!(allowance.start(later), Start::WhenAnswered);
    }

    #[test]
    fn all_limits_have_to_agree() {
        let other = Limit {
            id: Key::of("b"),
            ..limit(100, Some(100), 10)
        };
        let said = Said::Limits(vec![limit(1, None, 10), other]);
        let (mut allowance, now) = told(Some(said));

        started(&mut allowance, now);

        assert_eq!(allowance.start(now), Start::At(now + 10 * SECOND));
    }

    #[test]
    fn no_more_limits_are_kept_than_there_is_room_for() {
        let limits = (0..1000_u64).map(|n| Limit {
            id: Key::of(n),
            ..limit(9, None, 9)
        });

        let (allowance, _) = told(Some(Said::Limits(limits.collect())));

        assert_eq!(allowance.purses.len(), MOST_PURSES);
    }

    #[test]
    fn the_estimate_counts_those_ahead() {
        let (mut allowance, now) = told(says(limit(5, Some(10), 10)));
        started(&mut allowance, now);

        let estimates = [0, 1, 2].map(|ahead| allowance.estimate(ahead, now).unwrap() - now);

        assert_eq!(estimates, [2 * SECOND, 4 * SECOND, 6 * SECOND]);
    }

    /// A service with a fixed window, and the only client of it.
    struct Simulation {
        quota: u64,
        window: u64,
        with_policy: bool,
        allowance: Allowance,
        epoch: Instant,
        /// Which window the service is in, and how much of it is used.
        used: (u64, u64),
        refused: u32,
        /// When answers come, and what they say.
        answers: Vec<(u64, Ticket, Option<Said>)>,
    }

    impl Simulation {
        fn at(&self, millis: u64) -> Instant {
            self.epoch + Duration::from_millis(millis)
        }

        /// Hears the answers that have come.
        fn hear(&mut self, now: u64) {
            self.answers.sort_by_key(|(at, ..)| *at);
            while self.answers.first().is_some_and(|(at, ..)| *at <= now) {
                let (at, ticket, said) = self.answers.remove(0);
                let at = self.at(at);
                self.allowance.answered(ticket, said, TERMS, at);
            }
        }

        /// Tries to make a call whose answer takes `latency`.
        fn call(&mut self, now: u64, latency: u64) -> Start {
            let start = self.allowance.start(self.at(now));
            if let Start::Now(ticket) = start {
                let said = self.serve(now);
                self.answers.push((now + latency, ticket, said));
            }
            start
        }

        fn serve(&mut self, now: u64) -> Option<Said> {
            let number = now / self.window;
            if self.used.0 != number {
                self.used = (number, 0);
            }
            let reset = ((number + 1) * self.window - now).div_ceil(1000);
            if self.used.1 == self.quota {
                self.refused += 1;
                return Some(Said::Hold(Duration::from_secs(reset)));
            }
            self.used.1 += 1;
            let left = self.quota - self.used.1;
            let quota = self.with_policy.then_some(self.quota);
            says(limit(left, quota, reset))
        }
    }

    proptest! {
        /// Once it has had an answer, a client that obeys is never refused, at any demand, and
        /// however the answers overtake each other.
        #[test]
        fn who_obeys_is_not_refused(
            quota in 1..30_u64,
            window in 1..8_u64,
            calls in vec((0..200_u64, 0..1500_u64), 1..400),
        ) {
            let mut simulation = Simulation {
                quota,
                window: window * 1000,
                with_policy: true,
                allowance: Allowance::new(),
                epoch: Instant::now(),
                used: (0, 0),
                refused: 0,
                answers: Vec::new(),
            };
            let mut now = 0;
            simulation.call(now, 0);
            for (idle, latency) in calls {
                now += idle;
                simulation.hear(now);
                simulation.call(now, latency);
            }
            prop_assert_eq!(simulation.refused, 0);
        }

        /// Whatever servers say, nothing waits for ever: with all answered, a call can start at
        /// the time that is named, and that is not too far off.
        #[test]
        fn there_is_always_a_next_call(
            script in vec((0..5_u8, 0..4_u64, 0..5_u64, 0..9_000_u64, any::<bool>()), 1..60),
        ) {
            let (mut allowance, mut now) = (Allowance::new(), Instant::now());
            let mut tickets = Vec::new();
            for (what, left, quota, reset, is_known) in script {
                if let Start::Now(ticket) = allowance.start(now) {
                    tickets.push(ticket);
                }
                let limit = Limit {
                    interval: is_known.then(|| SECOND * 2),
                    reset: (reset % 3 > 0).then(|| Duration::from_secs(reset)),
                    ..limit(left, is_known.then_some(quota), 0)
                };
                let said = match what {
                    0 => None,
                    1 => Some(Said::Hold(Duration::from_secs(reset))),
                    _ => says(limit),
                };
                if what < 4 && let Some(ticket) = tickets.pop() {
                    allowance.answered(ticket, said, TERMS, now);
                }
                now += Duration::from_millis(reset);
            }
            for ticket in tickets {
                allowance.gone(ticket, now);
            }

            let mut end = now;
            loop {
                match allowance.start(end) {
                    Start::Now(_) => break,
                    Start::At(at) => {
                        prop_assert!(at > end, "it makes no progress");
                        end = at;
                    }
                    Start::WhenAnswered => prop_assert!(false, "nobody will answer"),
                }
            }
            prop_assert!(end - now <= 2 * TERMS.max_hold);
        }
    }
}
