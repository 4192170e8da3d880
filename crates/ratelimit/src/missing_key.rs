/// What becomes of a call in which a layer that tells keys apart finds none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum MissingKey {
    /// It is refused, with [`Reason::KeyMissing`](watertight_core::Reason::KeyMissing).
    #[default]
    Refuse,
    /// All such calls share the quota of one key.
    Share,
    /// It passes, is not counted, and takes nothing of the total.
    Allow,
}
