//! What HTTP and gRPC answers mean.

mod grpc;
mod http;
mod transport;
mod verdict;

pub use self::grpc::GrpcClassifier;
pub use self::http::HttpClassifier;
