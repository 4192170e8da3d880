use std::fmt;
use std::marker::PhantomData;

use watertight_core::{Context, Priority};

/// Says how a bulkhead is to treat a request: how much it matters, which partition it belongs to,
/// and whether it passes in any case.
///
/// Closures become one by [`priority`](crate::BulkheadBuilder::priority),
/// [`partition_by`](crate::BulkheadBuilder::partition_by) and
/// [`bypass`](crate::BulkheadBuilder::bypass). Types go in by
/// [`triage`](crate::BulkheadBuilder::triage).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot tell how to treat a request of type `{Req}`",
    label = "not a `Triage<{Req}>`",
    note = "the closures of `.priority(..)`, `.partition_by(..)`, `.bypass(..)` take a `&{Req}`"
)]
pub trait Triage<Req> {
    /// How the name of a partition is given.
    type Partition: AsRef<str>;

    /// Returns how much the request matters. It is asked where the order or the reserves of the
    /// bulkhead make a difference. By default, as its [`Context`] says.
    fn priority(&self, request: &Req) -> Priority {
        let _ = request;
        of_context()
    }

    /// Returns which partition the request belongs to. A name that the bulkhead does not know is
    /// none.
    fn partition(&self, request: &Req) -> Option<Self::Partition>;

    /// Returns whether the request passes in any case, and is not counted: a health check. By
    /// default none is.
    fn bypasses(&self, request: &Req) -> bool {
        let _ = request;
        false
    }
}

fn of_context() -> Priority {
    Context::with(|context| context.map_or_else(Priority::default, |it| it.priority))
}

/// Treats requests by their [`Context`]: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ByContext;

impl<Req> Triage<Req> for ByContext {
    type Partition = &'static str;

    fn partition(&self, _: &Req) -> Option<&'static str> {
        None
    }
}

macro_rules! wrapper {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name<A, F, Req> {
            others: A,
            ask: F,
            request: PhantomData<fn(Req)>,
        }

        impl<A, F, Req> $name<A, F, Req> {
            pub(crate) const fn new(others: A, ask: F) -> Self {
                Self {
                    others,
                    ask,
                    request: PhantomData,
                }
            }
        }

        impl<A: Clone, F: Clone, Req> Clone for $name<A, F, Req> {
            fn clone(&self) -> Self {
                Self::new(self.others.clone(), self.ask.clone())
            }
        }

        impl<A, F, Req> fmt::Debug for $name<A, F, Req> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

wrapper! {
    /// A closure that says how much requests matter. Made by `.priority(..)` on a builder.
    Prioritised
}

impl<A, F, Req> Triage<Req> for Prioritised<A, F, Req>
where
    A: Triage<Req>,
    F: Fn(&Req) -> Priority,
{
    type Partition = A::Partition;

    fn priority(&self, request: &Req) -> Priority {
        (self.ask)(request)
    }

    fn partition(&self, request: &Req) -> Option<A::Partition> {
        self.others.partition(request)
    }

    fn bypasses(&self, request: &Req) -> bool {
        self.others.bypasses(request)
    }
}

wrapper! {
    /// A closure that names partitions. Made by `.partition_by(..)` on a builder.
    Partitioned
}

impl<A, F, Req, P> Triage<Req> for Partitioned<A, F, Req>
where
    A: Triage<Req>,
    F: Fn(&Req) -> Option<P>,
    P: AsRef<str>,
{
    type Partition = P;

    fn priority(&self, request: &Req) -> Priority {
        self.others.priority(request)
    }

    fn partition(&self, request: &Req) -> Option<P> {
        (self.ask)(request)
    }

    fn bypasses(&self, request: &Req) -> bool {
        self.others.bypasses(request)
    }
}

wrapper! {
    /// A closure that lets requests pass in any case. Made by `.bypass(..)` on a builder.
    Bypassing
}

impl<A, F, Req> Triage<Req> for Bypassing<A, F, Req>
where
    A: Triage<Req>,
    F: Fn(&Req) -> bool,
{
    type Partition = A::Partition;

    fn priority(&self, request: &Req) -> Priority {
        self.others.priority(request)
    }

    fn partition(&self, request: &Req) -> Option<A::Partition> {
        self.others.partition(request)
    }

    fn bypasses(&self, request: &Req) -> bool {
        (self.ask)(request) || self.others.bypasses(request)
    }
}
