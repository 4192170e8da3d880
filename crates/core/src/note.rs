use std::time::Duration;

use crate::Name;

/// Writes what a layer knows about an answer onto the response that goes up.
///
/// `watertight-http` turns the notes into headers; everything else leaves them away
/// ([`Unnoted`]). What is noted: [`Served`], [`QuotaStatus`](crate::QuotaStatus), [`RetriesExhausted`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot note a `{T}` on a response of type `{Res}`"
)]
pub trait Note<Res, T> {
    /// Notes `what` on `response`.
    fn note(&self, response: &mut Res, what: T);
}

/// Notes nothing: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Unnoted;

impl<Res, T> Note<Res, T> for Unnoted {
    fn note(&self, _: &mut Res, _: T) {}
}

/// Which level of a fallback chain gave the answer, and how old it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Served {
    /// The level's name.
    pub level: Name,
    /// How old a cached answer is.
    pub stale: Option<Duration>,
}

/// A retry layer gave up on the call: layers above are not to retry it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RetriesExhausted {
    /// How many attempts were made.
    pub attempts: u32,
}
