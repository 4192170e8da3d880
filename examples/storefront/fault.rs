use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long an answer takes that stalls.
pub(crate) const STALL: Duration = Duration::from_millis(800);

/// What is wrong with an upstream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The process is gone: its connections are closed and new ones are refused.
    Refuse,
    /// Requests are taken and never answered.
    Hang,
    /// Answers take this long.
    Slow(Duration),
    /// This many of a hundred answers take [`STALL`].
    Stall(u8),
    /// This many of a hundred answers are 500s.
    Errors(u8),
}

impl Fault {
    /// Whether a call to it is lost: nothing comes back, or nothing that a client waits for.
    pub(crate) fn is_dead(self) -> bool {
        matches!(self, Self::Refuse | Self::Hang | Self::Slow(_))
    }

    /// Whether a call to it waits for as long as its client lets it.
    pub(crate) fn is_stuck(self) -> bool {
        matches!(self, Self::Hang | Self::Slow(_))
    }

    /// Whether some calls to it are lost, and others are not.
    pub(crate) fn is_partial(self) -> bool {
        matches!(self, Self::Stall(_) | Self::Errors(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Refuse => f.write_str("refuse"),
            Self::Hang => f.write_str("hang"),
            Self::Slow(delay) => write!(f, "slow={}", delay.as_millis()),
            Self::Stall(percent) => write!(f, "stall={percent}"),
            Self::Errors(percent) => write!(f, "errors={percent}"),
        }
    }
}

impl FromStr for Fault {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        const FORMS: &str = "a fault is none, refuse, hang, slow=MILLISECONDS, stall=PERCENT \
                             or errors=PERCENT\n";
        let percent = |percent: &str| match percent.parse() {
            Ok(percent @ 0..=100) => Ok(percent),
            _ => Err(FORMS),
        };
        match s.split_once('=') {
            None => match s {
                "none" => Ok(Self::None),
                "refuse" => Ok(Self::Refuse),
                "hang" => Ok(Self::Hang),
                _ => Err(FORMS),
            },
            Some(("slow", millis)) => match millis.parse() {
                Ok(millis) => Ok(Self::Slow(Duration::from_millis(millis))),
                Err(_) => Err(FORMS),
            },
            Some(("stall", share)) => Ok(Self::Stall(percent(share)?)),
            Some(("errors", share)) => Ok(Self::Errors(percent(share)?)),
            Some(_) => Err(FORMS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for fault in [
            Fault::None,
            Fault::Refuse,
            Fault::Hang,
            Fault::Slow(Duration::from_millis(250)),
            Fault::Stall(3),
            Fault::Errors(30),
        ] {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
    }

    #[test]
    fn refuses_what_is_no_fault() {
        for s in [
            "",
            "hangs",
            "slow",
            "slow=",
            "slow=-1",
            "stall=101",
            "errors=101",
            "errors=x",
            "a=1",
        ] {
            s.parse::<Fault>().unwrap_err();
        }
    }
}
