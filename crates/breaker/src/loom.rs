//! Models of what threads do to one circuit at once. Each is run in every order there is, up to a
//! number of preemptions.

use std::sync::Arc;
use std::time::Duration;

use loom::model::Builder;
use loom::thread;
use tokio::time::Instant;
use watertight_core::{FailureKind, Name, Outcome, Pending, Window};
use watertight_metrics::Registry;

use crate::admit::Admission;
use crate::circuit::Circuit;
use crate::counts::{Count, Counts};
use crate::permit::Permit;
use crate::phase::Phase;
use crate::{BreakerConfig, State};

const SECOND: Duration = Duration::from_secs(1);

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A circuit, and the moment at which all happens to it.
struct Stage {
    circuit: Circuit,
    now: Instant,
}

fn stage(config: BreakerConfig) -> Arc<Stage> {
    let now = Instant::now();
    let name = Name::new("model");
    let reporter = Registry::new().reporter(Counts::KIND, name);
    let counts = Arc::new(Counts::new(name, reporter.clone()));
    let circuit = Circuit::new(config, Pending::single(), counts, reporter, now);
    Arc::new(Stage { circuit, now })
}

/// One failure in two calls opens it, one probe at a time passes, and one success closes it.
fn config() -> BreakerConfig {
    BreakerConfig {
        window: Window::calls(2),
        min_calls: 2,
        open_for: SECOND,
        half_open_calls: 1,
        close_after: 1,
        ..BreakerConfig::default()
    }
}

/// Makes a circuit that a call has half opened, and its permit.
fn half_open() -> (Arc<Stage>, Permit) {
    let mut stage = stage(config());
    let open = &mut Arc::get_mut(&mut stage).unwrap();
    open.circuit.open_for(SECOND, open.now);
    open.now += SECOND;
    let probe = stage.admit().unwrap();
    (stage, probe)
}

impl Stage {
    fn admit(&self) -> Option<Permit> {
        match self.circuit.admit(|| self.now) {
            Admission::Admitted(permit) => Some(permit),
            Admission::Refused(_) => None,
            Admission::Unwatched => unreachable!("it is enforced"),
        }
    }

    fn succeed(&self, permit: &Permit) {
        self.circuit.end(permit, &Outcome::Success, || self.now);
    }

    fn fail(&self, permit: &Permit) {
        let failure = Outcome::failure(FailureKind::Server);
        self.circuit.end(permit, &failure, || self.now);
    }

    fn drop_call(&self, permit: &Permit) {
        self.circuit.cancel(permit, || self.now);
    }

    fn state(&self) -> State {
        self.circuit.state(self.now)
    }

    /// Successes, failures, late results.
    fn counted(&self) -> [u64; 3] {
        let total = |count| self.circuit.counts.total(count);
        let successes = total(Count::Success) + self.circuit.pending.total();
        [successes, total(Count::Failure), total(Count::Stale)]
    }

    fn transitions(&self) -> Vec<(&'static str, &'static str, u64)> {
        let snapshot = self.circuit.counts.snapshot(self.now);
        let transitions = snapshot.transitions.iter();
        transitions.map(|it| (it.from, it.to, it.count)).collect()
    }
}

#[test]
fn two_failures_open_it_once() {
    check(|| {
        let stage = stage(config());
        let permits = [stage.admit().unwrap(), stage.admit().unwrap()];
        let [first, second] = permits;
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.fail(&first));
        stage.fail(&second);
        thread.join().unwrap();

        assert_eq!(stage.state(), State::Open);
        assert_eq!(stage.transitions(), [("closed", "open", 1)]);
        assert_eq!(stage.counted(), [0, 2, 0]);
    });
}

#[test]
fn a_success_beside_the_failure_that_opens_it_is_counted_once() {
    check(|| {
        let stage = stage(config());
        let first = stage.admit().unwrap();
        stage.succeed(&first);
        let (fails, succeeds) = (stage.admit().unwrap(), stage.admit().unwrap());
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.succeed(&succeeds));
        stage.fail(&fails);
        thread.join().unwrap();

        assert_eq!(stage.state(), State::Open);
        let [successes, failures, stale] = stage.counted();
        assert_eq!((failures, successes + stale), (1, 2));
        assert_eq!(stage.admit().map(|_| ()), None);
    });
}

