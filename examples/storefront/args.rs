use std::num::NonZeroU32;
use std::time::Duration;

use clap::Parser;

/// A shop over four upstreams goes through an outage twice: with nothing but timeouts, and with
/// watertight's layers around its clients.
#[derive(Debug, Parser)]
#[command(name = "storefront")]
pub(crate) struct Args {
    /// How long the incident lasts, for each side
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(3..=3600))]
    seconds: u32,

    /// How many pages visitors ask for in a second
    #[arg(long, value_name = "N", default_value = "300")]
    pub(crate) rps: NonZeroU32,

    /// Run only the shop without our layers
    #[arg(long, conflicts_with = "protected")]
    bare: bool,

    /// Run only the shop with our layers
    #[arg(long)]
    protected: bool,

    /// Keep the shop open for curl after the run, until Ctrl-C
    #[arg(long)]
    pub(crate) serve: bool,

    /// End standard output with one line of JSON; the side that did not run, and a recovery that
    /// was not seen, are null
    #[arg(long)]
    pub(crate) json: bool,

    /// Fail unless the counts show what the layers promise
    #[arg(long)]
    pub(crate) check: bool,

    /// The port of the shop on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port: u16,
}

/// Whether the shop's clients have our layers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Bare,
    Protected,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Protected => "protected",
        }
    }
}

impl Args {
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Returns the sides to run, in this order.
    pub(crate) fn sides(&self) -> &'static [Side] {
        match (self.bare, self.protected) {
            (true, _) => &[Side::Bare],
            (_, true) => &[Side::Protected],
            _ => &[Side::Bare, Side::Protected],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn runs_both_sides_unless_told_otherwise() {
        assert_eq!(
            parse("storefront").unwrap().sides(),
            [Side::Bare, Side::Protected]
        );
        assert_eq!(parse("storefront --bare").unwrap().sides(), [Side::Bare]);
        assert_eq!(
            parse("storefront --protected").unwrap().sides(),
            [Side::Protected]
        );
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for line in [
            "--bare --protected",
            "--rps 0",
            "--seconds 1",
            "--port 65536",
        ] {
            parse(&format!("storefront {line}")).unwrap_err();
        }
    }
}
