use crate::verdict::Verdict;
use crate::word::Word;

/// The right to make one call, and all that there is to know of it when it ends.
///
/// It rides in the future of the call, which is moved about: it is small, and of whole words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permit {
    /// A generation, and the bits below.
    tag: u64,
    /// When the call started, in the time of its circuit, or [`UNTIMED`].
    started: u64,
}

const HOLDS_PLACE: u64 = 1;
const VOTED: u64 = 2;
const FAILED: u64 = 4;
const GENERATION_SHIFT: u32 = 32;

/// No circuit gets as old as that.
const UNTIMED: u64 = u64::MAX;

impl Permit {
    #[inline]
    pub(crate) const fn untimed(generation: u32) -> Self {
        Self {
            tag: (generation as u64) << GENERATION_SHIFT,
            started: UNTIMED,
        }
    }

    /// Makes one for a call that starts now, which is asked where calls are timed.
    pub(crate) fn new(word: Word, now: impl FnOnce() -> u64) -> Self {
        Self {
            started: if word.is_timed() { now() } else { UNTIMED },
            ..Self::untimed(word.generation())
        }
    }

    /// Makes it the permit of a probe, which holds one of the places.
    pub(crate) fn of_a_probe(mut self) -> Self {
        self.tag |= HOLDS_PLACE;
        self
    }

    #[inline]
    pub(crate) const fn generation(&self) -> u32 {
        (self.tag >> GENERATION_SHIFT) as u32
    }

    pub(crate) const fn holds_place(&self) -> bool {
        self.tag & HOLDS_PLACE != 0
    }

    /// Takes note that the head of the response has voted, and has given the place back.
    pub(crate) fn vote(&mut self, verdict: &Verdict) {
        let failed = if verdict.is_bad() { FAILED } else { 0 };
        self.tag = self.tag & !HOLDS_PLACE | VOTED | failed;
    }

    /// Whether the head has voted against the service.
    pub(crate) const fn has_failed(&self) -> bool {
        self.tag & FAILED != 0
    }

    pub(crate) const fn has_voted(&self) -> bool {
        self.tag & VOTED != 0
    }

    /// Whether the call is not timed, and has not voted.
    #[inline]
    pub(crate) const fn is_plain(&self) -> bool {
        !self.is_timed() && !self.has_voted()
    }

    #[inline]
    pub(crate) const fn is_timed(&self) -> bool {
        self.started != UNTIMED
    }

    /// Returns how many nanoseconds the call has taken at `at`, if it is timed.
    pub(crate) fn took(&self, at: impl FnOnce() -> u64) -> Option<u64> {
        self.is_timed().then(|| at().saturating_sub(self.started))
    }
}
