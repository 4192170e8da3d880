//! The script: what goes wrong, and when.

use std::ops::Range;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::fault::Fault;
use crate::upstream::Upstreams;

/// Longer than any client waits.
const TOO_SLOW: Duration = Duration::from_secs(3);

/// When the inventory stalls now and then, in hundredths of the incident.
const STALL: Range<u32> = 10..24;

/// When payments hangs, and recommendations becomes slow. Nothing else is amiss.
const HANG: Range<u32> = 30..52;

/// When all upstreams are well again.
const RECOVERY: u32 = 66;

/// When one client asks for far more than its share. Nothing else is amiss by then.
const ABUSE: Range<u32> = 78..90;

/// The parts of an incident that are looked at by themselves, from its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phases {
    pub(crate) stall: Range<Duration>,
    pub(crate) hang: Range<Duration>,
    pub(crate) abuse: Range<Duration>,
}

struct Step {
    /// In hundredths of the incident.
    at: u32,
    title: &'static str,
    change: fn(&Upstreams),
}

/// The stall ends by itself. The other faults stay until all of them end, as the `+` tells. The
/// abusive client comes by itself.
const SCRIPT: [Step; 9] = [
    Step {
        at: 0,
        title: "healthy",
        change: |_| {},
    },
    Step {
        at: STALL.start,
        title: "inventory stalls",
        change: |upstreams| upstreams.inventory.set_fault(Fault::Stall(3)),
    },
    Step {
        at: STALL.end,
        title: "payments refuses",
        change: |upstreams| {
            upstreams.inventory.set_fault(Fault::None);
            upstreams.payments.set_fault(Fault::Refuse);
        },
    },
    Step {
        at: HANG.start,
        title: "payments hangs",
        change: |upstreams| upstreams.payments.set_fault(Fault::Hang),
    },
    Step {
        at: 40,
        title: "+ recommendations slow",
        change: |upstreams| upstreams.recommendations.set_fault(Fault::Slow(TOO_SLOW)),
    },
    Step {
        at: HANG.end,
        title: "+ reviews 30 % errors",
        change: |upstreams| upstreams.reviews.set_fault(Fault::Errors(30)),
    },
    Step {
        at: RECOVERY,
        title: "all recover",
        change: |upstreams| {
            for upstream in upstreams.all() {
                upstream.set_fault(Fault::None);
            }
        },
    },
    Step {
        at: ABUSE.start,
        title: "one client abuses",
        change: |_| {},
    },
    Step {
        at: ABUSE.end,
        title: "all is well",
        change: |_| {},
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
            sleep_until(self.start + self.time(step.at)).await;
            (step.change)(upstreams);
        }
    }

    /// Says what goes on this long after the start.
    pub(crate) fn title(self, at: Duration) -> &'static str {
        let begun = |step: &&Step| self.time(step.at) <= at;
        SCRIPT.iter().rev().find(begun).unwrap_or(&SCRIPT[0]).title
    }

    /// Returns when all faults end, from the start.
    pub(crate) fn end_of_faults(self) -> Duration {
        self.time(RECOVERY)
    }

    pub(crate) fn phases(self) -> Phases {
        let times = |phase: Range<u32>| self.time(phase.start)..self.time(phase.end);
        Phases {
            stall: times(STALL),
            hang: times(HANG),
            abuse: times(ABUSE),
        }
    }

    fn time(self, hundredths: u32) -> Duration {
        self.length * hundredths / 100
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
        assert_eq!(title(24), "payments refuses");
        assert_eq!(title(51), "+ recommendations slow");
        assert_eq!(title(66), "all recover");
        assert_eq!(title(500), "all is well");
    }

    #[test]
    fn goes_forward() {
        assert!(SCRIPT.is_sorted_by(|a, b| a.at < b.at));
    }

    #[tokio::test]
    async fn the_inventory_stalls_while_it_is_said_to() {
        let upstreams = Upstreams::start().await.unwrap();
        let stall = incident().phases().stall;

        for step in &SCRIPT {
            (step.change)(&upstreams);
            let stalls = matches!(upstreams.inventory.fault(), Fault::Stall(_));
            assert_eq!(stalls, stall.contains(&incident().time(step.at)));
        }
    }

    #[tokio::test]
    async fn what_bystanders_need_is_well_while_others_hang() {
        let upstreams = Upstreams::start().await.unwrap();
        let hang = incident().phases().hang;

        for step in &SCRIPT {
            (step.change)(&upstreams);
            let hangs = upstreams.payments.fault() == Fault::Hang;
            let needed = [&upstreams.inventory, &upstreams.reviews];
            let well = needed.map(|upstream| upstream.fault()) == [Fault::None; 2];
            assert_eq!(hangs && well, hang.contains(&incident().time(step.at)));
        }
    }

    #[tokio::test]
    async fn all_upstreams_are_well_from_the_end_of_the_faults_on() {
        let upstreams = Upstreams::start().await.unwrap();

        for step in &SCRIPT {
            (step.change)(&upstreams);
            let all = upstreams.all();
            let well = all.iter().all(|it| it.fault() == Fault::None);
            let after = incident().time(step.at) >= incident().end_of_faults();
            assert_eq!(well, after || step.at == 0);
        }
        assert!(incident().phases().abuse.start >= incident().end_of_faults());
    }
}
