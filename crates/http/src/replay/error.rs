use std::error::Error;
use std::fmt;
use std::sync::Arc;

use watertight_core::DynError;

/// Why a copy of a body that is sent more than once ends early.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// More was read by another attempt than is kept, and this one still needed it.
    Overtaken,
    /// The attempt that this copy belongs to is over.
    Over,
    /// The body itself broke off: no attempt can succeed.
    Source(Arc<DynError>),
    /// The code of the body panicked, when another attempt read it.
    Panicked,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overtaken => "another attempt read more of the request's body than is kept",
            Self::Over => "the attempt is over",
            Self::Source(_) => "the request's body broke off",
            Self::Panicked => "the request's body panicked",
        })
    }
}

impl Error for ReplayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Source(error) => Some(&**error),
            Self::Overtaken | Self::Over | Self::Panicked => None,
        }
    }
}
