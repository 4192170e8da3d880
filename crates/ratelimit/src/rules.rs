use watertight_core::{
    AtResponse, ClassifyFn, DynError, ErrorsAreFailures, Key, KeyFn, Outcome, SetClassifier,
    SetFinish, SetNotes, Unkeyed, Unnoted,
};

use crate::demand::{Planned, Priced};
use crate::{NoPenalty, OneEach, PenaltyFn, RateLimitBuilder};

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

    pub(crate) fn demand<D2>(self, demand: impl FnOnce(D) -> D2) -> Rules<C, N, K, D2, P, T> {
        Rules {
            classify: self.classify,
            finish: self.finish,
            key: self.key,
            demand: demand(self.demand),
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

#[allow(clippy::type_complexity, reason = "users do not spell these types")]
impl<A, C, N, K, D, P, T, L> RateLimitBuilder<A, Rules<C, N, K, D, P, T>, L> {
    /// Sets what answers mean, to the counts and to a [`penalty`](Self::penalty). Default:
    /// [`ErrorsAreFailures`](watertight_core::ErrorsAreFailures).
    pub fn classify<C2>(self, classify: C2) -> RateLimitBuilder<A, Rules<C2, N, K, D, P, T>, L> {
        self.set_classifier(classify)
    }

    /// Sets what answers mean by a closure.
    pub fn classify_fn<Res, F>(
        self,
        classify: F,
    ) -> RateLimitBuilder<A, Rules<ClassifyFn<F, Res>, N, K, D, P, T>, L>
    where
        F: Fn(Result<&Res, &DynError>) -> Outcome,
    {
        self.set_classifier(ClassifyFn::new(classify))
    }

    /// Sets when a call is over, and known how it went. Default:
    /// [`AtResponse`](watertight_core::AtResponse).
    pub fn finish<N2>(self, finish: N2) -> RateLimitBuilder<A, Rules<C, N2, K, D, P, T>, L> {
        self.set_finish(finish)
    }

    /// Gives each key quotas of its own. What becomes of a call for which `key` returns `None`,
    /// [`missing_key`](Self::missing_key) says.
    pub fn key<Req, F, O>(
        self,
        key: F,
    ) -> RateLimitBuilder<A, Rules<C, N, KeyFn<F, Req>, D, P, T>, L>
    where
        F: Fn(&Req) -> O,
        O: Into<Option<Key>>,
    {
        self.key_by(KeyFn::new(key))
    }

    /// [`key`](Self::key) by a type.
    pub fn key_by<K2>(self, key: K2) -> RateLimitBuilder<A, Rules<C, N, K2, D, P, T>, L> {
        let mut builder = self.with(|rules| rules.key(key));
        builder.keyed = true;
        builder
    }

    /// Sets how many tokens a call takes. Default: 1.
    ///
    /// A call of cost 0 always passes, and one that costs more than a quota holds never does.
    pub fn cost<Req, F>(
        self,
        cost: F,
    ) -> RateLimitBuilder<A, Rules<C, N, K, Priced<D, F, Req>, P, T>, L>
    where
        F: Fn(&Req) -> u64,
    {
        self.with(|rules| rules.demand(|others| Priced::new(others, cost)))
    }

    /// Says which [`plan`](Self::plan) a call is on. Default: none.
    pub fn plan_by<Req, F, O>(
        self,
        plan: F,
    ) -> RateLimitBuilder<A, Rules<C, N, K, Planned<D, F, Req>, P, T>, L>
    where
        F: Fn(&Req) -> Option<O>,
        O: AsRef<str>,
    {
        self.with(|rules| rules.demand(|others| Planned::new(others, plan)))
    }

    /// [`cost`](Self::cost) and [`plan_by`](Self::plan_by) by a type, a
    /// [`Demand`](crate::Demand).
    pub fn demand<D2>(self, demand: D2) -> RateLimitBuilder<A, Rules<C, N, K, D2, P, T>, L> {
        self.with(|rules| rules.demand(|_| demand))
    }

    /// Charges a call for how it ended, besides what it cost: who guesses passwords runs dry.
    /// Default: nothing.
    ///
    /// The tokens are taken from the quotas of the call's key and plan, even if they are not there,
    /// as far as [`Quota::debt`](crate::Quota::debt) goes.
    pub fn penalty<F>(
        self,
        penalty: F,
    ) -> RateLimitBuilder<A, Rules<C, N, K, D, PenaltyFn<F>, T>, L>
    where
        F: Fn(&Outcome) -> u64,
    {
        self.with(|rules| rules.penalty(PenaltyFn(penalty)))
    }
}

impl<A, C, N, K, D, P, T, L> SetClassifier for RateLimitBuilder<A, Rules<C, N, K, D, P, T>, L> {
    type With<C2> = RateLimitBuilder<A, Rules<C2, N, K, D, P, T>, L>;

    fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
        self.with(|rules| rules.classify(classify))
    }
}

impl<A, C, N, K, D, P, T, L> SetFinish for RateLimitBuilder<A, Rules<C, N, K, D, P, T>, L> {
    type With<N2> = RateLimitBuilder<A, Rules<C, N2, K, D, P, T>, L>;

    fn set_finish<N2>(self, finish: N2) -> Self::With<N2> {
        self.with(|rules| rules.finish(finish))
    }
}

/// An answer can say how much is left, and does so with [`announce`](RateLimitBuilder::announce).
impl<A, C, N, K, D, P, T, L> SetNotes for RateLimitBuilder<A, Rules<C, N, K, D, P, T>, L> {
    type With<T2> = RateLimitBuilder<A, Rules<C, N, K, D, P, T2>, L>;

    fn set_notes<T2>(self, notes: T2) -> Self::With<T2> {
        self.with(|rules| rules.notes(notes))
    }
}
