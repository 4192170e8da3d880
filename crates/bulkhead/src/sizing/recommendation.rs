use std::time::Duration;

use watertight_core::ConfigError;

use super::{Demand, Forecast, Target};
use crate::BulkheadConfig;

/// What [`recommend`] recommends.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Recommendation {
    /// The fewest slots that meet the target.
    pub limit: usize,
    /// How many may wait, so that at most one call in 1,000 finds the queue full. 0 if so few wait
    /// at all, or none may.
    pub max_queue: usize,
    /// How long a call may wait: as long as all wait but one in 1,000, in whole milliseconds. 0 where
    /// none waits.
    pub max_wait: Duration,
    /// What becomes of the calls at that limit.
    pub forecast: Forecast,
}

/// The share of the calls that a recommended queue refuses at most while all is as forecast.
const REFUSED: f64 = 0.001;

/// Recommends the smallest bulkhead that serves `demand` as `target` says.
///
/// The smallest protects best: what it does not let through cannot hurt. It takes time in proportion
/// to the limit, some milliseconds for a million slots.
///
/// # Errors
///
/// If a field of `demand`, or the target, is out of its range.
pub fn recommend(demand: &Demand, target: Target) -> Result<Recommendation, ConfigError> {
    target.validate()?;
    let mut forecast = demand.forecast(1)?;
    while !target.is_met(&forecast) {
        forecast = forecast.with_one_more();
    }
    let max_queue = match forecast.queue_for(REFUSED) {
        Some(calls) if target.has_queue() => calls,
        _ => 0,
    };
    let max_wait = match max_queue {
        0 => Duration::ZERO,
        _ => in_whole_millis(forecast.wait_percentile(1.0 - REFUSED)),
    };
    Ok(Recommendation {
        limit: forecast.limit(),
        max_queue,
        max_wait,
        forecast,
    })
}

impl Recommendation {
    /// Returns the settings of a bulkhead as recommended.
    #[must_use]
    pub fn config(&self) -> BulkheadConfig {
        BulkheadConfig {
            max_queue: self.max_queue,
            max_wait: self.max_wait,
            ..BulkheadConfig::new(self.limit)
        }
    }
}

