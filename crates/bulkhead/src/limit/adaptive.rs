use std::mem;

use tokio::time::Instant;
use watertight_core::ConfigError;

use super::probe::{FEWEST_CALLS, Probe};
use super::range;
use super::tally::Tally;
use super::undisturbed::Undisturbed;
use crate::{LimitAlgorithm, Sample};

/// As many calls as keep the service busy, and not many more: what `Limit::adaptive()` is.
///
/// 1. A **probe** lowers the limit for a moment, to nine tenths of what the service works on. So no
///    call waits there, and the mean over the calls that begin meanwhile is the *undisturbed*
///    latency.
/// 2. By Little's law, what the service **works on** is the mean number of calls in flight x
///    undisturbed latency / latency. The others wait.
/// 3. The **limit** is one more than 1.3 times that, and more the fewer calls meet it:
///    1.3 + 0.0525 / their share, at most 6. A queue that comes and goes is let be, and one that
///    stands is not.
/// 4. It **shrinks** by a tenth when more than a tenth of the calls are dropped, and where they are
///    even in a probe, to the level of that; it does not grow
///    while less than half of it is in use; and it is left alone while no call meets it. Before 300
///    calls have shown the undisturbed latency, only drops take it below the initial one.
/// 5. All this happens once in a **round** of 8 calls for each that may be in flight, and there is
///    a probe every 5 to 40 rounds while one call in twenty or more meets the limit.
///
/// There is no time and no latency to set: a round of slow calls is long. Against 16 workers that
/// get 1.2 times what they can do, it has them at work for 98.1 % of the first minute from a cold
/// start on, on average, and for 96.4 % in the worst of 1,000 runs; with twice what they can do and
/// more, for over 99 %. A call waits some 4 ms for 10 ms of work. Few workers are idle for longer:
/// at 1.2 times, after some minutes, 8 are at work for 94 % of the time, 4 for 86 %, 2 for 75 % and
/// one for 72 %. For a service of so few a fixed limit is better.
///
/// It looks at *this* bulkhead's calls alone. Where many clients share a service, the probe of one
/// shows little: put the limit into the service. A drop counts with its time, in a probe too, so the
/// few calls that time out whatever the load do not sink the limit. Where they are more than a tenth,
/// because the timeout is shorter than such calls take without any load, it sinks to the least.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Adaptive {
    /// The limit to begin with, after a first probe at half of it.
    pub initial: usize,
    /// The least limit.
    pub min: usize,
    /// The greatest limit.
    pub max: usize,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            initial: 20,
            min: 1,
            max: 1_000,
        }
    }
}

impl Adaptive {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        range::check(self.min, self.initial, self.max)
    }

    /// How many calls may be in flight in the first probe.
    pub(super) fn first_level(&self) -> usize {
        (self.initial / 2).max(self.min)
    }
}

/// How many times what the service works on the limit is, and one more, if every call meets it.
///
/// With as many calls as workers, a worker is idle from one call to the next. With half as many
/// again, 16 workers lose 1 % of their time.
const HEADROOM: f64 = 1.3;

/// What is added to the headroom, divided by the share of the calls that meet the limit. At 20 %
/// overload, where one call in six does, it is 0.3.
const BURSTS: f64 = 0.0525;

/// The most headroom. Of the calls to 16 workers that are busy for nine tenths of the time, one in
/// two thousand finds 60 others.
const MOST_HEADROOM: f64 = 6.0;

/// A round is so many calls for each that may be in flight: as many latencies.
const ROUND: f64 = 8.0;

/// What the rounds before count when one is added: for latency, and for the share that meets the
/// limit, which may come in long waves.
const MEMORY: f64 = 0.9;
const LONG_MEMORY: f64 = 0.95;

/// The least and the most that a round makes of the limit.
const LEAST: f64 = 0.7;
const MOST: f64 = 1.5;

/// With more drops than this the limit shrinks whatever the latency, to so much of it.
pub(super) const MANY_DROPS: f64 = 0.1;
const BACKOFF: f64 = 0.9;

/// A probe is at so much of what the service works on: less if the last one differed from those
/// before, for then it is not known what the service works on.
const PROBE_LEVEL: f64 = 0.9;
const UNSURE_LEVEL: f64 = 0.8;

/// How many times as many calls as in the last probe, and one more, a probe lets in at most. If
/// that one was undisturbed, this one is nearly so, whatever the estimate is.
const MOST_RISE: f64 = 1.25;

/// How many rounds there are from one probe to the next: the fewest while they disagree, and twice
/// as many each time that one agrees with those before.
const OFTEN: u32 = 5;
const SELDOM: u32 = 40;

/// There are probes while at least this share of the calls meets the limit. With less, refusing for
/// a probe would be most of all refusing.
const CROWDED: f64 = 0.05;

/// With less than this, calls that begin among few are as good as a probe's.
const QUIET: f64 = 0.001;

