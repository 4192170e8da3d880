use std::time::Duration;

use watertight_core::{Failure, FailureKind, Outcome};

/// The attempts of one call: how many run, how many may follow, and when.
///
/// Without a clock and without futures: it is told what happens, and says what is to be done.
#[derive(Debug)]
pub(crate) struct Race {
    /// How many hedges may still be sent.
    left: u32,
    /// How many have been.
    sent: u32,
    /// How many attempts have no answer yet.
    in_flight: u32,
    next: Next,
    /// Whether the service has asked for the wait for the next.
    is_put_off: bool,
}

/// What is to be done for the next hedge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// Find out after what time the first is sent: the first attempt is not to be waited for
    /// before it has had its chance.
    Ask,
    /// Wait for so long, from now on.
    After(Duration),
    /// Go on waiting.
    Wait,
    /// Send it.
    Send,
    /// Nothing: there is none.
    Never,
}

/// What an answer is to the call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// It is the answer of the call.
    Decides,
    /// There may be a better one.
    Open,
    /// There is no other any more: the first attempt's is the call's.
    Lost,
}

/// A hedge that is to wait for longer is not sent: who asks twice to be fast does not want it. It is
/// what a retry honours by default.
const LONGEST_HINT: Duration = Duration::from_secs(30);

impl Race {
    /// Starts with the first attempt.
    pub(crate) const fn new(hedges: u32) -> Self {
        Self {
            left: hedges,
            sent: 0,
            in_flight: 1,
            next: Next::Ask,
            is_put_off: false,
        }
    }

    pub(crate) const fn next(&self) -> Next {
        self.next
    }

    /// How many hedges have been sent.
    pub(crate) const fn sent(&self) -> u32 {
        self.sent
    }

    /// Takes note of after what time the next hedge is to be sent, if at all.
    pub(crate) fn delayed(&mut self, delay: Option<Duration>) {
        self.is_put_off = false;
        self.next = match delay {
            Some(Duration::ZERO) => Next::Send,
            Some(delay) => Next::After(delay),
            None => Next::Never,
        };
    }

    /// Takes note that somebody waits for the time.
    pub(crate) fn waits(&mut self) {
        self.next = Next::Wait;
    }

    /// Takes note that the time has come.
    pub(crate) fn is_due(&mut self) {
        self.next = Next::Send;
    }

    /// Takes note that a hedge was sent: the next follows after `delay`.
    pub(crate) fn was_sent(&mut self, delay: Option<Duration>) {
        self.sent += 1;
        self.in_flight += 1;
        self.was_counted(delay);
    }

    /// Takes note that a hedge would have been sent.
    pub(crate) fn was_counted(&mut self, delay: Option<Duration>) {
        self.left = self.left.saturating_sub(1);
        self.delayed(if self.left > 0 { delay } else { None });
    }

    /// Sends no further hedge.
    pub(crate) fn stop(&mut self) -> Standing {
        self.left = 0;
        self.next = Next::Never;
        self.standing()
    }

    /// Takes note of the answer of an attempt.
    pub(crate) fn answered(&mut self, outcome: &Outcome) -> Standing {
        let Outcome::Failure(failure) = outcome else {
            return Standing::Decides;
        };
        // Before there is a hedge, a failure is somebody else's to repair.
        if self.sent == 0 || is_fatal(failure) {
            return Standing::Decides;
        }
        self.in_flight -= 1;
        if !failure.retryable {
            return self.stop();
        }
        if self.left > 0 {
            match failure.retry_after {
                Some(hint) if hint > LONGEST_HINT => return self.stop(),
                Some(hint) => self.put_off(hint),
                None if self.is_put_off => {}
                None => self.delayed(Some(Duration::ZERO)),
            }
        }
        self.standing()
    }

    /// Sends the next hedge when the service has asked for it: no failure without a hint makes that
    /// any sooner.
    fn put_off(&mut self, hint: Duration) {
        self.delayed(Some(hint));
        self.is_put_off = true;
    }

    fn standing(&self) -> Standing {
        if self.in_flight == 0 && self.next == Next::Never {
            Standing::Lost
        } else {
            Standing::Open
        }
    }
}

