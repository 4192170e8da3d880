use std::fmt;
use std::marker::PhantomData;

use crate::Failure;

/// Says whether and how a request is sent twice.
///
/// [`Always`] and [`Never`] are for requests of which that is known; a closure says it of each
/// request by `.repeat_if(..)`; `HttpRepeat` in `watertight-http` knows the methods and bodies of
/// HTTP. Layers that repeat have no silent default.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether a `{Req}` may be sent twice",
    note = "call `.http()`, `.grpc()`, `.repeat(Always)`, `.repeat(Never)` or `.repeat_if(|request| ..)` on the builder"
)]
pub trait Repeat<Req> {
    /// The request that is sent.
    type Request;
    /// What is kept of it, to make it again.
    type Kept;

    /// Takes what is needed to send `request` again. `None`: it is not to be repeated, and nothing
    /// was cloned.
    fn keep(&self, request: Req) -> (Self::Request, Option<Self::Kept>);

    /// Whether what is kept may be sent again after `failure`. A request that may not be repeated
    /// can be kept all the same, for a [`Connect`](crate::FailureKind::Connect) failure: that never
    /// reached the service.
    fn allows(&self, kept: &Self::Kept, failure: &Failure) -> bool {
        let _ = (kept, failure);
        true
    }

    /// Makes the request once more, if that is still possible.
    fn again(&self, kept: &Self::Kept) -> Option<Self::Request>;

    /// Makes the request that is sent where no repeat is possible whatever comes, and nothing needs
    /// to be kept.
    fn once(&self, request: Req) -> Self::Request;

    /// Cuts off the attempts that were made so far, of which something may still be on its way, so
    /// that they do not spoil the next. Who makes one attempt after another says this when the next
    /// is decided, and then asks for it; who makes several at a time does not.
    fn cut_off(&self, _: &Self::Kept) {}
}

/// Nobody has said yet what may be repeated. It is no [`Repeat`], and the compiler says what to
/// call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Undecided;

/// Every request may be repeated.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Always;

impl<Req: Clone> Repeat<Req> for Always {
    type Request = Req;
    type Kept = Req;

    fn keep(&self, request: Req) -> (Req, Option<Req>) {
        let kept = request.clone();
        (request, Some(kept))
    }

    fn again(&self, kept: &Req) -> Option<Req> {
        Some(kept.clone())
    }

    fn once(&self, request: Req) -> Req {
        request
    }
}

/// No request may be repeated.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Never;

impl<Req> Repeat<Req> for Never {
    type Request = Req;
    type Kept = std::convert::Infallible;

    fn keep(&self, request: Req) -> (Req, Option<Self::Kept>) {
        (request, None)
    }

    fn again(&self, kept: &Self::Kept) -> Option<Req> {
        match *kept {}
    }

    fn once(&self, request: Req) -> Req {
        request
    }
}

/// The requests that a closure picks may be repeated. Made by `.repeat_if(..)` on a builder.
pub struct RepeatIf<F, Req> {
    pick: F,
    request: PhantomData<fn(Req)>,
}

impl<F, Req> RepeatIf<F, Req>
where
    F: Fn(&Req) -> bool,
{
    /// Lets the requests be repeated of which `pick` is true.
    #[must_use]
    pub const fn new(pick: F) -> Self {
        Self {
            pick,
            request: PhantomData,
        }
    }
}

impl<F, Req> Repeat<Req> for RepeatIf<F, Req>
where
    F: Fn(&Req) -> bool,
    Req: Clone,
{
    type Request = Req;
    type Kept = Req;

    fn keep(&self, request: Req) -> (Req, Option<Req>) {
        let kept = (self.pick)(&request).then(|| request.clone());
        (request, kept)
    }

    fn again(&self, kept: &Req) -> Option<Req> {
        Some(kept.clone())
    }

    fn once(&self, request: Req) -> Req {
        request
    }
}

impl<F: Clone, Req> Clone for RepeatIf<F, Req> {
    fn clone(&self) -> Self {
        Self {
            pick: self.pick.clone(),
            request: PhantomData,
        }
    }
}

impl<F, Req> fmt::Debug for RepeatIf<F, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RepeatIf")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn always_keeps_a_copy() {
        let (sent, kept) = Always.keep("request");

        assert_eq!(sent, "request");
        assert_eq!(Always.again(&kept.unwrap()), Some("request"));
    }

    #[test]
    fn never_clones_nothing() {
        struct NotClone;

        let (NotClone, kept) = Never.keep(NotClone);

        assert!(kept.is_none());
    }

    #[test]
    fn a_closure_picks() {
        let short = RepeatIf::new(|request: &&str| request.len() < 4);

        assert_eq!(short.keep("get").1, Some("get"));
        assert_eq!(short.keep("post").1, None);
    }
}
