use std::error::Error;
use std::io;

use watertight_core::{DynError, Failure, FailureKind, Outcome, Rejection, causes};

/// Picks the errors that mean that no connection was made.
pub(super) type IsConnect = fn(&(dyn Error + 'static)) -> bool;

/// Classifies an error in place of a response.
pub(super) fn classify_error(error: &DynError, is_connect: IsConnect) -> Outcome {
    if let Some(rejection) = Rejection::find(error) {
        return rejection.outcome();
    }
    let kind = causes(error)
        .find_map(|error| {
            if refused(error) || is_connect(error) {
                Some(FailureKind::Connect)
            } else {
                timed_out(error).then_some(FailureKind::Timeout)
            }
        })
        .unwrap_or(FailureKind::Other);
    Outcome::failure(kind)
}

/// Classifies the error of a body, after this head. The request has reached the service by then,
/// so it is never a [`FailureKind::Connect`].
pub(super) fn classify_body_error(head: Outcome, error: &DynError) -> Outcome {
    if let Some(rejection) = Rejection::find(error) {
        return rejection.outcome();
    }
    let kind = if causes(error).any(timed_out) {
        FailureKind::Timeout
    } else {
        FailureKind::Server
    };
    let failure = Failure::new(kind);
    match head.as_failure() {
        None => failure,
        // What the head has said of another attempt stands.
        Some(head) => Failure {
            kind,
            weight: failure.weight,
            ..*head
        },
    }
    .into()
}

/// What the clients of all transports have in common: a connection that is refused, or has no local
/// address left, comes up as the [`io::Error`] of the socket, however deep.
///
/// An unreachable host or network does not count: it may also end a connection on which the
/// request was sent.
fn refused(error: &(dyn Error + 'static)) -> bool {
    io_kind(error).is_some_and(|kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable
        )
    })
}

fn timed_out(error: &(dyn Error + 'static)) -> bool {
    io_kind(error) == Some(io::ErrorKind::TimedOut)
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    error.downcast_ref::<io::Error>().map(io::Error::kind)
}
