use std::fmt;

/// Which service hedges are sent to. Set by [`to`](crate::HedgeBuilder::to) on the builder.
#[diagnostic::on_unimplemented(
    message = "hedges of `{S}` have nowhere to go",
    note = "the service that is hedged must be `Clone`, or `.to(replica)` name another one"
)]
pub trait Target<S> {
    /// The service that hedges are sent to.
    type Service;

    /// Returns it for the hedges of one call to `inner`.
    fn service(&self, inner: &S) -> Self::Service;
}

/// Hedges go to a clone of the service that is hedged: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SameService;

impl<S: Clone> Target<S> for SameService {
    type Service = S;

    fn service(&self, inner: &S) -> S {
        inner.clone()
    }
}

/// Hedges go to a service of their own. Made by [`to`](crate::HedgeBuilder::to) on the builder.
#[derive(Clone)]
pub struct Replica<T>(T);

impl<T> Replica<T> {
    pub(crate) const fn new(service: T) -> Self {
        Self(service)
    }
}

impl<S, T: Clone> Target<S> for Replica<T> {
    type Service = T;

    fn service(&self, _: &S) -> T {
        self.0.clone()
    }
}

impl<T> fmt::Debug for Replica<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replica")
    }
}
