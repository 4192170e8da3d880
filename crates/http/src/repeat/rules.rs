use std::fmt;
use std::sync::Arc;

use http::{HeaderName, Method, request};
use watertight_core::Context;

/// The header by which a service knows that two requests ask for one and the same work.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Which requests may be sent again.
#[derive(Clone)]
pub(super) enum Rules {
    All,
    Some {
        /// Beyond those of RFC 9110.
        methods: Vec<Method>,
        also: Vec<Pick>,
    },
}

pub(super) type Pick = Arc<dyn Fn(&request::Parts) -> bool + Send + Sync>;

impl Rules {
    pub(super) const fn new() -> Self {
        Self::Some {
            methods: Vec::new(),
            also: Vec::new(),
        }
    }

    pub(super) fn add_methods(&mut self, more: impl IntoIterator<Item = Method>) {
        if let Self::Some { methods, .. } = self {
            methods.extend(more);
        }
    }

    pub(super) fn add(&mut self, pick: Pick) {
        if let Self::Some { also, .. } = self {
            also.push(pick);
        }
    }

    /// Whether a request may be sent again.
    pub(super) fn allow(&self, head: &request::Parts) -> bool {
        let Self::Some { methods, also } = self else {
            return true;
        };
        head.method.is_idempotent()
            || methods.contains(&head.method)
            || head.headers.contains_key(IDEMPOTENCY_KEY)
            || also.iter().any(|pick| pick(head))
            || Context::with(|context| context.is_some_and(|it| it.idempotency_key.is_some()))
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Some { methods, also } => f
                .debug_struct("Some")
                .field("methods", methods)
                .field("also", &also.len())
                .finish(),
        }
    }
}
