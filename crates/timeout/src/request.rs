use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// Says how long a request may take. A closure becomes one by `.per_request(..)` on the builder.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how long a request of type `{Req}` may take",
    label = "not a `TimeoutOf<{Req}>`",
    note = "pass a closure to `.per_request(|request: &{Req}| ..)`"
)]
pub trait TimeoutOf<Req> {
    /// Returns how long `request` may take: zero is refused at once, `Duration::MAX` is as long as
    /// it takes. `None` is as long as is configured; that of a closure is as long as it takes.
    fn timeout_of(&self, request: &Req) -> Option<Duration>;
}

/// All requests may take as long as is configured: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AsConfigured;

impl<Req> TimeoutOf<Req> for AsConfigured {
    #[inline]
    fn timeout_of(&self, _: &Req) -> Option<Duration> {
        None
    }
}

/// A closure that says how long a request may take. Made by `.per_request(..)` on the builder.
pub struct TimeoutFn<F, Req> {
    find: F,
    request: PhantomData<fn(Req)>,
}

impl<F, Req> TimeoutFn<F, Req>
where
    F: Fn(&Req) -> Option<Duration>,
{
    pub(crate) const fn new(find: F) -> Self {
        Self {
            find,
            request: PhantomData,
        }
    }
}

impl<F, Req> TimeoutOf<Req> for TimeoutFn<F, Req>
where
    F: Fn(&Req) -> Option<Duration>,
{
    #[inline]
    fn timeout_of(&self, request: &Req) -> Option<Duration> {
        Some((self.find)(request).unwrap_or(Duration::MAX))
    }
}

impl<F: Clone, Req> Clone for TimeoutFn<F, Req> {
    fn clone(&self) -> Self {
        Self {
            find: self.find.clone(),
            request: PhantomData,
        }
    }
}

impl<F, Req> fmt::Debug for TimeoutFn<F, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimeoutFn")
    }
}
