use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use http::Response;
use watertight_core::{Classify, DynError, End, FailureKind, Outcome};

use super::transport::{IsConnect, classify_body_error, classify_error};
use super::verdict::Verdict;
use crate::retry_after;

const FIRST: u16 = 100;
const LAST: u16 = 999;

type Table = [Verdict; (LAST - FIRST + 1) as usize];

/// Says what HTTP answers mean. Set by `.http()` on a builder.
///
/// | answer | outcome | retryable |
/// | --- | --- | --- |
/// | 429 | `Failure(RateLimited)`, weight 0.25 | yes |
/// | 503 | `Failure(Overloaded)` | yes |
/// | 504 | `Failure(Timeout)` | yes |
/// | 501, 505 | `Failure(Server)` | no: the service will not learn it |
/// | other statuses from 500 | `Failure(Server)` | yes |
/// | other statuses | `Success` | |
/// | a [`Rejection`](watertight_core::Rejection) | as its reason says | |
/// | a connection refused, or no local address left for it ([`connect_error`](Self::connect_error) adds to them) | `Failure(Connect)` | yes |
/// | an I/O error that says "timed out" | `Failure(Timeout)` | yes |
/// | another error | `Failure(Other)` | yes |
/// | a body that breaks off | `Failure(Server)`, or `Failure(Timeout)` by such an I/O error | yes, or as a failed head says |
/// | a body that is dropped | as its head | |
///
/// A status below 500 is a success because the service did what it should with that request: a
/// client that asks for what is not there must not open a breaker for all others. Where that is
/// not so, each status can be given another meaning:
///
/// ```
/// use watertight_http::HttpClassifier;
///
/// let strict = HttpClassifier::new()
///     .failure([404, 408])
///     .permanent([500])
///     .ignore([499])
///     .success([503]);
/// ```
///
/// Errors are read as those of a client of one service: a refused connection anywhere among the
/// causes is a `Connect`, which says that the request has not been worked on. Of a handler that
/// calls several services that says too much, since others of them may have been reached. Such a
/// handler answers with a status, or has a classifier of its own.
///
/// A status of 4xx that is made a failure is a [`FailureKind::Client`] one, except that 408 is a
/// [`FailureKind::Timeout`]. Every failure carries the response's
/// [`Retry-After`](crate::retry_after()).
///
/// It is small and `Copy`, since each call takes one along: a table that was configured is stored
/// once and kept for the life of the process.
#[derive(Clone, Copy)]
pub struct HttpClassifier {
    table: &'static Table,
    is_connect: IsConnect,
}

impl HttpClassifier {
    /// Creates the classifier with the meanings in the table above.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            table: &DEFAULT,
            is_connect: |_| false,
        }
    }

    /// Makes the `statuses` successes.
    ///
    /// # Panics
    ///
    /// If one is not in 100..=999.
    #[must_use]
    pub fn success(self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.with(statuses, |_| Verdict::Success)
    }

    /// Makes the `statuses` failures, which are retryable if they are likely to pass: 408, 425,
    /// 429, and those from 500 but 501 and 505.
    ///
    /// # Panics
    ///
    /// If one is not in 100..=999.
    #[must_use]
    pub fn failure(self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.with(statuses, failure)
    }

    /// Makes the `statuses` failures that are retryable.
    ///
    /// # Panics
    ///
    /// If one is not in 100..=999.
    #[must_use]
    pub fn retryable(self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.with(statuses, |_| Verdict::Retryable)
    }

    /// Makes the `statuses` failures that are not retryable.
    ///
    /// # Panics
    ///
    /// If one is not in 100..=999.
    #[must_use]
    pub fn permanent(self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.with(statuses, |_| Verdict::Permanent)
    }

    /// Makes the `statuses` say nothing.
    ///
    /// # Panics
    ///
    /// If one is not in 100..=999.
    #[must_use]
    pub fn ignore(self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.with(statuses, |_| Verdict::Ignored)
    }

    /// Takes the errors that `is_connect` picks as [`FailureKind::Connect`] too: *the request
    /// provably never reached the service*, and may be sent again whatever it is. It is asked about
    /// the error and what caused it, however deep.
    ///
    /// Without it only what the table names is recognised, not a name that does not resolve, nor a
    /// handshake that fails. The client knows those; for hyper-util's:
    ///
    /// ```
    /// # mod legacy { #[derive(Debug)] pub struct Error; impl Error { pub fn is_connect(&self) -> bool { true } }
    /// # impl std::fmt::Display for Error { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }
    /// # impl std::error::Error for Error {} }
    /// use watertight_http::HttpClassifier;
    ///
    /// let classifier = HttpClassifier::new().connect_error(|error| {
    ///     error
    ///         .downcast_ref::<legacy::Error>()
    ///         .is_some_and(legacy::Error::is_connect)
    /// });
    /// ```
    #[must_use]
    pub fn connect_error(mut self, is_connect: fn(&(dyn Error + 'static)) -> bool) -> Self {
        self.is_connect = is_connect;
        self
    }

    fn with(
        mut self,
        statuses: impl IntoIterator<Item = u16>,
        verdict: impl Fn(u16) -> Verdict,
    ) -> Self {
        let mut table = *self.table;
        for status in statuses {
            assert!(
                (FIRST..=LAST).contains(&status),
                "HttpClassifier: the status {status} is not in {FIRST}..={LAST}"
            );
            table[usize::from(status - FIRST)] = verdict(status);
        }
        self.table = intern(&table);
        self
    }
}

impl Default for HttpClassifier {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HttpClassifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClassifier").finish_non_exhaustive()
    }
}

