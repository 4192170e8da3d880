//! Quotas that many processes share, in a place of their own.

mod builder;
mod contract;
mod error;
mod future;
mod handle;
mod inquiry;
mod keeper;
mod order;
mod place;
mod service;
mod setting;
mod share;
mod snapshot;
mod waiting;

pub use contract::Store;
pub use error::StoreError;
pub use future::StoredFuture;
pub use handle::StoredHandle;
pub use order::{Act, Answer, Order, Rule};
pub use place::{InProcess, InStore};
pub use service::Stored;
pub use setting::{OnStoreFailure, StoreConfig};
pub use snapshot::StoredSnapshot;

pub(crate) use keeper::Keeper;
pub(crate) use share::Share;
