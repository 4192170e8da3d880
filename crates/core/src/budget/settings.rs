use std::time::Duration;

use super::Budget;
use crate::{ConfigError, FailureKind};

/// What a budget is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) style: Style,
    /// What has been set that the style does not have.
    misplaced: Option<Misplaced>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Style {
    Ratio {
        ratio: f64,
        min_per_second: f64,
        window: Duration,
    },
    Tokens {
        capacity: u32,
        costs: Costs,
    },
    Grpc {
        max_tokens: u32,
        token_ratio: f64,
    },
    Concurrent {
        ratio: f64,
        floor: u32,
    },
    Unlimited,
}

/// What an extra attempt costs after a failure of each kind.
pub(super) type Costs = [u32; KINDS];

const KINDS: usize = FailureKind::Other as usize + 1;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Misplaced {
    MinPerSecond(f64),
    Window(Duration),
    Cost(u32),
}

impl Settings {
    pub(super) const fn of(style: Style) -> Self {
        Self {
            style,
            misplaced: None,
        }
    }

    pub(super) fn ratio(ratio: f64) -> Self {
        Self::of(Style::Ratio {
            ratio,
            min_per_second: Budget::MIN_PER_SECOND,
            window: Budget::WINDOW,
        })
    }

    pub(super) fn tokens(capacity: u32) -> Self {
        let mut costs = [Budget::COST; KINDS];
        costs[FailureKind::RateLimited as usize] = Budget::THROTTLED_COST;
        costs[FailureKind::Overloaded as usize] = Budget::THROTTLED_COST;
        Self::of(Style::Tokens { capacity, costs })
    }

    pub(super) fn min_per_second(mut self, min: f64) -> Self {
        match &mut self.style {
            Style::Ratio { min_per_second, .. } => *min_per_second = min,
            _ => self.misplaced = Some(Misplaced::MinPerSecond(min)),
        }
        self
    }

    pub(super) fn window(mut self, length: Duration) -> Self {
        match &mut self.style {
            Style::Ratio { window, .. } => *window = length,
            _ => self.misplaced = Some(Misplaced::Window(length)),
        }
        self
    }

    pub(super) fn cost(mut self, kind: FailureKind, cost: u32) -> Self {
        match &mut self.style {
            Style::Tokens { costs, .. } => costs[kind as usize] = cost,
            _ => self.misplaced = Some(Misplaced::Cost(cost)),
        }
        self
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if let Some(misplaced) = self.misplaced {
            return Err(misplaced.error());
        }
        match self.style {
            Style::Ratio {
                ratio,
                min_per_second,
                window,
            } => {
                check_ratio(ratio)?;
                check_floor(min_per_second)?;
                check_window(window)
            }
            Style::Tokens { capacity, costs } => check_tokens(capacity, &costs),
            Style::Grpc {
                max_tokens,
                token_ratio,
            } => check_grpc(max_tokens, token_ratio),
            Style::Concurrent { ratio, .. } => check_ratio(ratio),
            Style::Unlimited => Ok(()),
        }
    }
}

impl Misplaced {
    fn error(self) -> ConfigError {
        let allowed = |style| format!("left out, unless it is a budget of {style}");
        match self {
            Self::MinPerSecond(min) => {
                ConfigError::new("budget.min_per_second", min, allowed("a ratio"))
            }
            Self::Window(window) => ConfigError::new("budget.window", window, allowed("a ratio")),
            Self::Cost(cost) => ConfigError::new("budget.cost", cost, allowed("tokens")),
        }
    }
}

fn check_ratio(ratio: f64) -> Result<(), ConfigError> {
    if (0.0..Budget::RATIO_BELOW).contains(&ratio) {
        return Ok(());
    }
    let allowed = format!("in 0.0..{:.1} (0.1 is 10 %)", Budget::RATIO_BELOW);
    Err(ConfigError::new("budget.ratio", ratio, allowed))
}

fn check_floor(min_per_second: f64) -> Result<(), ConfigError> {
    if (0.0..=Budget::MAX_PER_SECOND).contains(&min_per_second) {
        return Ok(());
    }
    let allowed = format!("in 0.0..={:.1}", Budget::MAX_PER_SECOND);
    Err(ConfigError::new(
        "budget.min_per_second",
        min_per_second,
        allowed,
    ))
}

fn check_window(window: Duration) -> Result<(), ConfigError> {
    if (Budget::MIN_WINDOW..=Budget::MAX_WINDOW).contains(&window) {
        return Ok(());
    }
    let allowed = format!("in {:?}..={:?}", Budget::MIN_WINDOW, Budget::MAX_WINDOW);
    Err(ConfigError::new("budget.window", window, allowed))
}

fn check_tokens(capacity: u32, costs: &Costs) -> Result<(), ConfigError> {
    if costs.contains(&0) {
        return Err(ConfigError::new("budget.cost", 0, "at least 1"));
    }
    let dearest = costs.iter().copied().max().unwrap_or(1);
    if capacity < dearest {
        let allowed = format!("at least {dearest}, which an extra attempt may cost");
        return Err(ConfigError::new("budget.capacity", capacity, allowed));
    }
    Ok(())
}