impl<B> Classify<Response<B>> for HttpClassifier {
    fn classify(&self, result: Result<&Response<B>, &DynError>) -> Outcome {
        let response = match result {
            Ok(response) => response,
            Err(error) => return classify_error(error, self.is_connect),
        };
        let status = response.status().as_u16();
        match self.table[usize::from(status - FIRST)].outcome(kind(status)) {
            Outcome::Failure(failure) => failure
                .retry_after(retry_after(response.headers(), SystemTime::now))
                .into(),
            outcome => outcome,
        }
    }

    fn classify_end(&self, head: Outcome, end: End<'_>) -> Outcome {
        match end {
            End::Error(error) => classify_body_error(head, error),
            End::Complete(_) | End::Dropped => head,
        }
    }
}

static DEFAULT: Table = default_table();

const fn default_table() -> Table {
    let mut table = [Verdict::Success; (LAST - FIRST + 1) as usize];
    let mut status = 500;
    while status <= LAST {
        table[(status - FIRST) as usize] = failure(status);
        status += 1;
    }
    table[(429 - FIRST) as usize] = failure(429);
    table
}

/// Says what becomes of a status that is a failure if nobody says how.
const fn failure(status: u16) -> Verdict {
    match status {
        408 | 425 | 429 | 500 | 502..=504 | 506..=LAST => Verdict::Retryable,
        _ => Verdict::Permanent,
    }
}

const fn kind(status: u16) -> FailureKind {
    match status {
        408 | 504 => FailureKind::Timeout,
        429 => FailureKind::RateLimited,
        503 => FailureKind::Overloaded,
        400..500 => FailureKind::Client,
        _ => FailureKind::Server,
    }
}

