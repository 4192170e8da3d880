/// The middle half of a set of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    /// A quarter of the samples lies below it.
    pub low: f64,
    /// Half of the samples lies below it.
    pub median: f64,
    /// A quarter of the samples lies above it.
    pub high: f64,
}

impl Quartiles {
    /// Takes the quartiles of `samples`, or returns `None` where there are none.
    #[must_use]
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            samples
                .get(samples.len().checked_sub(1)? * quarter / 4)
                .copied()
        };
        Some(Self {
            low: at(1)?,
            median: at(2)?,
            high: at(3)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_taken_by_rank() {
        let quartiles = Quartiles::of([5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();

        assert_eq!(
            quartiles,
            Quartiles {
                low: 2.0,
                median: 3.0,
                high: 4.0,
            }
        );
    }

    #[test]
    fn of_nothing_are_none() {
        assert_eq!(Quartiles::of([]), None);
    }
}
