use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::nanos;

use super::Turn;
use crate::Quota;
use crate::gcra::{Gcra, GcraAt};

/// When turns begin, by how full the bucket was when they were booked.
///
/// One that takes the place of another is found from there: who waits knows the one by which the
/// turn was booked, and follows.
#[derive(Debug)]
pub(crate) struct Tempo {
    gcra: Gcra,
    /// The bucket has room for so much when only the slack is left in it.
    room: u64,
    epoch: Instant,
    next: OnceLock<Next>,
}

/// What takes the place of a tempo.
#[derive(Debug)]
struct Next {
    tempo: Arc<Tempo>,
    /// In nanoseconds since the epoch.
    changed_at: u64,
}

impl Tempo {
    pub(super) fn new(gcra: Gcra, room: u64, epoch: Instant) -> Self {
        Self {
            gcra,
            room,
            epoch,
            next: OnceLock::new(),
        }
    }

    /// Returns what works for `bucket` in place of this one, and since when.
    pub(super) fn next_of(&self, bucket: &Quota) -> (Gcra, Instant) {
        (Gcra::of_queue(bucket, Some(&self.gcra)), self.epoch)
    }

    /// Has `tempo` take the place of this one at `now`.
    pub(super) fn is_followed_by(&self, tempo: &Arc<Self>, now: Instant) {
        let next = Next {
            tempo: Arc::clone(tempo),
            changed_at: self.nanos(now),
        };
        // There is one change at a time, and a pace is changed once.
        let _ = self.next.set(next);
    }

    /// Returns how long it takes until the turn begins that comes after `word`.
    #[inline]
    pub(super) fn wait(&self, at: GcraAt<'_>, word: u64) -> Duration {
        at.wait(word, self.room).unwrap_or_default()
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }
}

/// Whoever has not followed for long lets go of many at once.
impl Drop for Tempo {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(Next { tempo, .. }) = next {
            next = Arc::into_inner(tempo).and_then(|mut tempo| tempo.next.take());
        }
    }
}

/// The place of a call in the queue: its turn, as it is by the tempo in force.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) turn: Turn,
    pub(super) tempo: Arc<Tempo>,
    begins_at: Instant,
}

impl Place {
    /// Makes the place of who has booked a turn just now.
    pub(super) fn new(turn: Turn, tempo: &Arc<Tempo>, now: Instant) -> Self {
        Self {
            turn,
            tempo: Arc::clone(tempo),
            begins_at: now + turn.wait,
        }
    }

    pub(crate) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// Returns when the turn begins.
    pub(crate) fn begins_at(&self) -> Instant {
        self.begins_at
    }

    /// Goes over to the tempo in force, and returns whether it has changed.
    ///
    /// As much is in the bucket before this turn as before. All turns and what comes after them go
    /// over in the same way, so that they stay in their order and as far apart as they cost.
    pub(crate) fn follow(&mut self) -> bool {
        let mut has_changed = false;
        while let Some(Next { tempo, changed_at }) = self.tempo.next.get() {
            let old = &self.tempo.gcra;
            self.turn.word = tempo.gcra.carry(self.turn.word, old, *changed_at);
            let at = tempo.gcra.at(*changed_at);
            let wait = tempo.wait(at, at.before(self.turn.word, self.turn.cost));
            self.begins_at = tempo.epoch + Duration::from_nanos(*changed_at) + wait;
            self.tempo = Arc::clone(tempo);
            has_changed = true;
        }
        has_changed
    }
}
