use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Body;
use watertight_core::BoxError;

use super::ReplayError;
use super::body::{KeptBody, ReplayBody};
use super::limits::{Limits, Room};
use super::shared::{Rewind, Source};
use super::tape::{Rest, Tape};

/// Makes a body that can be sent again: one that is known to be larger than what may be kept as long
/// as nothing of it was read, any other as long as all of it is kept.
///
/// With `look` a body of known length is polled, once: what is all in memory needs no more than
/// that. A body that nobody has asked for yet stays untouched without it.
pub(crate) fn keep<B>(body: B, limits: &Limits, look: bool) -> (ReplayBody<B>, Option<KeptBody<B>>)
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return (ReplayBody::once(body), Some(KeptBody::Empty));
    }
    let hint = body.size_hint();
    if hint.lower() > limits.body as u64 {
        return share(Box::pin(body), Tape::new(limits.nothing(), hint));
    }
    let mut source = Box::pin(body);
    let seen = if look && hint.exact().is_some() {
        let mut cx = Context::from_waker(Waker::noop());
        source.as_mut().poll_frame(&mut cx)
    } else {
        Poll::Pending
    };
    let rest = Rest {
        hint: source.size_hint(),
        is_end: source.is_end_stream(),
    };
    let polled = match seen {
        Poll::Ready(None) => return (ReplayBody::whole(None), Some(KeptBody::Empty)),
        Poll::Ready(Some(Ok(frame))) if rest.is_end && frame.is_data() => {
            return whole(frame.into_data().unwrap_or_default(), limits);
        }
        Poll::Ready(Some(polled)) => Some(polled),
        Poll::Pending => None,
    };
    let mut tape = Tape::new(limits.clone(), rest.hint);
    match polled {
        Some(Ok(frame)) => tape.begin(frame, rest),
        Some(Err(error)) => tape.fail(ReplayError::Source(error.into().into())),
        None => {}
    }
    share(source, tape)
}

/// Makes a body that its readers share.
fn share<B>(source: Source<B>, tape: Tape) -> (ReplayBody<B>, Option<KeptBody<B>>) {
    let (reader, rewind) = Rewind::share(source, tape);
    (ReplayBody::shared(reader), Some(KeptBody::Shared(rewind)))
}

/// Makes a body of which all is there.
fn whole<B>(data: Bytes, limits: &Limits) -> (ReplayBody<B>, Option<KeptBody<B>>) {
    let sent = ReplayBody::whole(Some(data.clone()));
    let mut room = Room::new(limits.clone());
    let is_kept = room.take(Room::of(data.len()));
    (sent, is_kept.then_some(KeptBody::Whole { data, room }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::{BodyExt, Empty, Full};

    use super::*;
    use crate::replay::Total;
    use crate::replay::script::{Step, bytes, script, trailers};

    fn limits(body: usize, total: usize) -> Limits {
        Limits {
            body,
            total: Arc::new(Total::new(total)),
        }
    }

    async fn read<B>(body: ReplayBody<B>) -> Bytes
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_body_that_is_all_there_is_kept_as_it_is() {
        let limits = limits(100, 100);
        let hello = Bytes::from_static(&[b'x'; 99]);

        let (sent, kept) = keep(Full::new(hello.clone()), &limits, true);
        let again = kept.as_ref().unwrap().again().unwrap();

        assert_eq!(sent.size_hint().exact(), Some(99));
        assert_eq!(again.size_hint().exact(), Some(99));
        assert_eq!(limits.total.kept(), 99);
        assert_eq!(read(sent).await.as_ptr(), hello.as_ptr());
        assert_eq!(read(again).await.as_ptr(), hello.as_ptr());
        drop(kept);
        assert_eq!(limits.total.kept(), 0);
    }

    #[tokio::test]
    async fn a_body_without_content_is_sent_as_it_is() {
        let (sent, kept) = keep(Empty::new(), &limits(0, 0), true);
        let again = kept.unwrap().again().unwrap();

        assert!(sent.is_end_stream() && again.is_end_stream());
        assert_eq!(again.size_hint().exact(), Some(0));
        assert!(sent.into_once().is_ok());
        assert_eq!(read(again).await, "");
    }

    #[tokio::test]
    async fn what_is_known_to_be_too_long_is_never_kept() {
        let limits = limits(100, 1000);
        let (source, control) = script([Step::Data(70), Step::Data(31)], true);

        let (sent, kept) = keep(source, &limits, true);
        let kept = kept.unwrap();
        assert_eq!(control.polls(), 0);
        // Nobody has read it yet: it may well be sent again.
        drop(sent);
        let mut sent = kept.again().unwrap();
        assert_eq!(sent.size_hint().exact(), Some(101));
        let first = sent.frame().await.unwrap().unwrap();

        assert_eq!(first.into_data().unwrap(), bytes(0, 70));
        assert!(kept.again().is_none());
        assert_eq!(limits.total.kept(), 0);
        assert_eq!(read(sent).await, bytes(70, 31));
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_limit() {
        let limits = limits(100, 150);
        let body = || Full::new(Bytes::from_static(&[b'x'; 100]));

        let first = keep(body(), &limits, true);
        let (sent, kept) = keep(body(), &limits, true);

        assert!(kept.is_none());
        assert_eq!(read(sent).await.len(), 100);
        drop(first);
        assert!(keep(body(), &limits, true).1.is_some());
    }

    /// The bodies stream: what no longer fits is noticed on the way.
    #[tokio::test]
    async fn the_limit_for_all_ends_what_is_kept_of_one() {
        let limits = limits(150, 250);
        let stream = || script([Step::Data(80), Step::Data(70)], false).0;
        let (first, kept) = keep(stream(), &limits, true);
        let (second, lost) = keep(stream(), &limits, true);

        assert_eq!(read(first).await, bytes(0, 150));
        assert_eq!(limits.total.kept(), 150);
        assert_eq!(read(second).await, bytes(0, 150));

        assert_eq!(limits.total.kept(), 150);
        assert!(lost.unwrap().again().is_none());
        assert!(kept.unwrap().again().is_some());
        assert_eq!(limits.total.kept(), 0);
    }

    #[test]
    fn a_body_that_may_not_be_looked_at_is_left_alone() {
        for (look, polls) in [(true, 1), (false, 0)] {
            let (source, control) = script([Step::Wait, Step::Data(9)], true);

            let _kept = keep(source, &limits(100, 100), look);

            assert_eq!(control.polls(), polls);
        }
    }

    /// Whoever opened the stream may wait for its first words to be read.
    #[test]
    fn a_body_of_unknown_length_is_left_alone() {
        let (source, control) = script([Step::Data(9)], false);

        let _kept = keep(source, &limits(100, 100), true);

        assert_eq!(control.polls(), 0);
    }

    #[tokio::test]
    async fn trailers_are_sent_again() {
        let (source, _control) = script([Step::Data(9), Step::Trailers], true);
        let (sent, kept) = keep(source, &limits(100, 100), true);
        let again = kept.unwrap().again().unwrap();

        for body in [sent, again] {
            let body = body.collect().await.unwrap();
            assert_eq!(body.trailers(), Some(&trailers()));
            assert_eq!(body.to_bytes(), bytes(0, 9));
        }
    }
}
