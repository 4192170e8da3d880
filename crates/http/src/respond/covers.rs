use std::convert::Infallible;

use watertight_core::{BoxError, Rejection};

/// Says which errors are answered: [`AllErrors`] or [`OnlyRejections`].
pub trait Covers: Copy {
    /// The error that is left.
    type Error: Into<BoxError>;

    /// Returns an error that is to be answered, and lets the others go on.
    ///
    /// # Errors
    ///
    /// What is not to be answered.
    fn cover(&self, error: BoxError) -> Result<BoxError, Self::Error>;
}

/// Every error becomes an answer: for servers, where an error would break the connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AllErrors;

impl Covers for AllErrors {
    type Error = Infallible;

    fn cover(&self, error: BoxError) -> Result<BoxError, Infallible> {
        Ok(error)
    }
}

/// Only a [`Rejection`] becomes an answer, and other errors stay errors: for clients, which know
/// those of their transport.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OnlyRejections;

impl Covers for OnlyRejections {
    type Error = BoxError;

    fn cover(&self, error: BoxError) -> Result<BoxError, BoxError> {
        if Rejection::find(&*error).is_some() {
            Ok(error)
        } else {
            Err(error)
        }
    }
}