#[test]
fn of_two_callers_after_the_open_time_one_probes() {
    check(|| {
        let mut stage = stage(config());
        let open = &mut Arc::get_mut(&mut stage).unwrap();
        open.circuit.open_for(SECOND, open.now);
        open.now += SECOND;
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.admit());
        let mine = stage.admit();
        let others = thread.join().unwrap();

        assert_eq!(u32::from(mine.is_some()) + u32::from(others.is_some()), 1);
        assert_eq!(stage.state(), State::HalfOpen);
    });
}

#[test]
fn the_place_of_a_dropped_probe_is_free_and_only_once() {
    check(|| {
        let (stage, probe) = half_open();
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.drop_call(&probe));
        let early = stage.admit();
        thread.join().unwrap();

        let late = stage.admit();
        assert_eq!(u32::from(early.is_some()) + u32::from(late.is_some()), 1);
        assert!(stage.admit().is_none());
    });
}

#[test]
fn a_late_result_beside_a_probe_changes_nothing() {
    check(|| {
        let mut stage = stage(config());
        let late = stage.admit().unwrap();
        let open = &mut Arc::get_mut(&mut stage).unwrap();
        open.circuit.open_for(SECOND, open.now);
        open.now += SECOND;
        let probe = stage.admit().unwrap();
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.fail(&late));
        stage.succeed(&probe);
        thread.join().unwrap();

        assert_eq!(stage.state(), State::Closed);
        assert_eq!(stage.counted(), [1, 0, 1]);
        assert_eq!(stage.circuit.snapshot(stage.now).standing.calls, 0);
    });
}

#[test]
fn a_hand_is_stronger_than_a_failure() {
    check(|| {
        let stage = stage(config());
        let first = stage.admit().unwrap();
        stage.fail(&first);
        let second = stage.admit().unwrap();
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.fail(&second));
        stage.circuit.force(Phase::ForcedClosed, stage.now);
        thread.join().unwrap();

        assert_eq!(stage.state(), State::ForcedClosed);
        assert!(stage.admit().is_some());
    });
}

#[test]
fn a_success_after_few_failures_opens_it_whoever_sees_it_first() {
    check(|| {
        let stage = stage(BreakerConfig {
            window: Window::calls(3),
            min_calls: 3,
            failure_rate: 0.3,
            ..config()
        });
        let first = stage.admit().unwrap();
        stage.succeed(&first);
        let (fails, succeeds) = (stage.admit().unwrap(), stage.admit().unwrap());
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.fail(&fails));
        stage.succeed(&succeeds);
        thread.join().unwrap();

        // One of three has failed, and the third call may have been any of them. Where it was put
        // by, the next one that is looked at opens it.
        if stage.state() == State::Closed {
            let next = stage.admit().unwrap();
            stage.succeed(&next);
        }
        assert_eq!(stage.state(), State::Open);
    });
}

#[test]
fn a_success_that_has_seen_no_failure_does_not_hide_one() {
    check(|| {
        let stage = stage(BreakerConfig {
            window: Window::calls(4),
            min_calls: 3,
            failure_rate: 0.3,
            ..config()
        });
        let (fails, succeeds) = (stage.admit().unwrap(), stage.admit().unwrap());
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.fail(&fails));
        stage.succeed(&succeeds);
        thread.join().unwrap();

        let third = stage.admit().unwrap();
        stage.succeed(&third);
        assert_eq!(stage.state(), State::Open);
    });
}

#[test]
fn a_late_look_at_the_old_window_does_not_hide_the_new_one() {
    check(|| {
        let stage = stage(config());
        let succeeds = stage.admit().unwrap();
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.succeed(&succeeds));
        let timed = BreakerConfig {
            window: Window::time(SECOND),
            ..config()
        };
        stage.circuit.reconfigure(&timed, stage.now);
        thread.join().unwrap();

        assert!(!stage.circuit.word().is_quiet());
    });
}

#[test]
fn a_call_of_the_new_state_is_not_late() {
    check(|| {
        let (stage, probe) = half_open();
        let other = Arc::clone(&stage);

        let thread = thread::spawn(move || other.succeed(&probe));
        let early = stage.admit();
        if let Some(permit) = &early {
            stage.fail(permit);
        }
        thread.join().unwrap();

        let failures = u64::from(early.is_some());
        assert_eq!(stage.counted(), [1, failures, 0]);
        let standing = stage.circuit.snapshot(stage.now).standing;
        assert_eq!(standing.calls, failures);
    });
}