fn check_grpc(max_tokens: u32, token_ratio: f64) -> Result<(), ConfigError> {
    if !(1..=Budget::MAX_GRPC_TOKENS).contains(&max_tokens) {
        let allowed = format!("in 1..={}", Budget::MAX_GRPC_TOKENS);
        return Err(ConfigError::new("budget.max_tokens", max_tokens, allowed));
    }
    if !(0.001..=f64::from(max_tokens)).contains(&token_ratio) {
        let allowed = format!("in 0.001..={max_tokens}");
        return Err(ConfigError::new("budget.token_ratio", token_ratio, allowed));
    }
    Ok(())
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::{BudgetCall, Failure};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_usual_budgets_are_valid() {
        for budget in [
            Budget::ratio(0.1),
            Budget::ratio(0.0).min_per_second(0.0),
            Budget::ratio(2.0).window(Budget::MIN_WINDOW),
            Budget::ratio(0.1).window(Budget::MAX_WINDOW),
            Budget::tokens(500),
            Budget::tokens(14),
            Budget::tokens(500).cost(FailureKind::Timeout, 10),
            Budget::grpc(10, 0.1),
            Budget::concurrent(0.2, 3),
            Budget::concurrent(0.0, 0),
            Budget::unlimited(),
        ] {
            assert_eq!(budget.validate(), Ok(()));
        }
    }

    #[test]
    fn says_which_field_cannot_be_and_allows_nothing_with_it() {
        for (budget, field) in [
            (Budget::ratio(f64::NAN), "budget.ratio"),
            (Budget::ratio(f64::INFINITY), "budget.ratio"),
            (Budget::ratio(-0.1), "budget.ratio"),
            (Budget::ratio(10.0), "budget.ratio"),
            (
                Budget::ratio(0.1).min_per_second(f64::NAN),
                "budget.min_per_second",
            ),
            (
                Budget::ratio(0.1).min_per_second(-1.0),
                "budget.min_per_second",
            ),
            (
                Budget::ratio(0.1).min_per_second(f64::INFINITY),
                "budget.min_per_second",
            ),
            (Budget::ratio(0.1).window(Duration::ZERO), "budget.window"),
            (Budget::ratio(0.1).window(Duration::MAX), "budget.window"),
            (Budget::tokens(0), "budget.capacity"),
            (Budget::tokens(13), "budget.capacity"),
            (
                Budget::tokens(500).cost(FailureKind::Timeout, 501),
                "budget.capacity",
            ),
            (
                Budget::tokens(500).cost(FailureKind::Timeout, 0),
                "budget.cost",
            ),
            (Budget::grpc(0, 0.1), "budget.max_tokens"),
            (Budget::grpc(1_001, 0.1), "budget.max_tokens"),
            (Budget::grpc(10, 0.0), "budget.token_ratio"),
            (Budget::grpc(10, 11.0), "budget.token_ratio"),
            (Budget::grpc(10, f64::NAN), "budget.token_ratio"),
            (Budget::concurrent(f64::NAN, 3), "budget.ratio"),
            (Budget::concurrent(-0.1, 3), "budget.ratio"),
            (Budget::tokens(500).window(SECOND), "budget.window"),
            (
                Budget::unlimited().min_per_second(1.0),
                "budget.min_per_second",
            ),
            (
                Budget::ratio(0.1).cost(FailureKind::Timeout, 1),
                "budget.cost",
            ),
        ] {
            assert_eq!(budget.validate().unwrap_err().field(), field, "{budget:?}");

            let mut call = BudgetCall::new(budget);
            call.succeeded();
            let failure = Failure::new(FailureKind::Server);
            call.failed(&failure);
            assert!(!call.withdraw(&failure, Instant::now));
            assert!(!call.is_still_allowed());
        }
    }

    #[test]
    fn says_what_was_set_and_what_is_allowed() {
        for (budget, message) in [
            (
                Budget::ratio(10.0),
                "`budget.ratio` is 10.0, but must be in 0.0..5.0 (0.1 is 10 %)",
            ),
            (
                Budget::ratio(0.1).window(Duration::ZERO),
                "`budget.window` is 0ns, but must be in 1ms..=3600s",
            ),
            (
                Budget::tokens(10),
                "`budget.capacity` is 10, but must be at least 14, which an extra attempt may cost",
            ),
            (
                Budget::grpc(10, 0.1).window(SECOND),
                "`budget.window` is 1s, but must be left out, unless it is a budget of a ratio",
            ),
        ] {
            assert_eq!(budget.validate().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn what_was_wrong_can_be_set_right() {
        let budget = Budget::ratio(0.1).window(Duration::ZERO).window(SECOND);

        assert_eq!(budget.validate(), Ok(()));
        assert!(BudgetCall::new(budget).withdraw(&Failure::new(FailureKind::Server), Instant::now));
    }
}
