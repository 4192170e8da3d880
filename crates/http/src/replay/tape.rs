use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::ReplayError;
use super::limits::{Limits, Room};
use super::readers::{Readers, Wait};

/// What is kept of one body, and how far its readers are.
///
/// The body is recorded as it is first read: a reader that has had all of it *drives* the source,
/// one at a time, and what comes is there for the others. What no reader needs any more, present or
/// to come, is not kept.
#[derive(Debug)]
pub(super) struct Tape {
    chunks: VecDeque<Chunk>,
    /// How many chunks there were before those.
    dropped: usize,
    room: Room,
    /// What the source said of its rest when it was last polled.
    rest: SizeHint,
    end: Option<End>,
    readers: Readers,
    /// Who polls the source at this moment.
    driver: Option<usize>,
    /// Whether there may be more readers.
    repeatable: bool,
}

#[derive(Debug)]
struct Chunk {
    data: Bytes,
    /// What it takes of the room. 0 for one that is not kept but passed on.
    room: usize,
}

#[derive(Debug)]
enum End {
    Complete(Option<HeaderMap>),
    Failed(ReplayError),
}

/// What a reader gets.
#[derive(Debug)]
pub(super) enum Next {
    Frame(Frame<Bytes>),
    Failed(ReplayError),
    End,
    /// It is the driver now, and polls the source.
    Drive,
    /// Another is the driver.
    Wait,
}

/// What is known about a source that was polled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    pub(super) hint: SizeHint,
    pub(super) is_end: bool,
}

impl Tape {
    /// The number of the reader that there is from the beginning.
    pub(super) const FIRST: usize = 0;

    /// Starts the tape of a source.
    pub(super) fn new(limits: Limits, rest: SizeHint) -> Self {
        let mut readers = Readers::default();
        readers.add();
        Self {
            chunks: VecDeque::new(),
            dropped: 0,
            room: Room::new(limits),
            rest,
            end: None,
            readers,
            driver: None,
            repeatable: true,
        }
    }

    /// Adds a reader at the start, if all is kept.
    pub(super) fn add(&mut self) -> Option<usize> {
        self.repeatable.then(|| self.readers.add())
    }

    /// Takes a reader away. Its waker is for the caller to drop, where no lock is held.
    pub(super) fn remove(&mut self, reader: usize) -> Option<Waker> {
        let waker = self.readers.remove(reader);
        self.trim();
        waker
    }

    /// Says that there will be no more readers.
    pub(super) fn close(&mut self) {
        self.repeatable = false;
        self.trim();
    }

    /// Cuts the readers off that there are, so that they take nothing from those to come: where
    /// there can be such, and the source may still have something.
    pub(super) fn cut(&mut self) {
        if self.repeatable && self.end.is_none() {
            self.readers.cut(None, &ReplayError::Over);
        }
    }

    /// Whether anybody may want what the source still has.
    pub(super) fn needs_source(&self) -> bool {
        self.end.is_none() && (self.repeatable || self.readers.live().next().is_some())
    }

    pub(super) const fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    pub(super) const fn is_driven(&self) -> bool {
        self.driver.is_some()
    }

    /// Returns what comes next for a reader.
    pub(super) fn next(&mut self, number: usize) -> Next {
        self.readers.wait_no_more(number);
        let Some(reader) = self.readers.get_mut(number) else {
            return Next::End;
        };
        if reader.ended {
            return Next::End;
        }
        if let Some(error) = reader.cut.clone() {
            reader.ended = true;
            return Next::Failed(error);
        }
        if let Some(chunk) = self.chunks.get(reader.next - self.dropped) {
            reader.next += 1;
            let data = chunk.data.clone();
            self.trim();
            return Next::Frame(Frame::data(data));
        }
        let Some(end) = &self.end else {
            if self.driver.is_some() {
                return Next::Wait;
            }
            self.driver = Some(number);
            return Next::Drive;
        };
        reader.ended = true;
        match end {
            End::Complete(Some(trailers)) => Next::Frame(Frame::trailers(trailers.clone())),
            End::Complete(None) => Next::End,
            End::Failed(error) => Next::Failed(error.clone()),
        }
    }

    /// Notes that a reader waits. The waker that it had before is for the caller to drop, where no
    /// lock is held.
    pub(super) fn wait(&mut self, reader: usize, waits: Wait, waker: &Waker) -> Option<Waker> {
        self.readers.wait(reader, waits, waker)
    }

