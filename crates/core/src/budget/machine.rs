use tokio::time::Instant;

use super::concurrent::Concurrent;
use super::grpc::Grpc;
use super::ratio::Ratio;
use super::settings::{Settings, Style};
use super::tokens::Tokens;
use crate::Failure;

/// What keeps account, in the style that was asked for.
#[derive(Debug)]
pub(super) enum Machine {
    Ratio(Ratio),
    Tokens(Tokens),
    Grpc(Grpc),
    Concurrent(Concurrent),
    Unlimited,
    /// The settings cannot be.
    Nothing,
}

impl Machine {
    pub(super) fn new(settings: &Settings, epoch: Instant) -> Self {
        if settings.validate().is_err() {
            return Self::Nothing;
        }
        match settings.style {
            Style::Ratio {
                ratio,
                min_per_second,
                window,
            } => Self::Ratio(Ratio::new(ratio, min_per_second, window, epoch)),
            Style::Tokens { capacity, costs } => Self::Tokens(Tokens::new(capacity, costs)),
            Style::Grpc {
                max_tokens,
                token_ratio,
            } => Self::Grpc(Grpc::new(max_tokens, token_ratio)),
            Style::Concurrent { ratio, floor } => Self::Concurrent(Concurrent::new(ratio, floor)),
            Style::Unlimited => Self::Unlimited,
        }
    }

    /// A call begins, with a first attempt or as the repeat of one that has been counted.
    #[inline]
    pub(super) fn begin(&self, is_repeat: bool, now: impl FnOnce() -> Instant) {
        match self {
            Self::Ratio(_) if is_repeat => {}
            Self::Ratio(ratio) => ratio.begin(now),
            Self::Concurrent(concurrent) => concurrent.begin(),
            Self::Tokens(_) | Self::Grpc(_) | Self::Unlimited | Self::Nothing => {}
        }
    }

    /// A call is over, whatever came of it.
    #[inline]
    pub(super) fn end(&self) {
        if let Self::Concurrent(concurrent) = self {
            concurrent.end();
        }
    }

    /// An attempt has failed.
    pub(super) fn fail(&self, failure: &Failure) {
        if let Self::Grpc(grpc) = self {
            grpc.fail(failure);
        }
    }

    /// A call has succeeded, and its last extra attempt has cost so much. 0: it had none.
    #[inline]
    pub(super) fn succeed(&self, cost: u32) {
        if let Self::Tokens(_) | Self::Grpc(_) = self {
            self.refill(cost);
        }
    }

    #[inline(never)]
    fn refill(&self, cost: u32) {
        match self {
            Self::Tokens(tokens) => tokens.put(cost.max(1)),
            Self::Grpc(grpc) => grpc.succeed(),
            Self::Ratio(_) | Self::Concurrent(_) | Self::Unlimited | Self::Nothing => {}
        }
    }

    /// Takes what an extra attempt costs, and returns that, or `None` if there is not so much.
    pub(super) fn withdraw(&self, failure: &Failure, now: impl FnOnce() -> Instant) -> Option<u32> {
        match self {
            Self::Ratio(ratio) => ratio.withdraw(now()).then_some(0),
            Self::Tokens(tokens) => tokens.take(failure),
            Self::Grpc(grpc) => grpc.is_allowed().then_some(0),
            Self::Concurrent(concurrent) => concurrent.withdraw().then_some(0),
            Self::Unlimited => Some(0),
            Self::Nothing => None,
        }
    }

    pub(super) fn is_still_allowed(&self) -> bool {
        match self {
            Self::Grpc(grpc) => grpc.is_allowed(),
            Self::Ratio(_) | Self::Tokens(_) | Self::Concurrent(_) | Self::Unlimited => true,
            Self::Nothing => false,
        }
    }

    pub(super) fn may_lapse(&self) -> bool {
        matches!(self, Self::Grpc(_))
    }

    /// An extra attempt that is paid for goes out.
    pub(super) fn send(&self, now: impl FnOnce() -> Instant) {
        if let Self::Ratio(ratio) = self {
            ratio.send(now());
        }
    }

    /// An extra attempt that has cost so much does not go out.
    pub(super) fn give_back(&self, cost: u32) {
        match self {
            Self::Ratio(ratio) => ratio.give_back(),
            Self::Tokens(tokens) => tokens.put(cost),
            Self::Concurrent(concurrent) => concurrent.end_extra(),
            Self::Grpc(_) | Self::Unlimited | Self::Nothing => {}
        }
    }

    /// An extra attempt that went out is over.
    pub(super) fn end_extra(&self) {
        if let Self::Concurrent(concurrent) = self {
            concurrent.end_extra();
        }
    }
}