/// Stores each distinct table once, for ever: configurations are a closed set.
fn intern(table: &Table) -> &'static Table {
    static TABLES: OnceLock<Mutex<HashSet<&'static Table>>> = OnceLock::new();

    if *table == DEFAULT {
        return &DEFAULT;
    }
    let mut tables = TABLES
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = tables.get(table) {
        return known;
    }
    let known: &'static Table = Box::leak(Box::new(*table));
    tables.insert(known);
    known
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use http::header::RETRY_AFTER;
    use watertight_core::{BoxError, Failure, Name, Reason, Rejection};

    use super::*;
    use FailureKind::{Client, Connect, Other, Overloaded, RateLimited, Rejected, Server, Timeout};

    fn response(status: u16) -> Response<()> {
        Response::builder().status(status).body(()).unwrap()
    }

    fn answer(classifier: HttpClassifier, status: u16) -> Outcome {
        classifier.classify(Ok(&response(status)))
    }

    fn error(error: impl Into<BoxError>) -> Failure {
        let error = error.into();
        let outcome = Classify::<Response<()>>::classify(&HttpClassifier::new(), Err(&*error));
        *outcome.as_failure().unwrap()
    }

    fn end(head: Outcome, end: End<'_>) -> Outcome {
        Classify::<Response<()>>::classify_end(&HttpClassifier::new(), head, end)
    }

    #[derive(Debug)]
    struct Wrapped(BoxError);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn the_service_is_at_fault_from_500_on() {
        for status in 100..=999 {
            let failed = answer(HttpClassifier::new(), status).is_failure();
            assert_eq!(failed, status >= 500 || status == 429, "{status}");
        }
    }

    #[test]
    fn failures_have_kind_weight_and_retryability() {
        let table = [
            (429, RateLimited, 0.25, true),
            (500, Server, 1.0, true),
            (501, Server, 1.0, false),
            (502, Server, 1.0, true),
            (503, Overloaded, 1.0, true),
            (504, Timeout, 1.0, true),
            (505, Server, 1.0, false),
            (599, Server, 1.0, true),
        ];

        for (status, kind, weight, retryable) in table {
            let outcome = answer(HttpClassifier::new(), status);
            let expected = Failure::new(kind).weight(weight).retryable(retryable);
            assert_eq!(outcome, expected.into(), "{status}");
        }
    }

    #[test]
    fn each_status_can_mean_something_else() {
        let classifier = HttpClassifier::new()
            .failure([404, 408])
            .failure(300..=301)
            .retryable([409])
            .permanent([500])
            .success([503])
            .ignore([499, 599]);

        let failure = |kind, retryable| Outcome::from(Failure::new(kind).retryable(retryable));
        assert_eq!(answer(classifier, 404), failure(Client, false));
        assert_eq!(answer(classifier, 408), failure(Timeout, true));
        assert_eq!(answer(classifier, 301), failure(Server, false));
        assert_eq!(answer(classifier, 409), failure(Client, true));
        assert_eq!(answer(classifier, 500), failure(Server, false));
        assert_eq!(answer(classifier, 503), Outcome::Success);
        assert_eq!(answer(classifier, 499), Outcome::Ignored);
        assert_eq!(answer(classifier, 599), Outcome::Ignored);
        assert_eq!(answer(classifier, 502), answer(HttpClassifier::new(), 502));
    }

    #[test]
    fn equal_tables_are_stored_once() {
        let one = HttpClassifier::new().ignore([404]);
        let other = HttpClassifier::new().ignore([403, 404]).success([403]);

        assert!(std::ptr::eq(one.table, other.table));
        assert_eq!(size_of::<HttpClassifier>(), 16);
    }

    #[test]
    #[should_panic(expected = "the status 1000 is not in 100..=999")]
    fn a_status_that_cannot_be_is_refused() {
        let _ = HttpClassifier::new().failure([1000]);
    }

    #[test]
    fn a_failure_carries_its_retry_after() {
        for status in [429, 500, 503] {
            let mut response = response(status);
            response
                .headers_mut()
                .insert(RETRY_AFTER, "7".parse().unwrap());
            let outcome = HttpClassifier::new().classify(Ok(&response));
            let hint = outcome.as_failure().unwrap().retry_after;
            assert_eq!(hint, Some(Duration::from_secs(7)), "{status}");
        }
    }

    #[test]
    fn a_success_is_one_with_a_retry_after_too() {
        let mut response = response(200);
        response
            .headers_mut()
            .insert(RETRY_AFTER, "7".parse().unwrap());

        assert_eq!(
            HttpClassifier::new().classify(Ok(&response)),
            Outcome::Success
        );
    }

    #[test]
    fn a_connection_refused_is_found_however_deep() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);

        assert_eq!(error(Wrapped(Wrapped(refused.into()).into())).kind, Connect);
    }

    #[test]
    fn what_may_have_been_sent_is_no_connect_failure() {
        for kind in [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::UnexpectedEof,
        ] {
            assert_eq!(error(io::Error::from(kind)).kind, Other, "{kind}");
        }
        assert_eq!(
            error(io::Error::from(io::ErrorKind::TimedOut)).kind,
            Timeout
        );
        assert_eq!(error("anything").kind, Other);
    }

    #[test]
    fn the_client_may_know_more_connect_errors() {
        let unresolved: BoxError = Wrapped("no such host".into()).into();
        let classifier = HttpClassifier::new().connect_error(|error| error.is::<Wrapped>());

        let outcome = Classify::<Response<()>>::classify(&classifier, Err(&*unresolved));

        assert_eq!(outcome, Outcome::failure(Connect));
        assert_eq!(error(unresolved).kind, Other);
    }

    #[test]
    fn a_rejection_is_what_it_says() {
        let rejection = |reason| Wrapped(Rejection::new(reason, Name::new("inner")).into());

        assert_eq!(error(rejection(Reason::CircuitOpen)).kind, Rejected);
        assert_eq!(error(rejection(Reason::TimedOut)).kind, Timeout);
    }

    #[test]
    fn a_body_that_breaks_off_is_a_failure() {
        let broken: BoxError = io::Error::from(io::ErrorKind::ConnectionRefused).into();
        let late: BoxError = Wrapped(io::Error::from(io::ErrorKind::TimedOut).into()).into();

        assert_eq!(
            end(Outcome::Success, End::Error(&*broken)),
            Outcome::failure(Server)
        );
        assert_eq!(
            end(Outcome::Ignored, End::Error(&*late)),
            Outcome::failure(Timeout)
        );
    }

    #[test]
    fn a_hint_outlives_a_broken_body() {
        let hint = Some(Duration::from_secs(3));
        let head = Failure::new(Overloaded).retry_after(hint).into();
        let broken: BoxError = "reset".into();

        let outcome = end(head, End::Error(&*broken));

        assert_eq!(outcome, Failure::new(Server).retry_after(hint).into());
    }

    #[test]
    fn a_pushback_is_as_exact_after_a_broken_body() {
        let head = Failure::new(Overloaded).pushback(Duration::from_secs(3));
        let broken: BoxError = "reset".into();

        let outcome = end(head.into(), End::Error(&*broken));

        let expected = Failure::new(Server).pushback(Duration::from_secs(3));
        assert_eq!(outcome, expected.into());
    }

    #[test]
    fn the_head_stands_whether_the_body_is_read_or_not() {
        for head in [Outcome::Success, Outcome::failure(Server)] {
            assert_eq!(end(head, End::Complete(None)), head);
            assert_eq!(end(head, End::Dropped), head);
        }
    }
}
