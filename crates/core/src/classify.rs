use std::fmt;
use std::marker::PhantomData;

use http::HeaderMap;

use crate::{DynError, Failure, FailureKind, Outcome, Rejection};

/// Says what an answer means.
///
/// [`ErrorsAreFailures`] is the default everywhere. Over HTTP that would count every 503 as a
/// success: there, `.http()` or `.grpc()` on the builder sets a classifier that knows better. A
/// closure becomes a classifier by `.classify_fn(..)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not classify answers of type `{Res}`",
    label = "not a `Classify<{Res}>`",
    note = "pass a closure to `.classify_fn(|result| ..)`, or call `.http()` or `.grpc()` on the builder"
)]
pub trait Classify<Res> {
    /// Classifies a response, or an error, as soon as it is there.
    ///
    /// A [`Rejection`] among the errors says itself what it is
    /// ([`Rejection::outcome`]). It cannot be made to vote by a classifier of yours: see
    /// [`judge`].
    fn classify(&self, result: Result<&Res, &DynError>) -> Outcome;

    /// Classifies the end of a response's body, given what was said of its `head`.
    ///
    /// By default a body that breaks off is a [`FailureKind::Server`] failure, and otherwise the
    /// head's outcome stands.
    fn classify_end(&self, head: Outcome, end: End<'_>) -> Outcome {
        match end {
            End::Error(_) => Outcome::failure(FailureKind::Server),
            End::Complete(_) | End::Dropped => head,
        }
    }
}

/// How the body of a response ended.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// It was read to its end, with these trailers.
    Complete(Option<&'a HeaderMap>),
    /// It broke off.
    Error(&'a DynError),
    /// Nobody wanted the rest.
    Dropped,
}

/// The default classifier: a response is a success, an error is a failure.
///
/// An error is a failure of the kind [`FailureKind::Other`], and a [`Rejection`] is what its
/// [`Reason`](crate::Reason) says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ErrorsAreFailures;

impl<Res> Classify<Res> for ErrorsAreFailures {
    #[inline]
    fn classify(&self, result: Result<&Res, &DynError>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(error) => Rejection::find(error)
                .map_or(Outcome::failure(FailureKind::Other), Rejection::outcome),
        }
    }
}

/// A closure that classifies answers. Made by `.classify_fn(..)` on a builder.
pub struct ClassifyFn<F, Res> {
    classify: F,
    response: PhantomData<fn(Res)>,
}

impl<F, Res> ClassifyFn<F, Res>
where
    F: Fn(Result<&Res, &DynError>) -> Outcome,
{
    /// Makes a classifier of a closure.
    #[must_use]
    pub const fn new(classify: F) -> Self {
        Self {
            classify,
            response: PhantomData,
        }
    }
}

impl<F, Res> Classify<Res> for ClassifyFn<F, Res>
where
    F: Fn(Result<&Res, &DynError>) -> Outcome,
{
    fn classify(&self, result: Result<&Res, &DynError>) -> Outcome {
        (self.classify)(result)
    }
}

impl<F: Clone, Res> Clone for ClassifyFn<F, Res> {
    fn clone(&self) -> Self {
        Self {
            classify: self.classify.clone(),
            response: PhantomData,
        }
    }
}

impl<F, Res> fmt::Debug for ClassifyFn<F, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClassifyFn")
    }
}

/// Classifies an answer for somebody who votes: as `classify` says, except that a [`Rejection`]
/// whose [`Reason`](crate::Reason) never votes is a [`FailureKind::Rejected`] failure, whatever
/// the classifier thinks.
///
/// Whoever votes takes [`FailureKind::Rejected`] as neutral. So no classifier can make a
/// rejection of one of our layers open a breaker, lower a limit or spend a budget.
#[inline]
pub fn judge<Res, C>(classify: &C, result: Result<&Res, &DynError>) -> Outcome
where
    C: Classify<Res> + ?Sized,
{
    result
        .err()
        .and_then(find_neutral)
        .unwrap_or_else(|| classify.classify(result))
}

/// [`judge`] for the end of a body.
pub fn judge_end<Res, C>(classify: &C, head: Outcome, end: End<'_>) -> Outcome
where
    C: Classify<Res> + ?Sized,
{
    let rejected = match end {
        End::Error(error) => find_neutral(error),
        End::Complete(_) | End::Dropped => None,
    };
    rejected.unwrap_or_else(|| classify.classify_end(head, end))
}

fn find_neutral(error: &DynError) -> Option<Outcome> {
    let rejection = Rejection::find(error)?;
    (!rejection.reason().votes()).then(|| {
        Failure::new(FailureKind::Rejected)
            .retry_after(rejection.retry_after())
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BoxError, Name, Reason};

    fn rejected(reason: Reason) -> BoxError {
        Rejection::new(reason, Name::new("inner")).into()
    }

    fn kind(outcome: Outcome) -> Option<FailureKind> {
        outcome.as_failure().map(|failure| failure.kind)
    }

    #[test]
    fn errors_are_failures_and_responses_are_not() {
        let error: BoxError = "broken".into();

        assert_eq!(ErrorsAreFailures.classify(Ok(&())), Outcome::Success);
        assert_eq!(
            kind(Classify::<()>::classify(&ErrorsAreFailures, Err(&*error))),
            Some(FailureKind::Other)
        );
    }

    #[test]
    fn a_timeout_of_an_inner_layer_votes() {
        let error = rejected(Reason::TimedOut);

        let outcome = judge::<(), _>(&ErrorsAreFailures, Err(&*error));

        assert_eq!(kind(outcome), Some(FailureKind::Timeout));
    }

    #[test]
    fn no_classifier_can_make_a_rejection_vote() {
        let strict =
            ClassifyFn::new(|_: Result<&(), &DynError>| Outcome::failure(FailureKind::Server));

        for reason in [
            Reason::CircuitOpen,
            Reason::KeyMissing,
            Reason::DeadlineExceeded,
        ] {
            let error = rejected(reason);
            let outcome = judge(&strict, Err(&*error));
            assert_eq!(kind(outcome), Some(FailureKind::Rejected), "{reason:?}");
            let outcome = judge_end(&strict, Outcome::Success, End::Error(&*error));
            assert_eq!(kind(outcome), Some(FailureKind::Rejected), "{reason:?}");
        }
    }

    #[test]
    fn the_head_stands_unless_the_body_breaks_off() {
        let broken: BoxError = "reset".into();
        let end = |end| judge_end::<(), _>(&ErrorsAreFailures, Outcome::Success, end);

        assert_eq!(end(End::Complete(None)), Outcome::Success);
        assert_eq!(end(End::Dropped), Outcome::Success);
        assert_eq!(kind(end(End::Error(&*broken))), Some(FailureKind::Server));
    }
}
