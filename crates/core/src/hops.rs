use std::fmt::{self, Write};
use std::sync::Arc;

use tokio::time::Instant;

use crate::{ConfigError, Name};

/// The services that a call has come through, with the time that each has spent, and the one that
/// it is in.
///
/// It reads `gateway=230, orders=40`, in whole milliseconds, the first hop first. A layer for
/// calls that come in [begins](Self::arrived) the hop, one for calls that go out
/// [writes](Self::passed_on) the chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hops(Arc<Hop>);

#[derive(Debug, Eq, PartialEq)]
struct Hop {
    /// As it came in.
    before: Option<Box<str>>,
    name: Name,
    arrived: Instant,
}

impl Hops {
    /// The most bytes of a chain that are kept of what a client sends. A longer one is dropped, and
    /// this hop is the first.
    pub const MAX_LENGTH: usize = 1024;

    /// Begins the hop `name` of a call that has come through those `before`.
    #[must_use]
    pub fn arrived(name: Name, before: Option<&str>, now: Instant) -> Self {
        let before = before.filter(|it| !it.is_empty() && it.len() <= Self::MAX_LENGTH);
        Self(Arc::new(Hop {
            before: before.map(Into::into),
            name,
            arrived: now,
        }))
    }

    /// Returns the chain that a call takes along which leaves this hop now.
    #[must_use]
    pub fn passed_on(&self, now: Instant) -> String {
        let Hop {
            before,
            name,
            arrived,
        } = &*self.0;
        let mut chain = String::new();
        if let Some(before) = before {
            chain.push_str(before);
            chain.push_str(", ");
        }
        let spent = now.saturating_duration_since(*arrived).as_millis();
        // A string takes all that is written.
        let _ = write!(chain, "{name}={spent}");
        chain
    }

    /// Checks that a hop can be called `name`.
    ///
    /// # Errors
    ///
    /// If it is empty, or has other characters than letters and digits of ASCII, `-`, `_`, `.`.
    pub fn check_name(field: &'static str, name: &str) -> Result<(), ConfigError> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !name.is_empty() && name.bytes().all(is_fine) {
            return Ok(());
        }
        let allowed = "letters, digits, `-`, `_` and `.`";
        Err(ConfigError::new(field, name, allowed))
    }
}

impl fmt::Display for Hops {
    /// The hops before this one, as they came in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.before.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spent(before: Option<&str>, time: Duration) -> String {
        let now = Instant::now();
        Hops::arrived(Name::new("orders"), before, now).passed_on(now + time)
    }

    #[test]
    fn each_hop_says_what_it_spent() {
        let time = Duration::from_micros(40_900);

        assert_eq!(spent(None, time), "orders=40");
        assert_eq!(spent(Some(""), time), "orders=40");
        assert_eq!(spent(Some("gateway=230"), time), "gateway=230, orders=40");
    }

    #[test]
    fn a_chain_that_is_too_long_begins_anew() {
        let longest = "x".repeat(Hops::MAX_LENGTH);
        let too_long = "x".repeat(Hops::MAX_LENGTH + 1);

        assert!(spent(Some(&longest), Duration::ZERO).starts_with(&longest));
        assert_eq!(spent(Some(&too_long), Duration::ZERO), "orders=0");
    }

    #[test]
    fn a_name_fits_into_a_chain() {
        assert_eq!(Hops::check_name("hop", "orders-2.eu_west"), Ok(()));
        for name in ["", "a b", "a=b", "a,b", "bestellungen-für"] {
            assert!(Hops::check_name("hop", name).is_err(), "{name}");
        }
    }
}
