use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tower_layer::Layer;
use watertight_core::{
    Backoff, Budget, ClassifyFn, ConfigError, DynError, ErrorsAreFailures, Mode, Name, Outcome,
    RepeatIf, SetClassifier, SetDeadlines, SetFinish, SetNotes, SetRepeat, Undecided, Unnoted,
};
use watertight_metrics::Registry;

use crate::counts::Counts;
use crate::letters::{Letters, Unwanted};
use crate::machine::{Machine, Predicate};
use crate::plan::Tools;
use crate::refresh::Refresh;
use crate::shared::Shared;
use crate::{Retry, RetryAfter, RetryConfig, RetryHandle};

/// Wraps services in [`Retry`], all with one budget.
///
/// See the [crate docs](crate) for an example.
pub struct RetryLayer<C = ErrorsAreFailures, R = Undecided, T = Unnoted, X = Unwanted> {
    shared: Arc<Shared>,
    tools: Tools<C, R, T, X>,
}

impl RetryLayer {
    /// Starts the making of a retry layer. What may be repeated has to be said: by `.http()`,
    /// `.grpc()`, [`repeat`](RetryBuilder::repeat) or [`repeat_if`](RetryBuilder::repeat_if).
    pub fn builder(name: impl Into<Name>) -> RetryBuilder {
        RetryBuilder {
            plain: Plain {
                name: name.into(),
                config: RetryConfig::default(),
                budget: Budget::ratio(RetryBuilder::BUDGET),
                registry: None,
                predicate: None,
                refresh: None,
            },
            tools: Tools {
                classify: ErrorsAreFailures,
                repeat: Undecided,
                notes: Unnoted,
                exhausted: Unwanted,
            },
        }
    }

    /// Starts the making of a retry layer with the settings of `config`.
    pub fn from_config(name: impl Into<Name>, config: RetryConfig) -> RetryBuilder {
        let mut builder = Self::builder(name);
        builder.plain.config = config;
        builder
    }
}

impl<C, R, T, X> RetryLayer<C, R, T, X> {
    /// Returns a handle on the layer.
    #[must_use]
    pub fn handle(&self) -> RetryHandle {
        RetryHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, C: Clone, R: Clone, T: Clone, X: Clone> Layer<S> for RetryLayer<C, R, T, X> {
    type Service = Retry<S, C, R, T, X>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(inner, Arc::clone(&self.shared), self.tools.clone())
    }
}

impl<C: Clone, R: Clone, T: Clone, X: Clone> Clone for RetryLayer<C, R, T, X> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            tools: self.tools.clone(),
        }
    }
}

impl<C, R, T, X> fmt::Debug for RetryLayer<C, R, T, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// Makes a [`RetryLayer`].
///
/// What is plain data is described at the field of the same name of [`RetryConfig`], with its
/// range and its default.
#[must_use = "a builder does nothing until `build`"]
pub struct RetryBuilder<C = ErrorsAreFailures, R = Undecided, T = Unnoted, X = Unwanted> {
    plain: Plain,
    tools: Tools<C, R, T, X>,
}

/// What does not depend on requests and answers.
struct Plain {
    name: Name,
    config: RetryConfig,
    budget: Budget,
    registry: Option<Registry>,
    predicate: Option<Predicate>,
    refresh: Option<Refresh>,
}

impl RetryBuilder {
    /// One retry for ten calls: enough for failures that are rare, and no more than a tenth on top
    /// when everything fails.
    pub const BUDGET: f64 = 0.1;
}

