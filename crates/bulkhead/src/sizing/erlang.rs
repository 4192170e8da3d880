/// Returns the share of the calls that find all of `limit` slots taken, where none waits, under a
/// load of so many calls in flight: Erlang's B formula. NaN for a load that is NaN.
///
/// By the recursion B(0) = 1, B(k) = aB(k-1) / (k + aB(k-1)), which loses no digits however many
/// slots there are, and takes time in proportion to them.
#[must_use]
pub fn erlang_b(limit: usize, load: f64) -> f64 {
    let load = load.clamp(0.0, f64::MAX);
    let mut blocked = 1.0;
    for slots in 1..=limit {
        blocked = with_one_more(blocked, slots, load);
        // From here on it is 0.
        if blocked == 0.0 {
            break;
        }
    }
    blocked
}

/// Returns the share of the calls that have to wait for one of `limit` slots, under a load of so
/// many calls in flight: Erlang's C formula. 1 where the load is too much for the slots.
#[must_use]
pub fn erlang_c(limit: usize, load: f64) -> f64 {
    waiting(erlang_b(limit, load), limit, load)
}

/// Returns how long calls wait on average for one of `limit` slots, in service times: that of
/// Pollaczek and Khinchine, and with more slots than one that of Allen and Cunneen. Infinite where
/// the load is too much for the slots.
///
/// `variation` is the standard deviation of the service times over their mean.
#[must_use]
pub fn mean_wait(limit: usize, load: f64, variation: f64) -> f64 {
    erlang_c(limit, load) * wait_of_waiting(limit, load, variation)
}

/// Takes B for one slot fewer to B for so many `slots`.
pub(super) fn with_one_more(blocked: f64, slots: usize, load: f64) -> f64 {
    let pressed = load * blocked;
    pressed / (slots as f64 + pressed)
}

/// Takes B to C.
pub(super) fn waiting(blocked: f64, limit: usize, load: f64) -> f64 {
    if load >= limit as f64 {
        return 1.0;
    }
    blocked / (1.0 - load / limit as f64 * (1.0 - blocked))
}

/// The mean wait of those that have to wait, in service times.
pub(super) fn wait_of_waiting(limit: usize, load: f64, variation: f64) -> f64 {
    if load >= limit as f64 {
        return f64::INFINITY;
    }
    spread(variation) / (limit as f64 - load)
}

/// How much longer calls wait than if their service times were exponential.
pub(super) fn spread(variation: f64) -> f64 {
    (1.0 + variation * variation) / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Slots, load, B, C and mean wait, from exact rationals.
    const ROWS: [(usize, f64, f64, f64, f64); 9] = [
        (1, 0.5, 1.0 / 3.0, 0.5, 1.0),
        (2, 1.0, 0.2, 1.0 / 3.0, 1.0 / 3.0),
        (3, 2.0, 4.0 / 19.0, 4.0 / 9.0, 4.0 / 9.0),
        (5, 4.0, 128.0 / 643.0, 128.0 / 231.0, 128.0 / 231.0),
        (6, 5.0, 3125.0 / 16289.0, 3125.0 / 5319.0, 3125.0 / 5319.0),
        (8, 6.0, 1458.0 / 11963.0, 5832.0 / 16337.0, 2916.0 / 16337.0),
        (10, 8.0, 0.121661064253, 0.409180150796, 0.204590075398),
        (20, 16.0, 0.064410924782, 0.256077793839, 0.064019448460),
        (100, 80.0, 0.003992028605, 0.019646426634, 0.000982321332),
    ];

    #[track_caller]
    fn assert_close(is: f64, should: f64) {
        let error = (is - should).abs() / should.max(1.0);
        assert!(error < 1e-9, "{is} is not {should}");
    }

    #[test]
    fn agree_with_exact_rows() {
        for (limit, load, blocked, waiting, wait) in ROWS {
            assert_close(erlang_b(limit, load), blocked);
            assert_close(erlang_c(limit, load), waiting);
            assert_close(mean_wait(limit, load, 1.0), wait);
        }
    }

    #[test]
    fn one_slot_waits_as_pollaczek_and_khinchine_say() {
        let rows = [
            (0.5, [0.5, 0.625, 1.0, 2.5, 13.0]),
            (
                0.7,
                [7.0 / 6.0, 35.0 / 24.0, 7.0 / 3.0, 35.0 / 6.0, 91.0 / 3.0],
            ),
            (0.8, [2.0, 2.5, 4.0, 10.0, 52.0]),
            (0.9, [4.5, 5.625, 9.0, 22.5, 117.0]),
            (0.95, [9.5, 11.875, 19.0, 47.5, 247.0]),
        ];
        for (load, waits) in rows {
            for (variation, wait) in [0.0, 0.5, 1.0, 2.0, 5.0].into_iter().zip(waits) {
                assert_close(mean_wait(1, load, variation), wait);
            }
        }
    }

    /// From the recursion in 40 decimal digits.
    #[test]
    fn stay_exact_for_ten_thousand_slots() {
        let rows = [
            (9_900.0, 0.002858126738856586, 0.22277692886414824),
            (9_999.0, 0.007873677506115362, 0.9875562524344859),
            (9_000.0, 2.09161979441929e-26, 2.09161979441929e-25),
        ];
        for (load, blocked, waiting) in rows {
            assert!((erlang_b(10_000, load) / blocked - 1.0).abs() < 1e-9);
            assert!((erlang_c(10_000, load) / waiting - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn odd_arguments_have_sane_answers() {
        assert_eq!(erlang_b(0, 3.0), 1.0);
        assert_eq!(erlang_b(3, 0.0), 0.0);
        assert_eq!(erlang_b(3, -1.0), 0.0);
        assert_eq!(erlang_b(3, f64::INFINITY), 1.0);
        assert_eq!(erlang_b(usize::MAX, 3.0), 0.0);
        assert!(erlang_b(3, f64::NAN).is_nan());
        assert_eq!(erlang_c(0, 0.0), 1.0);
        assert_eq!(erlang_c(3, 3.0), 1.0);
        assert_eq!(mean_wait(3, 3.5, 0.0), f64::INFINITY);
    }

    proptest! {
        /// The model: how likely it is that so many calls are in, for every number of them.
        #[test]
        fn agree_with_the_balance_of_arrivals_and_departures(
            limit in 1..60_usize,
            utilization in 0.05..0.9_f64,
        ) {
            let load = utilization * limit as f64;
            let mut in_the_room = vec![1.0];
            for calls in 1..limit + 2_000 {
                let leaving = calls.min(limit) as f64;
                in_the_room.push(in_the_room[calls - 1] * load / leaving);
            }
            let all: f64 = in_the_room.iter().sum();
            let in_slots: f64 = in_the_room[..=limit].iter().sum();
            let queue = in_the_room[limit..].iter().zip(0_u32..);
            let queued: f64 = queue.map(|(weight, calls)| weight * f64::from(calls)).sum();

            assert_close(erlang_b(limit, load), in_the_room[limit] / in_slots);
            assert_close(erlang_c(limit, load), in_the_room[limit..].iter().sum::<f64>() / all);
            // By Little's law.
            assert_close(mean_wait(limit, load, 1.0), queued / all / load);
        }
    }
}
