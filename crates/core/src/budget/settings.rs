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
struct Misplaced {
    field: &'static str,
    value: f64,
    style: &'static str,
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
            _ => self.misplace("budget.min_per_second", min, "ratio"),
        }
        self
    }

    pub(super) fn window(mut self, length: Duration) -> Self {
        match &mut self.style {
            Style::Ratio { window, .. } => *window = length,
            _ => self.misplace("budget.window", length.as_secs_f64(), "ratio"),
        }
        self
    }

    pub(super) fn cost(mut self, kind: FailureKind, cost: u32) -> Self {
        match &mut self.style {
            Style::Tokens { costs, .. } => costs[kind as usize] = cost,
            _ => self.misplace("budget.cost", cost.into(), "tokens"),
        }
        self
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if let Some(Misplaced {
            field,
            value,
            style,
        }) = self.misplaced
        {
            let allowed = format!("left out, unless it is a budget of {style}");
            return Err(ConfigError::new(field, value, allowed));
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

    fn misplace(&mut self, field: &'static str, value: f64, style: &'static str) {
        self.misplaced = Some(Misplaced {
            field,
            value,
            style,
        });
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
