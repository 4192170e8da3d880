use std::error::Error;
use std::io;
use std::iter::successors;
use std::sync::Arc;

use crate::DynError;

/// Returns `error` and what caused it, however deep.
///
/// It goes by [`Error::source`], but also looks into an [`io::Error`] and an [`Arc`], whose sources
/// are those of the error in them, so that the error itself would not be seen.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| {
        inside(error).or_else(|| error.source())
    })
}

fn inside<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    }
    let shared = error.downcast_ref::<Arc<DynError>>()?;
    Some(&**shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BoxError, Name, Reason, Rejection};

    fn rejection() -> Rejection {
        Rejection::new(Reason::RateLimited, Name::new("api"))
    }

    #[test]
    fn sees_what_is_in_an_io_error() {
        let error = io::Error::other(io::Error::other(rejection()));

        let found = Rejection::find(&error).unwrap();

        assert_eq!(found.reason(), Reason::RateLimited);
    }

    #[test]
    fn sees_what_is_in_an_arc() {
        let shared: Arc<DynError> = Arc::new(rejection());
        let error: BoxError = Box::new(shared);

        assert!(Rejection::find(&*error).is_some());
    }

    #[test]
    fn ends_where_there_is_no_cause() {
        let error = io::Error::from(io::ErrorKind::TimedOut);

        assert_eq!(causes(&error).count(), 1);
    }
}
