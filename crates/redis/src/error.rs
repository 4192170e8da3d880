use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use watertight_core::ConfigError;
use watertight_ratelimit::store::StoreError;

/// Why a [`RedisStore`](crate::RedisStore) has no answer.
///
/// No message has a password or what a key was made of in it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// Redis was not asked: it has failed too often of late.
    Open {
        /// How long it takes until it is tried again.
        retry_after: Option<Duration>,
    },
    /// No answer came within [`Order::timeout`](watertight_ratelimit::store::Order::timeout), or
    /// [`response_timeout`](crate::RedisConfig::response_timeout).
    TimedOut,
    /// There is no connection.
    Unreachable(Cause),
    /// Redis does not do what it is asked: a wrong password, no memory left, no leave, no master.
    Refused(Cause),
    /// The value of a key is not one of ours, or has been spoilt.
    Foreign(Cause),
    /// The order cannot be met in Redis at all.
    Impossible(ConfigError),
    /// What the script has returned makes no sense.
    Unreadable,
}

/// What the client of Redis says went wrong.
#[derive(Clone)]
pub struct Cause(RedisError);

impl Error {
    /// Returns whether it says something of Redis or the way there, rather than of one order.
    pub(crate) const fn is_of_the_path(&self) -> bool {
        matches!(
            self,
            Self::TimedOut | Self::Unreachable(_) | Self::Refused(_)
        )
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Impossible(error)
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        if says(&error, "WRONGTYPE") || says(&error, "MALFORMED") {
            return Self::Foreign(Cause(error));
        }
        if error.is_timeout() {
            return Self::TimedOut;
        }
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown) => {
                Self::Unreachable(Cause(error))
            }
            ErrorKind::Server(_) | ErrorKind::AuthenticationFailed | ErrorKind::Extension => {
                Self::Refused(Cause(error))
            }
            ErrorKind::UnexpectedReturnType => Self::Unreadable,
            _ => Self::Unreachable(Cause(error)),
        }
    }
}

/// Returns whether an error is of that code. Before version 7, Redis puts what a script comes upon
/// into the text of another one, with or without the sign of an error.
pub(crate) fn says(error: &RedisError, code: &str) -> bool {
    let is_code = |word: &str| word.strip_prefix('-').unwrap_or(word) == code;
    let within = |detail: &str| detail.split(' ').any(is_code);
    error.code() == Some(code) || error.code() == Some("ERR") && error.detail().is_some_and(within)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { .. } => {
                f.write_str("redis has failed too often, and is not asked for now")
            }
            Self::TimedOut => f.write_str("redis did not answer in time"),
            // A log says no more of an error than this.
            Self::Unreachable(cause) => write!(f, "redis cannot be reached: {cause}"),
            Self::Refused(cause) => write!(f, "redis refuses to answer: {cause}"),
            Self::Foreign(cause) => {
                write!(f, "the value of a key in redis is not a quota: {cause}")
            }
            Self::Impossible(error) => write!(f, "redis cannot keep this quota: {error}"),
            Self::Unreadable => f.write_str("redis has returned what no script of ours returns"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unreachable(cause) | Self::Refused(cause) | Self::Foreign(cause) => Some(cause),
            Self::Impossible(error) => Some(error),
            Self::TimedOut => Some(&StoreError::TimedOut),
            Self::Open { .. } | Self::Unreadable => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cause({})", self.0)
    }
}

impl StdError for Cause {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, detail: &str) -> Error {
        redis::make_extension_error(code.to_owned(), Some(detail.to_owned())).into()
    }

    #[test]
    fn a_value_that_is_not_ours_is_known_in_every_version() {
        let since_7 = "Operation against a key holding the wrong kind of value script: f00";
        let before = "Error running script (call to f_f00): @user_script:70: @user_script: 70: \
                      WRONGTYPE Operation against a key holding the wrong kind of value";
        for error in [
            error("WRONGTYPE", since_7),
            error("ERR", before),
            error("MALFORMED", "the value of x is not one of ours"),
        ] {
            assert!(matches!(error, Error::Foreign(_)), "{error:?}");
            assert!(!error.is_of_the_path());
        }
    }

    #[test]
    fn a_server_that_is_no_master_is_known_in_every_version() {
        let since_7 = (
            "READONLY",
            "You can't write against a read only replica. script: f00",
        );
        let before = "Error running script (call to f_f00): @user_script:70: @user_script: 70: \
                      -READONLY You can't write against a read only replica.";

        for (code, detail) in [since_7, ("ERR", before)] {
            let error = redis::make_extension_error(code.to_owned(), Some(detail.to_owned()));
            assert!(says(&error, "READONLY"), "{error}");
            assert!(!says(&error, "OOM"), "{error}");
        }
    }

    /// A policy may have any name.
    #[test]
    fn a_code_in_a_name_is_none() {
        let detail = "the value of watertight:{ OOM :} is not one of ours";
        let error = redis::make_extension_error("MALFORMED".to_owned(), Some(detail.to_owned()));

        assert!(!says(&error, "OOM"), "{error}");
    }

    #[test]
    fn what_redis_refuses_counts_against_it() {
        let error = error("OOM", "command not allowed when used memory > 'maxmemory'");

        assert!(matches!(error, Error::Refused(_)), "{error:?}");
        assert!(error.is_of_the_path());
        assert!(error.source().unwrap().to_string().contains("OOM"));
    }
}