/// Rounds up, to 1 ms at least.
fn in_whole_millis(time: Duration) -> Duration {
    let millis = time.as_nanos().div_ceil(1_000_000).max(1);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn limit(load: f64, target: Target) -> usize {
        let demand = Demand::new(load, Duration::from_secs(1));
        recommend(&demand, target).unwrap().limit
    }

    #[test]
    fn the_fewest_slots_that_refuse_so_few() {
        let rows = [
            (1.0, [3, 5, 6, 7]),
            (2.0, [4, 7, 8, 10]),
            (5.0, [8, 11, 14, 16]),
            (10.0, [13, 18, 21, 24]),
            (20.0, [23, 30, 35, 39]),
            (50.0, [51, 64, 71, 77]),
            (100.0, [97, 117, 128, 137]),
        ];
        for (load, limits) in rows {
            let refused = [0.1, 0.01, 0.001, 0.0001];
            assert_eq!(
                refused.map(|share| limit(load, Target::Refused(share))),
                limits
            );
        }
    }

    #[test]
    fn the_fewest_slots_that_let_so_few_wait() {
        let rows = [
            (1.0, [2, 3, 3, 5]),
            (2.0, [3, 4, 5, 7]),
            (5.0, [7, 8, 9, 12]),
            (10.0, [12, 14, 16, 19]),
            (20.0, [23, 26, 27, 32]),
            (50.0, [54, 58, 61, 68]),
            (100.0, [106, 111, 115, 125]),
        ];
        for (load, limits) in rows {
            let waiting = [0.5, 0.2, 0.1, 0.01];
            assert_eq!(
                waiting.map(|share| limit(load, Target::Waiting(share))),
                limits
            );
        }
    }

    #[test]
    fn waits_are_met_and_one_slot_fewer_would_not_do() {
        let demand = Demand::new(200.0, 100 * MS).variation(2.0);
        for target in [
            Target::MeanWait(10 * MS),
            Target::Wait {
                percentile: 0.99,
                at_most: 100 * MS,
            },
        ] {
            let recommended = recommend(&demand, target).unwrap();
            assert!(target.is_met(&recommended.forecast));
            let fewer = demand.forecast(recommended.limit - 1).unwrap();
            assert!(!target.is_met(&fewer), "{target:?}");
        }
    }

    #[test]
    fn calls_may_wait_as_long_as_all_wait_but_one_in_a_thousand() {
        let demand = Demand::new(200.0, 100 * MS);

        let recommended = recommend(&demand, Target::Waiting(0.2)).unwrap();

        let longer = |wait| recommended.forecast.waiting_longer_than(wait);
        assert!(longer(recommended.max_wait) <= REFUSED, "{recommended:?}");
        let shorter = recommended.max_wait - MS;
        assert!(longer(shorter) > REFUSED, "{recommended:?}");
    }

    #[test]
    fn where_none_waits_there_is_no_queue() {
        let demand = Demand::new(200.0, 100 * MS);

        let refusing = recommend(&demand, Target::Refused(0.01)).unwrap();
        assert_eq!((refusing.max_queue, refusing.max_wait), (0, Duration::ZERO));
        let ample = recommend(&demand, Target::Waiting(0.0005)).unwrap();
        assert_eq!((ample.max_queue, ample.max_wait), (0, Duration::ZERO));
    }

    #[test]
    fn sizes_for_ten_thousand_in_flight() {
        let demand = Demand::new(100_000.0, 100 * MS);

        let recommended = recommend(&demand, Target::Waiting(0.01)).unwrap();

        assert!(
            (10_200..10_300).contains(&recommended.limit),
            "{recommended:?}"
        );
    }

    #[test]
    fn a_target_that_cannot_be_met_is_refused() {
        let demand = Demand::new(200.0, 100 * MS);
        let wait = |percentile| Target::Wait {
            percentile,
            at_most: MS,
        };
        for (field, target) in [
            ("refused", Target::Refused(0.0)),
            ("waiting", Target::Waiting(f64::NAN)),
            ("mean_wait", Target::MeanWait(Duration::ZERO)),
            ("percentile", wait(1.0)),
        ] {
            assert_eq!(recommend(&demand, target).unwrap_err().field(), field);
        }
    }

    proptest! {
        /// The model: the balance of a room in which calls leave that find the queue full.
        #[test]
        fn the_queue_refuses_no_more_than_one_in_a_thousand(
            load in 0.1..80.0_f64,
            share in 0.01..0.9_f64,
        ) {
            let demand = Demand::new(load, Duration::from_secs(1));
            let recommended = recommend(&demand, Target::Waiting(share)).unwrap();

            let most = recommended.limit + recommended.max_queue;
            let mut in_the_room = vec![1.0];
            for calls in 1..=most {
                let leaving = calls.min(recommended.limit) as f64;
                in_the_room.push(in_the_room[calls - 1] * load / leaving);
            }
            let full = in_the_room[most] / in_the_room.iter().sum::<f64>();

            prop_assert!(full <= REFUSED, "{full} with {recommended:?}");
            prop_assert_eq!(recommended.config().validate(), Ok(()));
        }

        #[test]
        fn whatever_is_demanded_there_is_a_valid_config(
            rate in 1e-6..1e4_f64,
            micros in 1..10_000_000_u64,
            variation in 0.0..20.0_f64,
            wait in 0..1_000_000_u64,
        ) {
            let demand = Demand::new(rate, Duration::from_micros(micros)).variation(variation);
            let target = Target::Wait { percentile: 0.95, at_most: Duration::from_micros(wait) };

            let recommended = recommend(&demand, target).unwrap();

            prop_assert!(recommended.forecast.utilization() < 1.0);
            prop_assert_eq!(recommended.config().validate(), Ok(()));
        }
    }
}
