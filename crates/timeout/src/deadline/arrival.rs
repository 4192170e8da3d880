use std::time::Duration;

use tokio::time::Instant;

use super::leniency::{Leniency, Share};

/// What becomes of a call that comes in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// Its caller waits no longer.
    Expired,
    /// It may take until then. `None` is as long as it takes.
    InTime(Option<Instant>),
    /// Its caller says that it waits no longer, and is not believed: it may take until then.
    Spared(Option<Instant>),
}

/// How a layer takes calls in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How long a call may take, whatever its caller says.
    pub(super) within: Duration,
    /// What the calls are owed whose callers wait no longer.
    pub(super) spared: Share,
}

impl Terms {
    /// Takes in a call whose caller says that it waits for `left`, where there is the deadline
    /// `outer` already.
    pub(super) fn arrive(
        &self,
        left: Option<Duration>,
        outer: Option<Instant>,
        leniency: &Leniency,
        now: Instant,
    ) -> Arrival {
        if outer.is_some_and(|outer| outer <= now) {
            return Arrival::Expired;
        }
        // What is too far off to be an instant is as good as never.
        let after = |time| now.checked_add(time);
        let earliest = |came: Option<Instant>| {
            let all = [after(self.within), outer, came];
            all.into_iter().flatten().min()
        };
        match left {
            Some(Duration::ZERO) if leniency.spares(self.spared) => Arrival::Spared(earliest(None)),
            Some(Duration::ZERO) => Arrival::Expired,
            left => Arrival::InTime(earliest(left.and_then(after))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn arrive(left: Option<Duration>, outer: Option<Instant>, now: Instant) -> Arrival {
        let terms = Terms {
            within: 10 * S,
            spared: Share::that_leaves(0.5),
        };
        terms.arrive(left, outer, &Leniency::default(), now)
    }

    #[test]
    fn the_earliest_deadline_holds() {
        let now = Instant::now();
        for (left, outer, holds) in [
            (None, None, 10),
            (Some(7), None, 7),
            (Some(30), None, 10),
            (None, Some(8), 8),
            (Some(7), Some(8), 7),
            (Some(9), Some(8), 8),
        ] {
            let outer = outer.map(|outer| now + outer * S);
            let arrival = arrive(left.map(|left| left * S), outer, now);
            assert_eq!(arrival, Arrival::InTime(Some(now + holds * S)));
        }
    }

    #[test]
    fn what_has_no_time_left_is_expired() {
        let now = Instant::now();

        assert_eq!(arrive(Some(Duration::ZERO), None, now), Arrival::Expired);
        assert_eq!(arrive(None, Some(now), now), Arrival::Expired);
        assert_eq!(arrive(Some(S), Some(now - S), now), Arrival::Expired);
        let least = arrive(Some(Duration::from_nanos(1)), None, now);
        assert!(matches!(least, Arrival::InTime(Some(_))), "{least:?}");
    }

    #[test]
    fn a_caller_that_always_sends_nothing_is_spared_in_the_end() {
        let (terms, leniency, now) = (
            Terms {
                within: 10 * S,
                spared: Share::that_leaves(0.5),
            },
            Leniency::default(),
            Instant::now(),
        );
        let arrive = |outer| terms.arrive(Some(Duration::ZERO), outer, &leniency, now);

        assert_eq!(arrive(None), Arrival::Expired);
        assert_eq!(arrive(None), Arrival::Spared(Some(now + 10 * S)));
        // This is no word of the caller's, and spares nothing.
        assert_eq!(arrive(Some(now)), Arrival::Expired);
        assert_eq!(arrive(Some(now + S)), Arrival::Expired);
        assert_eq!(arrive(Some(now + S)), Arrival::Spared(Some(now + S)));
    }

    #[test]
    fn for_ever_is_no_deadline() {
        let terms = Terms {
            within: Duration::MAX,
            spared: Share::All,
        };

        let arrival = terms.arrive(
            Some(Duration::MAX),
            None,
            &Leniency::default(),
            Instant::now(),
        );

        assert_eq!(arrival, Arrival::InTime(None));
    }
}
