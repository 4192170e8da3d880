/// What a key is known by in its set: 56 bits of its hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tag(u64);

impl Tag {
    /// That of a slot which no key has had yet.
    const UNUSED: Self = Self(0);
    /// That of a slot which was given back before its key had it.
    const NOBODY: Self = Self(1);

    /// Takes the lower bits. The upper ones say which set it is.
    pub(super) fn of(hash: u64) -> Self {
        let tag = hash << Owner::TAG >> Owner::TAG;
        Self(tag.max(2))
    }

    /// Returns the slot that is looked at first for the key, counted without an end. It is the first
    /// of a cache line, so that one line shows four slots.
    pub(super) const fn home(self) -> usize {
        self.0 as usize & !3
    }
}

/// Who has a slot, in one word: the tag, a generation that counts the claims of the slot round and
/// round, and whether the claim is pending.
///
/// As long as it is pending, the state in the slot is not that of the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Owner(u64);

impl Owner {
    const PENDING: u64 = 1;
    const GENERATION: u64 = 0xfe;
    const NEXT_GENERATION: u64 = 2;
    /// How far up the tag is.
    const TAG: u32 = 8;

    /// What a key leaves in the state of a slot that it no longer has, unsealed.
    pub(super) const VACATED: u64 = u64::MAX;

    pub(super) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub(super) const fn word(self) -> u64 {
        self.0
    }

    pub(super) const fn tag(self) -> Tag {
        Tag(self.0 >> Self::TAG)
    }

    pub(super) fn is_unused(self) -> bool {
        self.tag() == Tag::UNUSED
    }

    /// Whether no key has the slot.
    pub(super) fn is_nobody(self) -> bool {
        self.is_unused() || self.tag() == Tag::NOBODY
    }

    pub(super) const fn is_pending(self) -> bool {
        self.0 & Self::PENDING != 0
    }

    /// Returns the next owner, while its claim is pending.
    #[must_use]
    pub(super) const fn claimed_by(self, tag: Tag) -> Self {
        let generation = self.0.wrapping_add(Self::NEXT_GENERATION) & Self::GENERATION;
        Self(tag.0 << Self::TAG | generation | Self::PENDING)
    }

    /// Returns the owner once its claim has been settled.
    #[must_use]
    pub(super) const fn settled(self) -> Self {
        Self(self.0 & !Self::PENDING)
    }

    /// Returns what remains of a claim that was given back.
    #[must_use]
    pub(super) const fn given_back(self) -> Self {
        Self(Tag::NOBODY.0 << Self::TAG | self.0 & Self::GENERATION)
    }

    /// Makes a state one of this owner, or such a one a plain state again.
    pub(super) const fn seal(self, state: u64) -> u64 {
        // 2^64 over the golden ratio: owners that differ in anything differ in the upper bits, and
        // those are folded into the lower ones.
        let mixed = self.settled().0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state ^ mixed ^ (mixed >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_goes_from_hand_to_hand() {
        let (first, second) = (Tag::of(0xaa << 56 | 7), Tag::of(9));

        let unused = Owner::from_word(0);
        assert!(unused.is_unused() && unused.is_nobody() && !unused.is_pending());

        let claimed = unused.claimed_by(first);
        assert!(claimed.is_pending() && !claimed.is_nobody());
        assert_eq!(claimed.tag(), Tag(7));
        assert_eq!(claimed.settled().tag(), Tag(7));
        assert!(!claimed.settled().is_pending());

        let next = claimed.settled().claimed_by(second);
        assert_eq!(next.tag(), second);
        assert_ne!(next.settled().claimed_by(first), claimed);

        let given_back = next.given_back();
        assert!(given_back.is_nobody() && !given_back.is_unused());
        assert_ne!(given_back.claimed_by(second), next);
    }

    #[test]
    fn the_generation_comes_round_and_touches_nothing_else() {
        let tag = Tag::of(u64::MAX);
        let start = Owner::from_word(0).claimed_by(tag);

        let mut owner = start;
        for claims in 1..=128 {
            owner = owner.settled().claimed_by(tag);
            assert_eq!(owner.tag(), tag);
            assert!(owner.is_pending());
            assert_eq!(owner == start, claims == 128);
        }
    }

    #[test]
    fn no_hash_has_the_tag_of_nobody() {
        for hash in [0, 1, 2, 3, 0xff << 56, u64::MAX] {
            let owner = Owner::from_word(0).claimed_by(Tag::of(hash));
            assert!(!owner.is_nobody());
        }
    }

    #[test]
    fn a_seal_opens_for_its_owner_alone() {
        let owner = Owner::from_word(0).claimed_by(Tag::of(7));
        let others = [
            owner.settled().claimed_by(Tag::of(7)),
            owner.settled().claimed_by(Tag::of(8)),
            owner.given_back().claimed_by(Tag::of(7)),
        ];

        let sealed = owner.seal(1_000);
        assert_eq!(owner.settled().seal(sealed), 1_000);
        for other in others {
            assert!(other.seal(sealed) > 1 << 40);
        }
    }
}
