use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::GIVE_UP;

const MAX_MICROS: u64 = GIVE_UP.as_micros() as u64;

/// How long some visits took.
#[derive(Debug)]
pub(crate) struct Latencies {
    micros: Histogram<u64>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self {
            micros: Histogram::new_with_max(MAX_MICROS, 3).expect("three digits are within 0..=5"),
        }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = latency.as_micros().try_into().unwrap_or(u64::MAX);
        self.micros.saturating_record(micros);
    }

    /// Returns how long the quickest `share` of the visits took, if there were any.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        (!self.micros.is_empty()).then(|| {
            // The histogram rounds up, by a thousandth at most.
            Duration::from_micros(self.micros.value_at_quantile(share)).min(GIVE_UP)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_never_above_what_was_waited() {
        let mut latencies = Latencies::new();
        latencies.record(GIVE_UP);

        assert_eq!(latencies.quantile(0.99), Some(GIVE_UP));
    }

    #[test]
    fn a_latency_is_told_to_a_thousandth() {
        let mut latencies = Latencies::new();
        for millis in 1..=100 {
            latencies.record(Duration::from_millis(millis));
        }

        assert_eq!(latencies.quantile(0.5).unwrap().as_millis(), 50);
        assert_eq!(latencies.quantile(0.99).unwrap().as_millis(), 99);
    }
}
