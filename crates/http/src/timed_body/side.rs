/// Whose bodies a layer limits: [`RequestBodies`] or [`ResponseBodies`].
pub trait Side: 'static {
    /// The name in metrics and snapshots, such as `request_body_timeout`.
    const KIND: &'static str;
}

/// The bodies of requests, on their way out.
#[derive(Clone, Copy, Debug)]
pub enum RequestBodies {}

/// The bodies of responses, on their way in.
#[derive(Clone, Copy, Debug)]
pub enum ResponseBodies {}

impl Side for RequestBodies {
    const KIND: &'static str = "request_body_timeout";
}

impl Side for ResponseBodies {
    const KIND: &'static str = "response_body_timeout";
}
