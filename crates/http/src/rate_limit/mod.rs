//! What servers and clients tell each other about rate limits, in headers.

mod field;
mod legacy;
mod notes;
mod obey;
mod policy;
mod status;
mod wording;

pub use legacy::{LegacyRateLimit, LegacyReset};
pub use notes::RateLimitNotes;
pub use obey::{
    ByHost, ObeyServer, ObeyServerBuilder, ObeyServerConfig, ObeyServerExt, ObeyServerFuture,
    ObeyServerHandle, ObeyServerLayer, ObeyServerSnapshot,
};
pub use policy::{QuotaUnit, RateLimitPolicy};
pub use status::RateLimitStatus;

pub(crate) use wording::Wording;
