//! The script: what goes wrong, and when.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::fault::Fault;
use crate::upstream::Upstreams;

/// Longer than any client waits.
const TOO_SLOW: Duration = Duration::from_secs(3);

struct Step {
    /// In hundredths of the incident.
    at: u32,
    title: &'static str,
    change: fn(&Upstreams),
}

/// Faults stay until all of them end, as the `+` tells.
const SCRIPT: [Step; 6] = [
    Step {
        at: 0,
        title: "healthy",
        change: |_| {},
    },
    Step {
        at: 15,
        title: "payments refuses",
        change: |upstreams| upstreams.payments.set_fault(Fault::Refuse),
    },
    Step {
        at: 22,
        title: "payments hangs",
        change: |upstreams| upstreams.payments.set_fault(Fault::Hang),
    },
    Step {
        at: 35,
        title: "+ recommendations slow",
        change: |upstreams| upstreams.recommendations.set_fault(Fault::Slow(TOO_SLOW)),
    },
    Step {
        at: 50,
        title: "+ reviews 30 % errors",
        change: |upstreams| upstreams.reviews.set_fault(Fault::Errors(30)),
    },
    Step {
        at: 65,
        title: "all recover",
        change: |upstreams| {
            for upstream in upstreams.all() {
                upstream.set_fault(Fault::None);
            }
        },
    },
];

/// An outage of a given length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incident {
    pub(crate) start: Instant,
    pub(crate) length: Duration,
}

impl Incident {
    /// Switches the faults, and returns when the last has ended.
    pub(crate) async fn play(self, upstreams: &Upstreams) {
        for step in &SCRIPT {
            sleep_until(self.start + self.time(step)).await;
            (step.change)(upstreams);
        }
    }

    /// Says what goes on this long after the start.
    pub(crate) fn title(self, at: Duration) -> &'static str {
        let begun = |step: &&Step| self.time(step) <= at;
        SCRIPT.iter().rev().find(begun).unwrap_or(&SCRIPT[0]).title
    }

    /// Returns when all faults end, from the start.
    pub(crate) fn end_of_faults(self) -> Duration {
        self.time(&SCRIPT[SCRIPT.len() - 1])
    }

    fn time(self, step: &Step) -> Duration {
        self.length * step.at / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> Incident {
        Incident {
            start: Instant::now(),
            length: Duration::from_secs(100),
        }
    }

    #[test]
    fn tells_what_goes_on() {
        let title = |at| incident().title(Duration::from_secs(at));

        assert_eq!(title(0), "healthy");
        assert_eq!(title(15), "payments refuses");
        assert_eq!(title(49), "+ recommendations slow");
        assert_eq!(title(500), "all recover");
    }

    #[test]
    fn goes_forward() {
        assert!(SCRIPT.is_sorted_by(|a, b| a.at < b.at));
    }

    #[tokio::test]
    async fn leaves_no_fault_behind() {
        let upstreams = Upstreams::start().await.unwrap();

        for step in &SCRIPT {
            (step.change)(&upstreams);
        }

        assert!(
            upstreams
                .all()
                .iter()
                .all(|upstream| upstream.fault() == Fault::None)
        );
    }
}
