use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A failure of the store below a lease, of all calls that have waited for it.
#[derive(Debug)]
pub struct LeaseError<E>(Arc<E>);

impl<E> LeaseError<E> {
    pub(super) fn new(error: E) -> Self {
        Self(Arc::new(error))
    }
}

impl<E> Clone for LeaseError<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: fmt::Display> fmt::Display for LeaseError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Error + 'static> Error for LeaseError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
