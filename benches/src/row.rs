use std::fmt;

use tower::{Layer, Service};

use crate::subject::{Cloned, Kept};
use crate::{Echo, Subject};

/// The rows of one pattern: ours, and those of its peers.
#[derive(Debug)]
pub struct Family {
    /// The name of the pattern.
    pub name: &'static str,
    /// The rows, in the order of the table.
    pub rows: Vec<Row>,
}

impl Family {
    /// Returns the index of the row that the rows of this path are compared with.
    #[must_use]
    pub fn reference(&self, path: Path) -> Option<usize> {
        let mut rows = self.rows.iter();
        rows.position(|row| row.is_reference && row.path == path)
    }

    /// Keeps the rows whose name contains `filter`, and those that they are compared with.
    pub fn keep(&mut self, filter: &str) {
        self.rows
            .retain(|row| row.is_reference || row.name.contains(filter));
    }
}

/// How the calls of a row go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Path {
    /// Each call reaches the inner service and succeeds.
    Success,
    /// Each call is refused.
    Refusal,
}

/// What a call of a row must not exceed. All of it is counted, none of it timed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Heap allocations.
    pub allocations: u64,
    /// Instructions that lock the bus.
    pub locked: u64,
    /// Reads of the clock.
    pub clock: u64,
}

/// A layer under measurement.
pub struct Row {
    name: &'static str,
    path: Path,
    is_reference: bool,
    limits: Option<Limits>,
    ready: Box<dyn Fn() -> Box<dyn Subject>>,
    pending: Box<dyn Fn() -> Box<dyn Subject>>,
}

impl Row {
    /// Makes a row whose calls succeed.
    #[must_use]
    pub fn success<L: Wraps>(name: &'static str, layer: fn() -> L) -> Self {
        Self::new(name, Path::Success, layer)
    }

    /// Makes a row whose calls are refused.
    #[must_use]
    pub fn refusal<L: Wraps>(name: &'static str, layer: fn() -> L) -> Self {
        Self::new(name, Path::Refusal, layer)
    }

    /// Makes a row that calls a new clone of its service each time, as axum does.
    #[must_use]
    pub fn cloned<L: Wraps>(name: &'static str, layer: fn() -> L) -> Self {
        let path = Path::Success;
        Self {
            name,
            path,
            is_reference: false,
            limits: None,
            ready: Box::new(move || {
                let service = layer().layer(Echo::<false>);
                Box::new(Cloned { service, path })
            }),
            pending: Box::new(move || {
                let service = layer().layer(Echo::<true>);
                Box::new(Cloned { service, path })
            }),
        }
    }

    fn new<L: Wraps>(name: &'static str, path: Path, layer: fn() -> L) -> Self {
        Self {
            name,
            path,
            is_reference: false,
            limits: None,
            ready: Box::new(move || {
                let service = layer().layer(Echo::<false>);
                Box::new(Kept { service, path })
            }),
            pending: Box::new(move || {
                let service = layer().layer(Echo::<true>);
                Box::new(Kept { service, path })
            }),
        }
    }

    /// Makes it the row that the rows of its family and path are compared with.
    #[must_use]
    pub fn reference(mut self) -> Self {
        self.is_reference = true;
        self
    }

    /// Sets what a call must not exceed.
    #[must_use]
    pub fn within(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Returns the name, which no other row has.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns how the calls go.
    #[must_use]
    pub fn path(&self) -> Path {
        self.path
    }

    /// Returns what a call must not exceed.
    #[must_use]
    pub fn limits(&self) -> Option<Limits> {
        self.limits
    }

    /// Makes a new layer around an inner service that is ready at once.
    #[must_use]
    pub fn ready(&self) -> Box<dyn Subject> {
        (self.ready)()
    }

    /// Makes a new layer around an inner service that is pending once.
    #[must_use]
    pub fn pending(&self) -> Box<dyn Subject> {
        (self.pending)()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A layer that a row can be made of: it takes both kinds of inner service, and what it makes can
/// be cloned and sent to another thread.
#[diagnostic::on_unimplemented(
    message = "no row can be made of a `{Self}`",
    note = "it must be a `Layer<Echo<false>>` and a `Layer<Echo<true>>`, whose services are `Service<u64> + Clone + Send + Sync + 'static` with `Send` futures"
)]
pub trait Wraps:
    Layer<Echo<false>, Service: Service<u64, Future: Send> + Clone + Send + Sync + 'static>
    + Layer<Echo<true>, Service: Service<u64, Future: Send> + Clone + Send + Sync + 'static>
    + 'static
{
}

impl<L> Wraps for L where
    L: Layer<Echo<false>, Service: Service<u64, Future: Send> + Clone + Send + Sync + 'static>
        + Layer<Echo<true>, Service: Service<u64, Future: Send> + Clone + Send + Sync + 'static>
        + 'static
{
}
