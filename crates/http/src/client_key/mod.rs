//! Tells clients apart: by their address, by what they say, by what they ask for.

mod address;
mod api_key;
mod composite;
mod elements;
mod header;
mod path;
mod peer;
mod proxies;

pub use api_key::ApiKey;
pub use composite::{And, ClientKey, Or};
pub use header::HeaderKey;
pub use path::PathKey;
pub use peer::{Peer, PeerKey};
pub use proxies::TrustedProxies;
