/// What is known of a call that has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// How much of a failure it is, from 0.0 to 16.0 in thousandths. Negative and NaN count as 0.
    pub weight: f32,
    /// Whether it took too long.
    pub slow: bool,
    /// What it does to the count of consecutive failures.
    pub run: Run,
}

impl Record {
    /// A call that succeeded in good time.
    pub const SUCCESS: Self = Self {
        weight: 0.0,
        slow: false,
        run: Run::Break,
    };

    /// A call that failed.
    pub const FAILURE: Self = Self {
        weight: 1.0,
        slow: false,
        run: Run::Extend,
    };

    const MAX_WEIGHT: f32 = 16.0;

    /// Returns the weight in thousandths.
    pub(super) fn thousandths(&self) -> u64 {
        // What is NaN stays so until the cast, which makes it 0.
        (f64::from(self.weight.clamp(0.0, Self::MAX_WEIGHT)) * THOUSAND).round() as u64
    }
}

/// What a record does to the count of consecutive failures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Run {
    /// Adds one.
    Extend,
    /// Begins again at zero.
    Break,
    /// Leaves it alone.
    Keep,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Recorded {
    /// Nothing: it is of another generation, or came too late for its bucket.
    Stale,
    /// A success was put by, and will be in the window before the next record. Alone it cannot
    /// raise a rate.
    Counted,
    /// It is in the window, which now stands so.
    Standing(Standing),
}

/// What is in a window.
///
/// While other threads record, it may lack some of what they do, and shows it when they are done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// How many calls count. In a decaying window this is the rounded sum of what they count, to
    /// which `failures` and `slow` are scaled.
    pub calls: u64,
    /// The sum of their weights, in thousandths.
    pub failures: f64,
    /// How many of them were slow.
    pub slow: u64,
    /// How many failures have come since the last success.
    pub consecutive_failures: u32,
}

impl Standing {
    /// Returns which share of the calls failed, at most 1.0, or `None` without calls.
    #[must_use]
    pub fn failure_rate(&self) -> Option<f64> {
        // One division of whole numbers is rounded correctly, so that 3 of 10 are the `0.3` of the
        // source code.
        let thousandths = (self.failures * THOUSAND).round();
        rate(thousandths, self.calls as f64 * THOUSAND)
    }

    /// Returns which share of the calls was slow, or `None` without calls.
    #[must_use]
    pub fn slow_rate(&self) -> Option<f64> {
        rate(self.slow as f64, self.calls as f64)
    }
}

pub(super) const THOUSAND: f64 = 1_000.0;

fn rate(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| (part / whole).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(calls: u64, failures: f64, slow: u64) -> Standing {
        Standing {
            calls,
            failures,
            slow,
            consecutive_failures: 0,
        }
    }

    #[test]
    fn an_empty_window_has_no_rate() {
        assert_eq!(Standing::default().failure_rate(), None);
        assert_eq!(Standing::default().slow_rate(), None);
    }

    #[test]
    fn a_rate_equals_the_number_that_one_writes_for_it() {
        assert_eq!(standing(10, 3.0, 3).failure_rate(), Some(0.3));
        assert_eq!(standing(10, 3.0, 3).slow_rate(), Some(0.3));
        assert_eq!(standing(1, 0.1, 0).failure_rate(), Some(0.1));
        assert_eq!(standing(3, 0.3, 0).failure_rate(), Some(0.1));
        assert_eq!(standing(7, 0.7 + 0.7 + 0.7, 0).failure_rate(), Some(0.3));
    }

    #[test]
    fn a_rate_is_at_most_one() {
        assert_eq!(standing(2, 32.0, 2).failure_rate(), Some(1.0));
    }

    #[test]
    fn weights_are_thousandths_from_0_to_16() {
        for (weight, thousandths) in [
            (0.25, 250),
            (0.3, 300),
            (0.1, 100),
            (0.0004, 0),
            (-1.0, 0),
            (f32::NAN, 0),
            (f32::NEG_INFINITY, 0),
            (f32::INFINITY, 16_000),
            (17.0, 16_000),
        ] {
            let record = Record {
                weight,
                ..Record::FAILURE
            };
            assert_eq!(record.thousandths(), thousandths, "{weight}");
        }
    }
}
