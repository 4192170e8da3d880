use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::{Builder, Runtime};
use tower_layer::Layer;
use tower_service::Service;
use watertight_core::BoxError;

use crate::exhaustion::Exhaustion;
use crate::rules::{answers, cancellation, cost, panics, readiness, sharing, wakes};
use crate::stage::{Ruling, Stage, Subject, Terms};
use crate::{Answer, Finding, Probe, Report, Request, Response, Rule, Verdict};

/// The contract of a Tower layer, to be checked in a test.
///
/// See the [crate docs](crate) for an example, and for how the layer has to be built.
pub struct Contract<L> {
    make: Box<dyn Fn() -> L>,
    terms: Terms,
    exceptions: BTreeMap<Rule, String>,
}

impl<L> Contract<L>
where
    L: Layer<Probe> + Clone + Send + Sync + 'static,
    L::Service:
        Service<Request, Response = Response, Error = BoxError> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request>>::Future: Send,
{
    /// Prepares the contract of the layers that `make` makes: a fresh one each time, which shares
    /// nothing with those before.
    ///
    /// The bounds are the first rules: a layer and its services are `Clone`, `Send` and `Sync`,
    /// a response future is `Send`, and the error is [`BoxError`].
    pub fn new(make: impl Fn() -> L + 'static) -> Self {
        Self {
            make: Box::new(make),
            terms: Terms::default(),
            exceptions: BTreeMap::new(),
        }
    }

    /// Says that the layer breaks `rule`, and why it has to.
    ///
    /// An exception that is not needed breaks the contract as well: it would hide the day on
    /// which the layer does break the rule.
    #[must_use]
    pub fn except(mut self, rule: Rule, why: impl Into<String>) -> Self {
        self.exceptions.insert(rule, why.into());
        self
    }

    /// Says what makes the layer refuse: the inner service answers `calls` calls with `answer`,
    /// and the next call is refused, at a clock that stands still.
    ///
    /// It lets the suite see what the services of one layer share.
    #[must_use]
    pub fn refuses_after(mut self, calls: usize, answer: Answer) -> Self {
        self.terms.exhaustion = Some(Exhaustion { calls, answer });
        self
    }

    /// Says that the layer never refuses a call, and why: it excepts [`Rule::Refuses`],
    /// [`Rule::RejectionErrors`], [`Rule::ClonesShare`] and [`Rule::LayersShare`].
    #[must_use]
    pub fn never_refuses(self, why: impl Into<String>) -> Self {
        let why = why.into();
        [
            Rule::Refuses,
            Rule::RejectionErrors,
            Rule::ClonesShare,
            Rule::LayersShare,
        ]
        .into_iter()
        .fold(self, |contract, rule| contract.except(rule, why.clone()))
    }

    /// Allows `n` allocations per successful call. The default is none.
    #[must_use]
    pub fn allocations(mut self, n: u64) -> Self {
        self.terms.allocations = n;
        self
    }

    /// Runs every rule.
    ///
    /// # Panics
    ///
    /// If the layer does not keep the contract, with the [`Report`].
    #[track_caller]
    pub fn check(&self) {
        let report = self.run();
        assert!(report.is_kept(), "{report}");
    }

    /// Runs every rule, and returns what was found.
    ///
    /// # Panics
    ///
    /// If there is a tokio runtime running on this thread already.
    #[must_use]
    pub fn run(&self) -> Report {
        let serves = self.judge(Rule::Serves);
        let findings = Rule::ALL.map(|rule| Finding {
            rule,
            verdict: match rule {
                Rule::Serves => self.verdict(rule, serves.clone()),
                _ if serves.is_err() => Verdict::Unjudged,
                _ => self.verdict(rule, self.judge(rule)),
            },
        });
        Report::new(type_name::<L>(), findings.into())
    }

    fn verdict(&self, rule: Rule, ruling: Ruling) -> Verdict {
        match (ruling, self.exceptions.get(&rule).cloned()) {
            (Ok(()), None) => Verdict::Kept,
            (Ok(()), Some(why)) => Verdict::IdleException { why },
            (Err(_), Some(why)) => Verdict::Excepted { why },
            (Err(seen), None) => Verdict::Broken { seen },
        }
    }

    /// Plays one rule on a runtime of its own. A panic that comes up breaks it.
    fn judge(&self, rule: Rule) -> Ruling {
        let runtime = paused_runtime();
        let _entered = runtime.enter();
        catch_unwind(AssertUnwindSafe(|| {
            play(rule, &Stage::new(&runtime, &self.make, self.terms))
        }))
        .unwrap_or_else(|panic| Err(format!("a panic: {}", text(&*panic))))
    }
}

impl<L> fmt::Debug for Contract<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contract")
            .field("terms", &self.terms)
            .field("exceptions", &self.exceptions)
            .finish_non_exhaustive()
    }
}

fn play<L: Subject>(rule: Rule, stage: &Stage<'_, L>) -> Ruling {
    match rule {
        Rule::Serves => answers::serves(stage),
        Rule::CallsReadyInstance => readiness::calls_ready_instance(stage),
        Rule::ForgetsReadiness => readiness::forgets_readiness(stage),
        Rule::WaitsForReadiness => readiness::waits_for_readiness(stage),
        Rule::ReadinessErrors => readiness::readiness_errors(stage),
        Rule::ReservesNothing => readiness::reserves_nothing(stage),
        Rule::Responses => answers::responses(stage),
        Rule::Errors => answers::errors(stage),
        Rule::AnswersAtOnce => answers::answers_at_once(stage),
        Rule::EndsOnce => answers::ends_once(stage),
        Rule::DropUnpolled => cancellation::drop_unpolled(stage),
        Rule::DropPolled => cancellation::drop_polled(stage),
        Rule::DropsInner => cancellation::drops_inner(stage),
        Rule::PanicInCall => panics::panic_in_call(stage),
        Rule::PanicInPoll => panics::panic_in_poll(stage),
        Rule::WakesResponse => wakes::wakes_response(stage),
        Rule::OneWakerPerWaiter => wakes::one_waker_per_waiter(stage),
        Rule::NoSelfWake => wakes::no_self_wake(stage),
        Rule::NoSpinning => wakes::no_spinning(stage),
        Rule::Refuses => sharing::refuses(stage),
        Rule::RejectionErrors => sharing::rejection_errors(stage),
        Rule::ClonesShare => sharing::clones_share(stage),
        Rule::LayersShare => sharing::layers_share(stage),
        Rule::Allocations => cost::allocations(stage),
        Rule::CloneAllocations => cost::clone_allocations(stage),
    }
}

fn paused_runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system")
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("of an unknown kind")
}