impl<C, R, T, X> RetryBuilder<C, R, T, X> {
    /// Sets how many attempts a call has, the first one included. Default: 3.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.plain.config.max_attempts = attempts;
        self
    }

    /// Sets how long to wait before each retry. Default: exponential from 100 ms to 10 s, with full
    /// jitter.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.plain.config.backoff = backoff;
        self
    }

    /// Sets what retries are paid from: a ratio, or a [`Budget`] that may be shared with other
    /// layers. Default: 0.1, with 10 a second over 10 s in any case.
    pub fn budget(mut self, budget: impl Into<Budget>) -> Self {
        self.plain.budget = budget.into();
        self
    }

    /// Sets what to do about a service that says when to come again. Default: to wait for up to
    /// 30 s.
    pub fn retry_after(mut self, retry_after: RetryAfter) -> Self {
        self.plain.config.retry_after = retry_after;
        self
    }

    /// Sets how long each attempt may take. Default: as long as it wants.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.plain.config.attempt_timeout = Some(timeout);
        self
    }

    /// Sets how long after its first attempt a call may make another. Default: no limit.
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.plain.config.max_elapsed = Some(time);
        self
    }

    /// Sets whether calls that came in as somebody's retry are left alone here. Default: true.
    pub fn amplification_guard(mut self, guard: bool) -> Self {
        self.plain.config.amplification_guard = guard;
        self
    }

    /// Sets whether calls are retried, or only counted. Default: [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.plain.config.mode = mode;
        self
    }

    /// Retries only those of the retryable failures that `wanted` is true for. What is a failure,
    /// and which of them are retryable, is the classifier's to say.
    pub fn retry_if<F>(mut self, wanted: F) -> Self
    where
        F: Fn(&Outcome) -> bool + Send + Sync + 'static,
    {
        self.plain.predicate = Some(Arc::new(wanted));
        self
    }

    /// Retries a call once, and at once, whose credentials the service refuses (401,
    /// UNAUTHENTICATED), after `refresh` has fetched fresh ones. All calls that are refused
    /// meanwhile wait for the one fetch. A layer below puts the credentials on the request.
    ///
    /// The retry is one of the call's attempts and is paid from the budget. If `refresh` fails, the
    /// answers of all who wait go up as they are.
    ///
    /// Which answers are such a refusal is read by the [`notes`](Self::notes): `.http()` and
    /// `.grpc()` know them, and for anything else it is [`Signs`](watertight_core::Signs) of your
    /// own that do. Without, no call is retried for this.
    pub fn on_unauthorized<F, Fut, E>(mut self, refresh: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.plain.refresh = Some(Refresh::new(refresh));
        self
    }

    /// Sets the registry that the layer reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.plain.registry = Some(registry.clone());
        self
    }

    /// Sets what counts as a failure, and which failures are retryable. Default:
    /// [`ErrorsAreFailures`].
    pub fn classify<C2>(self, classify: C2) -> RetryBuilder<C2, R, T, X> {
        self.set_classifier(classify)
    }

    /// Sets what counts as a failure by a closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> RetryBuilder<ClassifyFn<F, Res>, R, T, X>
    where
        F: Fn(Result<&Res, &DynError>) -> Outcome,
    {
        self.set_classifier(ClassifyFn::new(classify))
    }

    /// Sets what may be sent twice, and how: [`Always`](watertight_core::Always),
    /// [`Never`](watertight_core::Never), or `HttpRepeat` of `watertight-http`.
    pub fn repeat<R2>(self, repeat: R2) -> RetryBuilder<C, R2, T, X> {
        self.set_repeat(repeat)
    }

    /// Sets what may be sent twice by a closure.
    pub fn repeat_if<Req, F>(self, pick: F) -> RetryBuilder<C, RepeatIf<F, Req>, T, X>
    where
        F: Fn(&Req) -> bool,
    {
        self.set_repeat(RepeatIf::new(pick))
    }

    /// Sets how answers are marked that other retry layers are to leave alone. Default: not at
    /// all.
    pub fn notes<T2>(self, notes: T2) -> RetryBuilder<C, R, T2, X> {
        self.set_notes(notes)
    }

    /// Hands the calls on that may succeed later, but are made no more: those given up for `marked`,
    /// `attempts`, `hint`, `elapsed`, `deadline` or `budget`, as the
    /// [table](crate#when-a-call-is-made-again) has it. `write` makes something of the request and
    /// its last answer, which goes into a channel (of dead letters, say). The answer is not held up:
    /// what does not fit is lost, and counted.
    ///
    /// The request is kept for that until the call ends, even of a call that has a single attempt.
    pub fn exhausted<L, Req, Res, F>(
        self,
        sender: mpsc::Sender<L>,
        write: F,
    ) -> RetryBuilder<C, R, T, Letters<L, F, Req, Res>>
    where
        F: Fn(Req, Result<&Res, &DynError>) -> L,
    {
        RetryBuilder {
            plain: self.plain,
            tools: Tools {
                classify: self.tools.classify,
                repeat: self.tools.repeat,
                notes: self.tools.notes,
                exhausted: Letters::new(sender, write),
            },
        }
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range. The message names the field, the value and the range.
    pub fn build(self) -> RetryLayer<C, R, T, X> {
        match self.try_build() {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range.
    pub fn try_build(self) -> Result<RetryLayer<C, R, T, X>, ConfigError> {
        let Plain {
            name,
            config,
            budget,
            registry,
            predicate,
            refresh,
        } = self.plain;
        config.validate()?;
        budget.validate()?;
        let registry = registry.unwrap_or_else(|| Registry::global().clone());
        let reporter = registry.reporter(Counts::KIND, name);
        let machine = Machine::new(name, config, budget, predicate, refresh, reporter);
        Ok(RetryLayer {
            shared: Shared::new(machine, &registry),
            tools: self.tools,
        })
    }
}

impl<C, R, T, X> SetClassifier for RetryBuilder<C, R, T, X> {
    type With<C2> = RetryBuilder<C2, R, T, X>;

    fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
        RetryBuilder {
            plain: self.plain,
            tools: Tools {
                classify,
                repeat: self.tools.repeat,
                notes: self.tools.notes,
                exhausted: self.tools.exhausted,
            },
        }
    }
}

/// A retry layer decides at the head of an answer: what comes after cannot be taken back.
impl<C, R, T, X> SetFinish for RetryBuilder<C, R, T, X> {
    type With<N> = Self;

    fn set_finish<N>(self, _: N) -> Self {
        self
    }
}

impl<C, R, T, X> SetRepeat for RetryBuilder<C, R, T, X> {
    type With<R2> = RetryBuilder<C, R2, T, X>;

    fn set_repeat<R2>(self, repeat: R2) -> Self::With<R2> {
        RetryBuilder {
            plain: self.plain,
            tools: Tools {
                classify: self.tools.classify,
                repeat,
                notes: self.tools.notes,
                exhausted: self.tools.exhausted,
            },
        }
    }
}

impl<C, R, T, X> SetNotes for RetryBuilder<C, R, T, X> {
    type With<T2> = RetryBuilder<C, R, T2, X>;

    fn set_notes<T2>(self, notes: T2) -> Self::With<T2> {
        RetryBuilder {
            plain: self.plain,
            tools: Tools {
                classify: self.tools.classify,
                repeat: self.tools.repeat,
                notes,
                exhausted: self.tools.exhausted,
            },
        }
    }
}

impl<C, R, T, X> fmt::Debug for RetryBuilder<C, R, T, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBuilder")
            .field("name", &self.plain.name)
            .field("config", &self.plain.config)
            .field("budget", &self.plain.budget)
            .finish_non_exhaustive()
    }
}

/// A retry layer goes by the deadline of the context.
impl<C, R, T, X> SetDeadlines for RetryBuilder<C, R, T, X> {
    type With<D> = Self;

    fn set_deadlines<D>(self, _: D) -> Self {
        self
    }
}