/// An [`Adaptive`] limit at work.
#[derive(Debug)]
pub(super) struct AdaptiveLimit {
    settings: Adaptive,
    /// The limit between probes.
    limit: f64,
    undisturbed: Undisturbed,
    probe: Probe,
    round: Tally,
    /// The most calls in flight in this round.
    most: usize,
    recent: Tally,
    long: Tally,
    rounds_to_probe: u32,
    probe_every: u32,
}

impl AdaptiveLimit {
    pub(super) fn new(settings: Adaptive) -> Self {
        Self {
            limit: settings.initial as f64,
            probe: Probe::first(settings.first_level()),
            settings,
            undisturbed: Undisturbed::default(),
            round: Tally::default(),
            most: 0,
            recent: Tally::default(),
            long: Tally::default(),
            rounds_to_probe: OFTEN,
            probe_every: OFTEN,
        }
    }

    /// The share of the calls that meets the limit.
    fn met(&self) -> f64 {
        match self.long.calls > 0.0 {
            true => self.long.met(),
            false => 0.0,
        }
    }

    /// Whether a call outside of probes has not waited at the service either: there is room for
    /// all, or the limit is as low as in a probe.
    fn is_undisturbed(&self, sample: &Sample) -> bool {
        let level = self.probe.level;
        sample.in_flight <= level && (self.limit() <= level || self.met() < QUIET)
    }

    /// Takes in a call that no probe covers.
    fn count(&mut self, sample: &Sample) {
        if self.is_undisturbed(sample) {
            self.undisturbed.see(sample);
            if self.undisturbed.seen() >= round_of(self.probe.level as f64) {
                self.undisturbed.settle();
            }
        }
        self.round.add(sample, sample.in_flight >= self.limit());
        self.most = self.most.max(sample.in_flight);
        if self.round.calls >= round_of(self.limit) {
            self.end_round(sample);
        }
    }

    fn end_round(&mut self, sample: &Sample) {
        let round = mem::take(&mut self.round);
        let most = mem::take(&mut self.most);
        self.long.fold(LONG_MEMORY, &round);
        let is_swamped = round.dropped() > MANY_DROPS;
        if !is_swamped {
            self.recent.fold(MEMORY, &round);
        }

        let mut aim = self.aim();
        if is_swamped {
            aim = aim.min(BACKOFF * self.limit);
        } else {
            if round.met() == 0.0 {
                aim = aim.max(self.limit);
            }
            if !self.undisturbed.is_well_known() {
                aim = aim.max(self.limit.min(self.settings.initial as f64));
            }
            if 2 * most < self.limit() {
                aim = aim.min(self.limit);
            }
        }
        self.limit = aim.clamp(self.settings.min as f64, self.settings.max as f64);

        self.rounds_to_probe = self.rounds_to_probe.saturating_sub(1);
        if self.rounds_to_probe == 0 && self.met() >= CROWDED {
            self.begin_probe(sample.ended);
        }
    }

    /// Where even so few calls are dropped, there are no more of them after it.
    fn end_probe(&mut self) {
        if self.probe.dropped() > MANY_DROPS {
            self.limit = self.limit.min(self.probe.level as f64);
        }
    }

    /// Where the limit goes next: half of the way to where it should be, in bounds.
    fn aim(&self) -> f64 {
        let Some(working) = self.working() else {
            return self.limit;
        };
        let headroom = (HEADROOM + BURSTS / self.met()).min(MOST_HEADROOM);
        f64::midpoint(self.limit, 1.0 + headroom * working)
            .clamp(LEAST * self.limit, MOST * self.limit)
    }

    /// How many of the calls in flight the service works on.
    fn working(&self) -> Option<f64> {
        let undisturbed = self.undisturbed.latency()?;
        let latency = self.recent.latency()?;
        let share = if latency > 0.0 {
            undisturbed / latency
        } else {
            1.0
        };
        Some(self.recent.in_flight() * share)
    }

    fn begin_probe(&mut self, now: Instant) {
        let is_sure = self.undisturbed.settle();
        let last = self.probe.level as f64;
        let (share, most) = match is_sure {
            true => (PROBE_LEVEL, MOST_RISE * last + 1.0),
            false => (UNSURE_LEVEL, last),
        };
        self.probe_every = match is_sure {
            true => (2 * self.probe_every).min(SELDOM),
            false => OFTEN,
        };
        self.rounds_to_probe = self.probe_every;
        if let Some(working) = self.working() {
            let level = working.min(self.recent.in_flight()) * share;
            // What is known of late may be of a time before drops have lowered the limit.
            let level = (level.min(most).min(self.limit) as usize).max(self.settings.min);
            self.probe = Probe::begin(level, now);
        }
    }
}

/// How many calls make a round at this limit.
fn round_of(limit: f64) -> f64 {
    (ROUND * limit).max(FEWEST_CALLS as f64)
}

