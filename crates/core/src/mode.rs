/// Whether a layer that can refuse or delay calls does so.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Mode {
    /// Refuses and delays.
    #[default]
    Enforce,
    /// Refuses and delays nothing, but decides and counts as if it did: a call that would have
    /// been refused passes at once, is reported as refused in shadow, and its result does not
    /// vote.
    Shadow,
    /// Does nothing and counts nothing.
    Off,
}

impl Mode {
    /// How many bits of a word hold a mode, put there as a number: `mode as u64`.
    pub const BITS: u32 = 2;

    /// Returns the mode that the lowest [`BITS`](Self::BITS) of a word hold, beside whatever else.
    #[must_use]
    #[inline]
    pub const fn of_word(word: u64) -> Self {
        match word & ((1 << Self::BITS) - 1) {
            0 => Self::Enforce,
            1 => Self::Shadow,
            _ => Self::Off,
        }
    }

    /// Returns the mode's name in events and metrics, such as `shadow`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_found_in_a_word_beside_whatever_else() {
        for mode in [Mode::Enforce, Mode::Shadow, Mode::Off] {
            for others in [0, u64::MAX << Mode::BITS] {
                assert_eq!(Mode::of_word(others | mode as u64), mode);
            }
        }
    }
}
