use watertight_core::{AtResponse, ErrorsAreFailures, Unkeyed, Unnoted};

use crate::{NoPenalty, OneEach};

/// What a service asks of its requests and answers, the types of the user's: a classifier, a
/// finish, a key, a [`Demand`](crate::Demand), a [`Penalty`](crate::Penalty) and a note.
///
/// A [`RateLimitBuilder`](crate::RateLimitBuilder) puts them together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules<
    C = ErrorsAreFailures,
    N = AtResponse,
    K = Unkeyed,
    D = OneEach,
    P = NoPenalty,
    T = Unnoted,
> {
    pub(crate) classify: C,
    pub(crate) finish: N,
    pub(crate) key: K,
    pub(crate) demand: D,
    pub(crate) penalty: P,
    pub(crate) notes: T,
}

impl<C, N, K, D, P, T> Rules<C, N, K, D, P, T> {
    pub(crate) fn classify<C2>(self, classify: C2) -> Rules<C2, N, K, D, P, T> {
        Rules {
            classify,
            finish: self.finish,
            key: self.key,
            demand: self.demand,
            penalty: self.penalty,
            notes: self.notes,
        }
    }

    pub(crate) fn finish<N2>(self, finish: N2) -> Rules<C, N2, K, D, P, T> {
        Rules {
            classify: self.classify,
            finish,
            key: self.key,
            demand: self.demand,
            penalty: self.penalty,
            notes: self.notes,
        }
    }

    pub(crate) fn key<K2>(self, key: K2) -> Rules<C, N, K2, D, P, T> {
        Rules {
            classify: self.classify,
            finish: self.finish,
            key,
            demand: self.demand,
            penalty: self.penalty,
            notes: self.notes,
        }
    }

    pub(crate) fn penalty<P2>(self, penalty: P2) -> Rules<C, N, K, D, P2, T> {
        Rules {
            classify: self.classify,
            finish: self.finish,
            key: self.key,
            demand: self.demand,
            penalty,
            notes: self.notes,
        }
    }

    pub(crate) fn notes<T2>(self, notes: T2) -> Rules<C, N, K, D, P, T2> {
        Rules {
            classify: self.classify,
            finish: self.finish,
            key: self.key,
            demand: self.demand,
            penalty: self.penalty,
            notes,
        }
    }
}
