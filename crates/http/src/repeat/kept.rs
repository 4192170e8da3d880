use std::sync::atomic::{AtomicU32, Ordering};

use http::{Request, request};
use watertight_core::{Failure, FailureKind};

use crate::attempt::{attempt, set_attempt};
use crate::replay::{KeptBody, ReplayBody};

/// What is kept of the head of a request.
#[derive(Debug)]
pub(super) struct KeptHead {
    head: request::Parts,
    /// Whether the request may be sent again though it may have reached the service.
    is_safe: bool,
    /// Which attempt was sent last, counted on from the one that came.
    attempt: AtomicU32,
}

impl KeptHead {
    pub(super) fn new(head: &request::Parts, is_safe: bool) -> Self {
        Self {
            attempt: AtomicU32::new(attempt(&head.headers)),
            head: head.clone(),
            is_safe,
        }
    }

    /// Whether the request may be sent again after `failure`.
    pub(super) fn allows(&self, failure: &Failure) -> bool {
        self.is_safe || failure.kind == FailureKind::Connect
    }

    /// Returns the head of the next attempt.
    pub(super) fn again(&self) -> request::Parts {
        let last = self.attempt.fetch_add(1, Ordering::Relaxed);
        let mut head = self.head.clone();
        set_attempt(&mut head.headers, last.saturating_add(1));
        head
    }
}

/// What is kept of a request. Made by [`HttpRepeat`](crate::HttpRepeat).
#[derive(Debug)]
pub struct KeptRequest<B> {
    pub(super) head: KeptHead,
    pub(super) body: KeptBody<B>,
}

impl<B> KeptRequest<B> {
    pub(super) fn allows(&self, failure: &Failure) -> bool {
        self.head.allows(failure) && self.body.is_repeatable()
    }

    pub(super) fn again(&self) -> Option<Request<ReplayBody<B>>> {
        let body = self.body.again()?;
        Some(Request::from_parts(self.head.again(), body))
    }
}
