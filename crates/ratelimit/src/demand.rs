use std::fmt;
use std::marker::PhantomData;

/// Says what a request asks for: how much it costs, and on which plan.
///
/// Closures become one by [`cost`](crate::RateLimitBuilder::cost) and
/// [`plan_by`](crate::RateLimitBuilder::plan_by). Types go in by
/// [`demand`](crate::RateLimitBuilder::demand).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot tell what a request of type `{Req}` asks for",
    label = "not a `Demand<{Req}>`",
    note = "the closures of `.cost(..)` and `.plan_by(..)` take a `&{Req}`"
)]
pub trait Demand<Req> {
    /// How the name of a plan is given.
    type Plan: AsRef<str>;

    /// Returns how many tokens the request takes, by default one.
    fn cost(&self, request: &Req) -> u64 {
        let _ = request;
        1
    }

    /// Returns which [plan](crate::RateLimitBuilder::plan) the request is on. A name that the layer
    /// does not know is none.
    fn plan(&self, request: &Req) -> Option<Self::Plan>;
}

/// One token for each request, and no plans: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OneEach;

impl<Req> Demand<Req> for OneEach {
    type Plan = &'static str;

    fn plan(&self, _: &Req) -> Option<&'static str> {
        None
    }
}

macro_rules! wrapper {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name<D, F, Req> {
            others: D,
            ask: F,
            request: PhantomData<fn(Req)>,
        }

        impl<D, F, Req> $name<D, F, Req> {
            pub(crate) const fn new(others: D, ask: F) -> Self {
                Self {
                    others,
                    ask,
                    request: PhantomData,
                }
            }
        }

        impl<D: Clone, F: Clone, Req> Clone for $name<D, F, Req> {
            fn clone(&self) -> Self {
                Self::new(self.others.clone(), self.ask.clone())
            }
        }

        impl<D, F, Req> fmt::Debug for $name<D, F, Req> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

wrapper! {
    /// A closure that says what requests cost. Made by `.cost(..)` on a builder.
    Priced
}

impl<D, F, Req> Demand<Req> for Priced<D, F, Req>
where
    D: Demand<Req>,
    F: Fn(&Req) -> u64,
{
    type Plan = D::Plan;

    fn cost(&self, request: &Req) -> u64 {
        (self.ask)(request)
    }

    fn plan(&self, request: &Req) -> Option<D::Plan> {
        self.others.plan(request)
    }
}

wrapper! {
    /// A closure that names plans. Made by `.plan_by(..)` on a builder.
    Planned
}

impl<D, F, Req, P> Demand<Req> for Planned<D, F, Req>
where
    D: Demand<Req>,
    F: Fn(&Req) -> Option<P>,
    P: AsRef<str>,
{
    type Plan = P;

    fn cost(&self, request: &Req) -> u64 {
        self.others.cost(request)
    }

    fn plan(&self, request: &Req) -> Option<P> {
        (self.ask)(request)
    }
}
