use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The key by which a service knows that two requests ask for one and the same work.
///
/// 1 to 255 printable ASCII characters, as a structured-field String can hold.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// The most characters that a key may have: what servers in the field accept.
    pub const MAX_LENGTH: usize = 255;

    /// Makes a key of `text`.
    ///
    /// # Errors
    ///
    /// If it is empty, too long, or has other than printable ASCII characters.
    pub fn new(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        if text.is_empty() {
            return Err(InvalidIdempotencyKey::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(InvalidIdempotencyKey::TooLong(text.len()));
        }
        match text.bytes().position(|byte| !(b' '..=b'~').contains(&byte)) {
            Some(at) => Err(InvalidIdempotencyKey::NotPrintable(at)),
            None => Ok(Self(text.into())),
        }
    }

    /// Returns the key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no [`IdempotencyKey`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidIdempotencyKey {
    /// It has no characters.
    Empty,
    /// It has this many bytes, more than [`IdempotencyKey::MAX_LENGTH`].
    TooLong(usize),
    /// The byte at this place is not a printable ASCII character.
    NotPrintable(usize),
}

impl fmt::Display for InvalidIdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("idempotency key ")?;
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong(length) => write!(
                f,
                "has {length} bytes, but must have at most {}",
                IdempotencyKey::MAX_LENGTH
            ),
            Self::NotPrintable(at) => {
                write!(f, "has a byte at {at} that is not printable ASCII")
            }
        }
    }
}

impl Error for InvalidIdempotencyKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_a_structured_string_can_hold() {
        let key = IdempotencyKey::new("8e03978e-40d5-43e8").unwrap();

        assert_eq!(key.as_str(), "8e03978e-40d5-43e8");
        assert!(IdempotencyKey::new(&"a".repeat(255)).is_ok());
    }

    #[test]
    fn refuses_all_else_and_says_why() {
        let refused = |text: &str| IdempotencyKey::new(text).unwrap_err().to_string();

        assert_eq!(refused(""), "idempotency key is empty");
        assert_eq!(
            refused(&"a".repeat(256)),
            "idempotency key has 256 bytes, but must have at most 255"
        );
        assert_eq!(
            refused("ab\n"),
            "idempotency key has a byte at 2 that is not printable ASCII"
        );
    }
}