/// Whether every other attempt would fail alike.
///
/// A failure that is retryable by its kind, and is not because the service says so, speaks of the
/// load: it only stops hedging, as a negative pushback of gRPC does. So does what a layer of ours
/// has ended, such as a hedge for which a bulkhead has no place.
fn is_fatal(failure: &Failure) -> bool {
    !failure.retryable
        && !matches!(
            failure.kind,
            FailureKind::Connect
                | FailureKind::Overloaded
                | FailureKind::RateLimited
                | FailureKind::Timeout
                | FailureKind::Rejected
        )
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const DELAY: Option<Duration> = Some(Duration::from_millis(10));

    fn failed(kind: FailureKind) -> Outcome {
        Outcome::failure(kind)
    }

    /// A race in which so many hedges have been sent.
    fn race(hedges: u32, sent: u32) -> Race {
        let mut race = Race::new(hedges);
        race.delayed(DELAY);
        for _ in 0..sent {
            race.waits();
            race.is_due();
            race.was_sent(DELAY);
        }
        race
    }

    #[test]
    fn before_a_hedge_any_answer_decides() {
        for outcome in [
            Outcome::Success,
            Outcome::Ignored,
            failed(FailureKind::Server),
            failed(FailureKind::Client),
        ] {
            assert_eq!(race(2, 0).answered(&outcome), Standing::Decides);
        }
    }

    #[test]
    fn after_a_hedge_a_retryable_failure_sends_the_next() {
        let mut race = race(2, 1);
        assert_eq!(race.next(), Next::After(DELAY.unwrap()));

        assert_eq!(race.answered(&failed(FailureKind::Server)), Standing::Open);

        assert_eq!(race.next(), Next::Send);
    }

    #[test]
    fn a_fatal_failure_decides_once_there_is_a_hedge() {
        let fatal = Failure::new(FailureKind::Server).retryable(false).into();
        for outcome in [fatal, failed(FailureKind::Client)] {
            assert_eq!(race(2, 1).answered(&outcome), Standing::Decides);
        }
    }

    #[test]
    fn a_service_that_wants_no_more_gets_no_more() {
        for kind in [
            FailureKind::Connect,
            FailureKind::Overloaded,
            FailureKind::RateLimited,
            FailureKind::Timeout,
            FailureKind::Rejected,
        ] {
            let outcome = Failure::new(kind).retryable(false).into();
            let mut race = race(2, 1);

            assert_eq!(race.answered(&outcome), Standing::Open);
            assert_eq!(race.next(), Next::Never);
            assert_eq!(race.answered(&failed(FailureKind::Server)), Standing::Lost);
        }
    }

    #[test]
    fn a_hint_delays_the_next_and_then_the_rhythm_goes_on() {
        let hint = Duration::from_secs(3);
        let mut race = race(3, 1);

        let failure = Failure::new(FailureKind::Overloaded).pushback(hint);
        assert_eq!(race.answered(&failure.into()), Standing::Open);
        assert_eq!(race.next(), Next::After(hint));

        race.waits();
        race.is_due();
        race.was_sent(DELAY);
        assert_eq!(race.next(), Next::After(DELAY.unwrap()));
    }

    #[test]
    fn the_longest_hint_is_waited_for() {
        let mut race = race(3, 1);
        let failure = Failure::new(FailureKind::Overloaded).retry_after(Some(LONGEST_HINT));

        assert_eq!(race.answered(&failure.into()), Standing::Open);

        assert_eq!(race.next(), Next::After(LONGEST_HINT));
    }

    #[test]
    fn a_long_hint_stops_hedging() {
        let mut race = race(3, 1);
        let hint = LONGEST_HINT + Duration::from_nanos(1);
        let failure = Failure::new(FailureKind::Overloaded).retry_after(Some(hint));

        assert_eq!(race.answered(&failure.into()), Standing::Open);

        assert_eq!(race.next(), Next::Never);
    }

    #[test]
    fn it_is_lost_when_all_have_failed_and_no_hedge_is_left() {
        let mut race = race(1, 1);

        assert_eq!(race.answered(&failed(FailureKind::Server)), Standing::Open);
        assert_eq!(race.answered(&failed(FailureKind::Server)), Standing::Lost);
    }

    #[test]
    fn it_is_lost_when_the_next_cannot_be_sent() {
        let mut race = race(2, 1);
        race.answered(&failed(FailureKind::Server));
        race.answered(&failed(FailureKind::Server));

        assert_eq!(race.next(), Next::Send);
        assert_eq!(race.stop(), Standing::Lost);
    }

    #[test]
    fn a_hedge_that_is_only_counted_is_not_waited_for() {
        let mut race = race(1, 0);
        race.was_counted(DELAY);

        assert_eq!(race.next(), Next::Never);
        assert_eq!(
            race.answered(&failed(FailureKind::Server)),
            Standing::Decides
        );
    }

    fn failures() -> impl Strategy<Value = Outcome> {
        let kinds = [
            FailureKind::Server,
            FailureKind::Client,
            FailureKind::Overloaded,
            FailureKind::Rejected,
        ];
        (0..kinds.len(), any::<bool>(), 0..60_u64).prop_map(move |(kind, retryable, hint)| {
            let failure = Failure::new(kinds[kind]);
            failure
                .retryable(failure.retryable && retryable)
                .retry_after((hint > 0).then(|| Duration::from_secs(hint)))
                .into()
        })
    }

    proptest! {
        #[test]
        fn a_race_goes_on_as_long_as_there_is_an_attempt_to_wait_for(
            hedges in 0..=4_u32,
            steps in vec((any::<bool>(), failures()), 10),
        ) {
            let mut race = race(hedges, 0);
            let (mut sent, mut in_flight) = (0, 1);
            for (sends, outcome) in steps {
                if race.next() != Next::Never && sent < hedges && (sends || in_flight == 0) {
                    race.was_sent(DELAY);
                    (sent, in_flight) = (sent + 1, in_flight + 1);
                }
                in_flight -= 1;
                match race.answered(&outcome) {
                    Standing::Decides => return Ok(()),
                    Standing::Lost => {
                        prop_assert_eq!((in_flight, race.next()), (0, Next::Never));
                        return Ok(());
                    }
                    Standing::Open => {
                        prop_assert!(in_flight > 0 || race.next() != Next::Never);
                        prop_assert!(race.next() == Next::Never || sent < hedges);
                    }
                }
            }
            prop_assert!(false, "it has no end");
        }
    }
}
