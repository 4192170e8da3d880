use std::time::Duration;

use crate::Name;

/// Writes what a layer knows about an answer onto the response that goes up.
///
/// `watertight-http` turns the notes into headers; everything else leaves them away
/// ([`Unnoted`]). What is noted: [`Served`], [`QuotaStatus`](crate::QuotaStatus),
/// [`RetriesExhausted`](crate::RetriesExhausted).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot note a `{T}` on a response of type `{Res}`"
)]
pub trait Note<Res, T> {
    /// Whether anybody hears of it. False for [`Unnoted`] alone: what nobody hears of need not be
    /// found out.
    const HEARD: bool = true;

    /// Notes `what` on `response`.
    fn note(&self, response: &mut Res, what: T);
}

/// Reads what a service, or a layer of ours below, wants a retry layer to know about an answer.
///
/// `watertight-http` reads it off headers and statuses; everything else says nothing
/// ([`Unnoted`]).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot read the signs on a response of type `{Res}`"
)]
pub trait Signs<Res> {
    /// Whether [`RetriesExhausted`](crate::RetriesExhausted) has been noted on `response`: it is not to be retried again.
    fn is_exhausted(&self, response: &Res) -> bool;

    /// Whether the service does not accept the credentials of the caller: with fresh ones it may.
    fn is_unauthorized(&self, response: &Res) -> bool;
}

/// Notes nothing and reads nothing: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Unnoted;

impl<Res, T> Note<Res, T> for Unnoted {
    const HEARD: bool = false;

    fn note(&self, _: &mut Res, _: T) {}
}

impl<Res> Signs<Res> for Unnoted {
    fn is_exhausted(&self, _: &Res) -> bool {
        false
    }

    fn is_unauthorized(&self, _: &Res) -> bool {
        false
    }
}

/// Which level of a fallback chain gave the answer, and how old it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Served {
    /// The level's name.
    pub level: Name,
    /// How old a cached answer is.
    pub stale: Option<Duration>,
}