    /// Takes the waker of the first reader from `from` on that waits: [`Readers::take_waker`].
    pub(super) fn take_waker(
        &mut self,
        from: usize,
        waits: Option<Wait>,
    ) -> Option<(usize, Waker)> {
        self.readers.take_waker(from, waits)
    }

    /// Says that nothing came from the source, which is no longer driven.
    pub(super) const fn park(&mut self) {
        self.driver = None;
    }

    /// Says that something came from the source, which is no longer driven.
    fn release(&mut self) {
        if let Some(driver) = self.driver.take() {
            self.readers.wait_no_more(driver);
        }
    }

    /// Records what came before anybody read, as if the first reader had driven.
    pub(super) fn begin(&mut self, frame: Frame<Bytes>, rest: Rest) {
        self.driver = Some(Self::FIRST);
        self.record(frame, rest);
    }

    /// Records what came from the source. What only its driver is to see is returned: an empty
    /// frame, of which a source may have any number.
    pub(super) fn record(&mut self, frame: Frame<Bytes>, rest: Rest) -> Option<Frame<Bytes>> {
        self.rest = rest.hint;
        let frame = match frame.into_data() {
            Ok(data) if data.is_empty() => Some(Frame::data(data)),
            Ok(data) => {
                self.push(data);
                None
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => {
                    self.end = Some(End::Complete(Some(trailers)));
                    None
                }
                Err(unknown) => Some(unknown),
            },
        };
        if rest.is_end && self.end.is_none() {
            self.end = Some(End::Complete(None));
        }
        self.release();
        frame
    }

    /// Records that the source has no more.
    pub(super) fn complete(&mut self) {
        self.end.get_or_insert(End::Complete(None));
        self.release();
    }

    /// Records that the source broke off.
    pub(super) fn fail(&mut self, error: ReplayError) {
        self.end = Some(End::Failed(error));
        self.release();
        self.close();
    }

    /// Returns how much a reader will get.
    pub(super) fn size_hint(&self, reader: usize) -> SizeHint {
        let Some(reader) = self.readers.get(reader) else {
            return SizeHint::with_exact(0);
        };
        if reader.ended {
            return SizeHint::with_exact(0);
        }
        if reader.cut.is_some() {
            return SizeHint::default();
        }
        let rest = match &self.end {
            None => self.rest,
            Some(End::Complete(_)) => SizeHint::with_exact(0),
            Some(End::Failed(_)) => return SizeHint::default(),
        };
        let kept = self.chunks.iter().skip(reader.next - self.dropped);
        let kept = kept.map(|chunk| chunk.data.len() as u64).sum();
        sum(kept, &rest)
    }

    /// Whether a reader will get nothing more, and no error.
    pub(super) fn is_end(&self, reader: usize) -> bool {
        let Some(reader) = self.readers.get(reader) else {
            return true;
        };
        let has_all = reader.next == self.dropped + self.chunks.len();
        let complete = matches!(self.end, Some(End::Complete(None)));
        reader.ended || (reader.cut.is_none() && has_all && complete)
    }

    fn push(&mut self, data: Bytes) {
        let is_shared = self.repeatable || self.readers.live().count() > 1;
        let room = Room::of(data.len());
        let is_kept = is_shared && self.room.take(room);
        if is_shared && !is_kept {
            self.commit();
        }
        let room = if is_kept { room } else { 0 };
        self.chunks.push_back(Chunk { data, room });
    }

    /// Leaves the rest of the source to the driver alone. One that has been cut off wants none:
    /// then the one chunk that it was just given is kept for the others, room or not.
    fn commit(&mut self) {
        let driver = self.driver.and_then(|driver| self.readers.get(driver));
        if let Some(driver) = driver.filter(|driver| driver.is_live()) {
            let driver = Some(driver.number);
            self.readers.cut(driver, &ReplayError::Overtaken);
            self.close();
        }
    }

    /// Drops what nobody needs any more.
    fn trim(&mut self) {
        if self.repeatable {
            return;
        }
        let needed = self.readers.live().map(|reader| reader.next).min();
        while needed.is_none_or(|needed| self.dropped < needed)
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.dropped += 1;
            self.room.give_back(chunk.room);
        }
    }
}

fn sum(kept: u64, rest: &SizeHint) -> SizeHint {
    let mut sum = SizeHint::new();
    let upper = rest.upper().and_then(|upper| upper.checked_add(kept));
    sum.set_lower(rest.lower().saturating_add(kept));
    if let Some(upper) = upper {
        sum.set_upper(upper);
    }
    sum
}
