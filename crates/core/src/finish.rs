use crate::{Classify, Outcome, judge};

/// One call that a layer follows to its end, and what it holds until then.
///
/// Dropped without [`end`](Self::end), the call was cancelled.
pub trait Call {
    /// Takes note that the response, or the next frame of its body, was asked for.
    /// `is_in_the_making` says whether somebody still works on it: it was not there, or belongs to a
    /// body whose size nobody knows.
    #[inline]
    fn polled(&mut self, is_in_the_making: impl FnOnce() -> bool) {
        let _ = is_in_the_making;
    }

    /// Takes note of the response's head, where its body is still to come.
    fn head(&mut self, head: &Outcome);

    /// Ends the call.
    fn end(self, outcome: Outcome);

    /// Ends the call whose response is dropped before its end.
    fn break_off(self, outcome: Outcome)
    where
        Self: Sized,
    {
        self.end(outcome);
    }
}

/// Says when a call is over: at the response ([`AtResponse`], the default), or when the body of an
/// HTTP response ends (`AtBodyEnd` in `watertight-http`).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot end a call at a response of type `{Res}`",
    label = "not a `Finish<{Res}, {C}>`"
)]
pub trait Finish<Res, C> {
    /// The response that goes up: the one that came, or one that carries the call along.
    type Response<K: Call>;

    /// Ends `call`, now or with the returned response.
    fn finish<K: Call>(&self, response: Res, classify: &C, call: K) -> Self::Response<K>;
}

/// A call is over when its response is there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AtResponse;

impl<Res, C> Finish<Res, C> for AtResponse
where
    C: Classify<Res>,
{
    type Response<K: Call> = Res;

    #[inline(always)]
    fn finish<K: Call>(&self, response: Res, classify: &C, call: K) -> Res {
        call.end(judge(classify, Ok(&response)));
        response
    }
}
