use watertight_core::Mode;

use crate::State;

/// All that a healthy call has to know of a circuit, in one atomic word.
///
/// The generation counts the states that the circuit has been in. A result votes only in the
/// generation that its call was admitted in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Word(u64);

impl Word {
    const STATE: u64 = 0b111;
    const MODE_SHIFT: u32 = 3;
    const MODE: u64 = ((1 << Mode::BITS) - 1) << Self::MODE_SHIFT;
    const QUIET: u64 = 1 << 5;
    const TIMED: u64 = 1 << 6;
    const GENERATION_SHIFT: u32 = 32;

    pub(crate) const fn new(state: State, mode: Mode, generation: u32) -> Self {
        Self(
            state as u64
                | (mode as u64) << Self::MODE_SHIFT
                | (generation as u64) << Self::GENERATION_SHIFT,
        )
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Whether a call passes whoever makes it and whenever, and is not timed: the usual case, told
    /// at one glance.
    #[inline]
    pub(crate) const fn admits_all(self) -> bool {
        const { assert!(State::Closed as u64 == 0 && Mode::Enforce as u64 == 0) }
        self.0 & (Self::STATE | Self::MODE | Self::TIMED) == 0
    }

    pub(crate) const fn state(self) -> State {
        match self.0 & Self::STATE {
            0 => State::Closed,
            1 => State::Open,
            2 => State::HalfOpen,
            3 => State::Recovering,
            4 => State::ForcedOpen,
            _ => State::ForcedClosed,
        }
    }

    pub(crate) const fn mode(self) -> Mode {
        Mode::of_word(self.0 >> Self::MODE_SHIFT)
    }

    #[inline]
    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> Self::GENERATION_SHIFT) as u32
    }

    /// A success changes nothing but a count: it need not be looked at.
    #[inline]
    pub(crate) const fn is_quiet(self) -> bool {
        self.0 & Self::QUIET != 0
    }

    pub(crate) const fn quiet(self, quiet: bool) -> Self {
        self.with(Self::QUIET, quiet)
    }

    /// Calls are timed.
    pub(crate) const fn is_timed(self) -> bool {
        self.0 & Self::TIMED != 0
    }

    pub(crate) const fn timed(self, timed: bool) -> Self {
        self.with(Self::TIMED, timed)
    }

    pub(crate) const fn with_mode(self, mode: Mode) -> Self {
        Self(self.0 & !Self::MODE | (mode as u64) << Self::MODE_SHIFT)
    }

    const fn with(self, bit: u64, set: bool) -> Self {
        Self(if set { self.0 | bit } else { self.0 & !bit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        for state in State::ALL {
            for mode in [Mode::Enforce, Mode::Shadow, Mode::Off] {
                let word = Word::new(state, mode, u32::MAX).timed(true);

                assert_eq!(word.state(), state);
                assert_eq!(word.mode(), mode);
                assert_eq!(word.generation(), u32::MAX);
                assert!(word.is_timed() && !word.is_quiet());
                assert_eq!(
                    word.quiet(true).timed(false).with_mode(Mode::Off).mode(),
                    Mode::Off
                );
            }
        }
    }
}