impl LimitAlgorithm for AdaptiveLimit {
    fn limit(&self) -> usize {
        match self.probe.is_running() {
            true => self.probe.level,
            false => self.limit as usize,
        }
    }

    fn sample(&mut self, sample: &Sample) {
        if self.probe.covers(sample) {
            self.undisturbed.see(sample);
            if self.probe.see(sample) {
                self.end_probe();
            }
        } else if !self.probe.is_running() {
            self.count(sample);
        }
    }

    /// The limit changes with the end of a probe, or of a round.
    fn may_wait(&self) -> usize {
        let missing = match self.probe.is_running() {
            true => self.probe.missing(),
            false => (round_of(self.limit) - self.round.calls).ceil() as usize,
        };
        missing.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::samples;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Hands calls of 10 ms to the limit, one each millisecond, with so many in flight.
    fn feed(limit: &mut AdaptiveLimit, start: Instant, calls: u32, in_flight: usize) -> Instant {
        for call in 1..=calls {
            limit.sample(&Sample {
                ended: start + call * MS,
                ..samples::served(10, in_flight)
            });
        }
        start + calls * MS
    }

    #[test]
    fn begins_with_a_probe_at_half_of_the_limit() {
        let mut limit = AdaptiveLimit::new(Adaptive::default());
        assert_eq!(limit.limit(), 10);

        let now = feed(&mut limit, Instant::now(), 39, 10);
        assert_eq!(limit.limit(), 10);
        feed(&mut limit, now, 1, 10);
        assert_eq!(limit.limit(), 20);
    }

    #[test]
    fn does_not_grow_while_less_than_half_is_in_use() {
        let mut limit = AdaptiveLimit::new(Adaptive::default());
        let now = feed(&mut limit, Instant::now(), 40, 9);

        let now = feed(&mut limit, now, 5_000, 9);
        assert_eq!(limit.limit(), 20);

        feed(&mut limit, now, 5_000, 10);
        assert!(limit.limit() > 20);
    }

    #[test]
    fn does_not_fall_below_the_first_limit_for_what_a_few_calls_show() {
        let mut limit = AdaptiveLimit::new(Adaptive::default());
        let now = Instant::now();
        for _ in 0..40 {
            limit.sample(&Sample {
                ended: now,
                ..samples::served(1, 10)
            });
        }

        let (mut now, mut least) = (now + 20 * MS, 20);
        for _ in 0..700 {
            now = feed(&mut limit, now, 1, 20);
            least = least.min(limit.limit());
        }

        assert_eq!(least, 20);
    }

    #[test]
    fn a_probe_whose_calls_are_dropped_raises_nothing() {
        let mut limit = AdaptiveLimit::new(Adaptive::default());
        let mut now = Instant::now();

        for _ in 0..1_000 {
            now += MS;
            let ended = now;
            limit.sample(&Sample {
                ended,
                ..samples::drop(100, 10)
            });
            assert!(limit.limit() <= 10);
        }
    }

    #[test]
    fn the_greatest_limits_there_are_do_no_harm() {
        let mut limit = AdaptiveLimit::new(Adaptive {
            initial: usize::MAX,
            min: 1,
            max: usize::MAX,
        });

        feed(&mut limit, Instant::now(), 1_000, usize::MAX);
    }

    proptest! {
        #[test]
        fn stays_the_same_for_as_long_as_it_says(
            calls in vec((0..40_u64, 0..60_usize, proptest::bool::weighted(0.05)), 0..4_000),
        ) {
            let mut limit = AdaptiveLimit::new(Adaptive::default());
            let mut now = Instant::now();
            let mut steady = limit.may_wait();
            for (millis, in_flight, dropped) in calls {
                now += MS;
                let before = limit.limit();
                limit.sample(&Sample {
                    ended: now,
                    dropped,
                    ..samples::served(millis, in_flight)
                });
                if steady > 0 {
                    prop_assert_eq!(limit.limit(), before);
                    steady -= 1;
                } else {
                    steady = limit.may_wait();
                }
            }
        }
    }

    #[test]
    fn stays_in_its_bounds_even_in_a_probe() {
        let mut limit = AdaptiveLimit::new(Adaptive {
            initial: 20,
            min: 15,
            max: 30,
        });
        let mut now = Instant::now();
        let mut seen = Vec::new();

        for in_flight in [20, 30, 30, 15, 15, 15, 15, 15] {
            for _ in 0..2_000 {
                now = feed(&mut limit, now, 1, in_flight);
                seen.push(limit.limit());
            }
        }
        for _ in 0..2_000 {
            now += MS;
            let ended = now;
            limit.sample(&Sample {
                ended,
                ..samples::drop(10, 15)
            });
            seen.push(limit.limit());
        }

        assert_eq!(seen.iter().min(), Some(&15));
        assert_eq!(seen.iter().max(), Some(&30));
    }
}
