//! What HTTP and gRPC mean to watertight layers.

mod body_end;
mod classify;
mod ext;
mod grpc_code;
mod respond;
mod retry_after;
mod scoped_body;

pub use body_end::{AtBodyEnd, TrackedBody};
pub use classify::{GrpcClassifier, HttpClassifier};
pub use ext::{Grpc, Http, HttpExt};
pub use grpc_code::GrpcCode;
pub use respond::{
    AllErrors, AnswerBody, Cause, Covers, OnlyRejections, Respond, RespondExt, RespondLayer,
    RespondedLayer, ResponseFuture,
};
pub use retry_after::retry_after;
pub use scoped_body::ScopedBody;
