use std::sync::atomic::{AtomicU64, Ordering};

/// Says which of the calls that may be refused are spared all the same, so that no more than a
/// share of them is refused: of any so many in a row no more than that, and one.
///
/// It adds up what each call is owed, as a line is drawn in pixels.
#[derive(Debug)]
pub(super) struct Leniency {
    /// In 2^-64 calls.
    owed: AtomicU64,
}

/// What each call is owed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Share {
    /// None is refused.
    All,
    /// A part of it, in 2^-64 calls.
    Part(u64),
}

impl Share {
    /// Returns what is left if this share may be refused.
    pub(super) fn that_leaves(refused: f64) -> Self {
        if refused <= 0.0 {
            return Self::All;
        }
        let calls = 2.0_f64.powi(64);
        Self::Part(((1.0 - refused) * calls) as u64)
    }
}

impl Default for Leniency {
    fn default() -> Self {
        Self {
            // A billionth of a call more than nothing, or rounding makes the tenth the eleventh.
            owed: AtomicU64::new(1 << 34),
        }
    }
}

impl Leniency {
    /// Whether the next call is spared.
    pub(super) fn spares(&self, share: Share) -> bool {
        match share {
            Share::All => true,
            Share::Part(part) => {
                let owed = self.owed.fetch_add(part, Ordering::Relaxed);
                owed.checked_add(part).is_none()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(share: f64, calls: usize) -> Vec<bool> {
        let (leniency, share) = (Leniency::default(), Share::that_leaves(share));
        (0..calls).map(|_| !leniency.spares(share)).collect()
    }

    #[test]
    fn one_in_ten_is_spared_and_not_the_first() {
        let refused = refused(0.9, 1000);

        assert_eq!(refused.iter().filter(|refused| **refused).count(), 900);
        assert_eq!(refused.iter().position(|refused| !refused), Some(9));
    }

    #[test]
    fn all_or_none_is_a_share_too() {
        assert!(refused(1.0, 1000).iter().all(|refused| *refused));
        assert!(refused(0.0, 1000).iter().all(|refused| !refused));
    }

    proptest! {
        #[test]
        fn of_any_calls_in_a_row_no_more_than_the_share_is_refused(
            share in 0.0..=1.0f64,
            from in 0..200usize,
            length in 1..200usize,
        ) {
            let refused = refused(share, 400)[from..from + length]
                .iter()
                .filter(|refused| **refused)
                .count() as f64;

            let expected = share * length as f64;
            prop_assert!(refused <= expected + 1.0 + 1e-9, "{refused} of {expected}");
            prop_assert!(refused >= expected - 1.0 - 1e-9, "{refused} of {expected}");
        }
    }
}
