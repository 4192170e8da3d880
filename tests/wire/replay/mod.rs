//! Requests that are sent again, with their bodies, in every host.

mod again;
mod grpc;
mod http;
mod stream;
