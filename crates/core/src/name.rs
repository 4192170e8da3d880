use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The name of a layer instance: `payments` in `BreakerLayer::builder("payments")`.
///
/// A `Name` is a word to copy: comparing, hashing and cloning it never touches a reference count,
/// so that a refusal can carry one for nothing. Each distinct name is stored once and kept for the
/// life of the process, as a metrics recorder keeps its label values. Names are configuration, a
/// closed set: use a [`Key`](crate::Key) for what clients send.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(&'static str);

impl Name {
    /// Returns the name that reads `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static NAMES: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();

        let mut names = NAMES
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Self(known);
        }
        let known: &'static str = Box::leak(name.into());
        names.insert(known);
        Self(known)
    }

    /// Returns the text of the name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<&String> for Name {
    fn from(name: &String) -> Self {
        Self::new(name)
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self::new(&name)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_the_same_name() {
        let name = Name::new("payments");

        assert_eq!(name, Name::from(String::from("payments")));
        assert!(std::ptr::eq(name.as_str(), Name::new("payments").as_str()));
        assert_ne!(name, Name::new("inventory"));
    }
}
