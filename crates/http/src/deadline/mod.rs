//! How long callers wait, as HTTP and gRPC say it.

mod grpc_timeout;
mod http_deadlines;

pub use http_deadlines::HttpDeadlines;
