//! Turns what layers and services say in errors into answers.

mod answer;
mod body;
mod covers;
mod future;
mod layer;
mod service;

pub use answer::Cause;
pub use body::AnswerBody;
pub use covers::{AllErrors, Covers, OnlyRejections};
pub use future::ResponseFuture;
pub use layer::{RespondExt, RespondLayer, RespondedLayer};
pub use service::Respond;
