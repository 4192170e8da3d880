use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use watertight_core::BoxError;

use super::ReplayError;
use super::body::{KeptBody, ReplayBody};
use super::limits::{Limits, Room};
use super::shared::Rewind;
use super::tape::{Rest, Tape};

/// Makes a body that can be sent again, unless it is known to be larger than what may be kept.
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
        return (ReplayBody::once(body), None);
    }
    let mut source = Box::pin(body);
    let mut tape = Tape::new(limits.clone(), hint);
    let first = tape.start();
    if look && hint.exact().is_some() {
        let polled = source
            .as_mut()
            .poll_frame(&mut Context::from_waker(Waker::noop()));
        let rest = Rest {
            hint: source.size_hint(),
            is_end: source.is_end_stream(),
        };
        match polled {
            Poll::Pending => {}
            Poll::Ready(None) => return (ReplayBody::whole(None), Some(KeptBody::Empty)),
            Poll::Ready(Some(Err(error))) => tape.fail(ReplayError::Source(error.into().into())),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if rest.is_end => return whole(data, limits),
                Ok(data) => drop(tape.record(Frame::data(data), rest)),
                Err(frame) => drop(tape.record(frame, rest)),
            },
        }
    }
    tape.parked();
    let rewind = Rewind::new(source, tape);
    let reader = rewind.reader_of(first);
    (ReplayBody::shared(reader), Some(KeptBody::Shared(rewind)))
}

/// Makes a body of which all is there.
fn whole<B>(data: Bytes, limits: &Limits) -> (ReplayBody<B>, Option<KeptBody<B>>) {
    let sent = ReplayBody::whole(Some(data.clone()));
    let mut room = Room::new(limits.clone());
    let is_kept = room.take(Room::of(data.len()));
    (sent, is_kept.then_some(KeptBody::Whole { data, room }))
}
