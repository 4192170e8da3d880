use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::{Context, DynError, Name};

/// Reads off a request how long its caller waits.
///
/// `HttpDeadlines` in `watertight-http` reads headers, [`ReadDeadlineFn`] asks a closure, and
/// [`Undeclared`] knows of nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot read off a `{Req}` how long its caller waits"
)]
pub trait ReadDeadline<Req> {
    /// How long the caller of `request` waits from now on. `None`: it does not say.
    fn time_left(&self, request: &Req) -> Option<Duration>;

    /// The [`Hops`](crate::Hops) that `request` says it has come through.
    fn hops<'a>(&self, request: &'a Req) -> Option<&'a str> {
        let _ = request;
        None
    }

    /// Takes off `request` what it says of how long its caller waits, since nobody believes it:
    /// whoever passes the request on would tell the next service.
    fn forget_time_left(&self, request: &mut Req) {
        let _ = request;
    }
}

/// Writes on a request how long its caller waits.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how a `{Req}` tells how long its caller waits",
    note = "call `.http()`, `.grpc()`, `.deadlines(..)` or `.write(|request, left| ..)` on the builder"
)]
pub trait WriteDeadline<Req> {
    /// Writes that the caller of `request` waits for `left` from now on, rounded down, unless it
    /// says less already. Returns false if nothing would be left of it.
    fn set_time_left(&self, request: &mut Req, left: Duration) -> bool;

    /// Whether anything would be left of it if that were written. Writes nothing.
    fn is_enough(&self, request: &Req, left: Duration) -> bool {
        let _ = request;
        !left.is_zero()
    }

    /// Writes the [`Hops`](crate::Hops) that `request` has come through.
    fn set_hops(&self, request: &mut Req, hops: &str) {
        let _ = (request, hops);
    }
}

/// Says whether an answer is that the deadline of its call has passed.
///
/// `HttpDeadlines` in `watertight-http` knows how HTTP, gRPC and tonic say so. A closure that
/// writes deadlines knows of no such answer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether a `{Res}` means that the deadline of its call has passed"
)]
pub trait SaysExceeded<Res> {
    /// Whether whoever was told how long the caller waits says here that this time is over. It is
    /// asked about every answer to a call with a deadline.
    fn says_exceeded(&self, answer: Result<&Res, &DynError>) -> bool;
}

/// Keeps what comes after the head of a response in the context of its call.
///
/// `HttpDeadlines` in `watertight-http` does so with bodies. What has no more to come passes as it
/// is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot keep a response of type `{Res}` in the context of its call"
)]
pub trait ScopeResponse<Res> {
    /// The response that goes up.
    type Response;

    /// Whether the rest of a response is cut off at the deadline.
    const CUTS_OFF: bool = true;

    /// Has the rest of `response` made in `context`, and cut off at its deadline in the name of
    /// the layer `name`. Without a context it passes as it is.
    fn scope(&self, response: Res, context: Option<Context>, name: Name) -> Self::Response;
}

/// Nobody has said where requests tell how long their callers wait: there is nothing to read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Undeclared;

impl<Req> ReadDeadline<Req> for Undeclared {
    fn time_left(&self, _: &Req) -> Option<Duration> {
        None
    }
}

impl<Res> ScopeResponse<Res> for Undeclared {
    type Response = Res;

    const CUTS_OFF: bool = false;

    #[inline]
    fn scope(&self, response: Res, _: Option<Context>, _: Name) -> Res {
        response
    }
}

/// A closure that reads off a request how long its caller waits. Made by `.read(..)` on a builder.
pub struct ReadDeadlineFn<F, Req> {
    read: F,
    request: PhantomData<fn(Req)>,
}

impl<F, Req> ReadDeadlineFn<F, Req>
where
    F: Fn(&Req) -> Option<Duration>,
{
    /// Reads by `read`.
    #[must_use]
    pub const fn new(read: F) -> Self {
        Self {
            read,
            request: PhantomData,
        }
    }
}

impl<F, Req> ReadDeadline<Req> for ReadDeadlineFn<F, Req>
where
    F: Fn(&Req) -> Option<Duration>,
{
    fn time_left(&self, request: &Req) -> Option<Duration> {
        (self.read)(request)
    }
}

impl<F, Req, Res> ScopeResponse<Res> for ReadDeadlineFn<F, Req> {
    type Response = Res;

    const CUTS_OFF: bool = false;

    #[inline]
    fn scope(&self, response: Res, _: Option<Context>, _: Name) -> Res {
        response
    }
}

impl<F: Clone, Req> Clone for ReadDeadlineFn<F, Req> {
    fn clone(&self) -> Self {
        Self {
            read: self.read.clone(),
            request: PhantomData,
        }
    }
}

impl<F, Req> fmt::Debug for ReadDeadlineFn<F, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadDeadlineFn")
    }
}

/// A closure that writes on a request how long its caller waits. Made by `.write(..)` on a builder.
pub struct WriteDeadlineFn<F, Req> {
    write: F,
    request: PhantomData<fn(Req)>,
}

impl<F, Req> WriteDeadlineFn<F, Req>
where
    F: Fn(&mut Req, Duration),
{
    /// Writes by `write`.
    #[must_use]
    pub const fn new(write: F) -> Self {
        Self {
            write,
            request: PhantomData,
        }
    }
}

impl<F, Req> WriteDeadline<Req> for WriteDeadlineFn<F, Req>
where
    F: Fn(&mut Req, Duration),
{
    fn set_time_left(&self, request: &mut Req, left: Duration) -> bool {
        (self.write)(request, left);
        true
    }
}

impl<F, Req, Res> SaysExceeded<Res> for WriteDeadlineFn<F, Req> {
    #[inline]
    fn says_exceeded(&self, _: Result<&Res, &DynError>) -> bool {
        false
    }
}

impl<F: Clone, Req> Clone for WriteDeadlineFn<F, Req> {
    fn clone(&self) -> Self {
        Self {
            write: self.write.clone(),
            request: PhantomData,
        }
    }
}

impl<F, Req> fmt::Debug for WriteDeadlineFn<F, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteDeadlineFn")
    }
}
