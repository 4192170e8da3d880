use std::time::Duration;

use http::Method;

/// What visitors ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Page {
    Product,
    Checkout,
    Feed,
}

impl Page {
    /// Returns the page of the n-th visit: five of ten are products, three feeds, two checkouts.
    pub(crate) fn of_visit(n: u64) -> Self {
        match n % 10 {
            3 | 8 => Self::Checkout,
            1 | 5 | 7 => Self::Feed,
            _ => Self::Product,
        }
    }

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Product => "/product",
            Self::Checkout => "/checkout",
            Self::Feed => "/feed",
        }
    }

    /// Whether it can be had while payments and recommendations are dead.
    pub(crate) const fn is_bystander(self) -> bool {
        match self {
            Self::Product | Self::Feed => true,
            Self::Checkout => false,
        }
    }

    pub(crate) fn method(self) -> Method {
        match self {
            Self::Checkout => Method::POST,
            Self::Product | Self::Feed => Method::GET,
        }
    }
}

/// Who comes for what, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    pub(crate) number: u64,
    pub(crate) page: Page,
    /// From the start.
    pub(crate) due: Duration,
}

/// What became of a visit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The whole page came in time.
    Good,
    /// The page came in time, without some of its parts.
    Degraded,
    /// Too much was asked for from the same address.
    Refused,
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_ten_visits_in_a_row_want_the_same() {
        for start in 0..10 {
            let wanted = |page| {
                let visits = start..start + 10;
                visits.filter(|&n| Page::of_visit(n) == page).count()
            };

            assert_eq!(wanted(Page::Product), 5);
            assert_eq!(wanted(Page::Feed), 3);
            assert_eq!(wanted(Page::Checkout), 2);
        }
    }
}
