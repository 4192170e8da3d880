//! What goes to `tracing`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::subscriber::{Interest, NoSubscriber, with_default};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry as Spans};
use watertight_core::{Mode, Name, Reason};
use watertight_metrics::{Figures, Registry, Reporter, StateChange, What};

use crate::fake::{Fake, FakeHandle};

/// Keeps the fields of each event.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Fields>>>);

type Fields = BTreeMap<&'static str, String>;

impl Log {
    fn capture(&self, act: impl FnOnce()) -> Vec<Fields> {
        with_default(Spans::default().with(self.clone()), act);
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Collect(Fields);

        impl Visit for Collect {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                self.0.insert(field.name(), format!("{value:?}"));
            }

            fn record_str(&mut self, field: &Field, value: &str) {
                self.0.insert(field.name(), value.into());
            }
        }

        let level = event.metadata().level().to_string();
        let mut fields = Collect(Fields::from([("level", level)]));
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
}

fn captured(act: impl FnOnce()) -> Vec<Fields> {
    Log::default().capture(act)
}

fn payments(registry: &Registry) -> Reporter {
    registry.reporter("breaker", Name::new("payments"))
}

const OPENED: StateChange = StateChange {
    from: "closed",
    to: "open",
    cause: "failure_rate",
    figures: Figures {
        calls: Some(40),
        failure_rate: Some(0.5),
        slow_rate: None,
        consecutive_failures: None,
    },
};

#[test]
fn a_change_of_state_is_one_event_with_its_reason() {
    let reporter = payments(&Registry::new());

    let log = captured(|| reporter.log_state_change(OPENED));

    let expected = Fields::from([
        ("level", "INFO".into()),
        ("message", "state changed".into()),
        ("layer", "breaker".into()),
        ("name", "payments".into()),
        ("from", "closed".into()),
        ("to", "open".into()),
        ("reason", "failure_rate".into()),
        ("calls", "40".into()),
        ("failure_rate", "0.5".into()),
    ]);
    assert_eq!(log, [expected]);
}

#[test]
fn nothing_is_logged_under_the_lock_of_a_change() {
    let reporter = payments(&Registry::new());

    let log = captured(|| reporter.state_changed(OPENED));

    assert_eq!(log, []);
}

#[test]
fn a_burst_of_refusals_is_one_event_a_second() {
    let reporter = payments(&Registry::new());
    let start = Instant::now();
    let refuse = |after_ms, mode| {
        let now = start + Duration::from_millis(after_ms);
        reporter.refused(Reason::CircuitOpen, mode, || now);
    };

    let log = captured(|| {
        for after in [0, 1, 999, 1_000, 1_500, 2_000] {
            refuse(after, Mode::Enforce);
        }
        refuse(0, Mode::Shadow);
    });

    let said: Vec<_> = log
        .iter()
        .map(|event| (event["shadow"].as_str(), event["unsaid"].as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("false", "0"),
            ("false", "2"),
            ("false", "1"),
            ("true", "0")
        ]
    );
    for event in &log {
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["layer"], "breaker");
        assert_eq!(event["name"], "payments");
        assert_eq!(event["reason"], Reason::CircuitOpen.as_str());
    }
}

#[test]
fn a_refusal_reads_no_clock_if_nobody_listens() {
    let reporter = payments(&Registry::new());
    let read = Cell::new(false);

    with_default(NoSubscriber::default(), || {
        reporter.refused(Reason::CircuitOpen, Mode::Enforce, || {
            read.set(true);
            Instant::now()
        });
    });

    assert!(!read.get());
}

#[test]
fn a_second_layer_of_a_name_is_one_warning() {
    let registry = Registry::new();

    let log = captured(|| {
        let _twins = [(); 2].map(|()| Fake::new(&registry, "breaker", "payments"));
    });

    assert_eq!(log.len(), 1);
    assert_eq!(log[0]["level"], "WARN");
    assert_eq!(log[0]["name"], "payments");
}

#[test]
fn a_change_of_mode_or_settings_is_one_event() {
    let reporter = payments(&Registry::new());

    let log = captured(|| {
        reporter.mode_changed(Mode::Shadow);
        reporter.config_changed();
    });

    assert_eq!(log.len(), 2);
    assert_eq!(log[0]["mode"], "shadow");
    assert_eq!(log[1]["message"], "settings changed");
}

/// Panics wherever it can: in `on_event`, or before that when it is asked whether it listens.
#[derive(Clone, Copy)]
enum Panics {
    AtEvent,
    WhenAsked,
}

impl<S: Subscriber> Layer<S> for Panics {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        assert!(
            matches!(self, Self::AtEvent) || metadata.target() != "watertight",
            "asked"
        );
        true
    }

    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        panic!("an event");
    }
}

#[test]
fn a_subscriber_that_panics_changes_nothing() {
    for panics in [Panics::AtEvent, Panics::WhenAsked] {
        let registry = Registry::new();
        let mut events = registry.subscribe();
        let reporter = payments(&registry);
        let now = Instant::now();

        with_default(Spans::default().with(panics), || {
            reporter.refused(Reason::CircuitOpen, Mode::Enforce, || now);
            reporter.budget_exhausted(now);
            reporter.keys_overflowed(now);
            reporter.store_failed(&fmt::Error, now);
            reporter.config_changed();
            reporter.mode_changed(Mode::Off);
            reporter.log_state_change(OPENED);
            let _twins = [(); 2].map(|()| Fake::new(&registry, "breaker", "payments"));
        });

        let mut next = || {
            let next = tokio_test::task::spawn(events.next()).poll();
            tokio_test::assert_ready!(next).unwrap().unwrap().what
        };
        assert_eq!(
            [(); 6].map(|()| next()),
            [
                What::BudgetExhausted,
                What::KeysOverflowed,
                What::StoreFailed,
                What::ConfigChanged,
                What::ModeChanged { mode: Mode::Off },
                What::NameTaken,
            ]
        );
    }
}

#[test]
fn a_subscriber_may_use_the_registry() {
    struct Looks(Registry, Arc<Mutex<Vec<usize>>>);

    impl<S: Subscriber> Layer<S> for Looks {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            let Self(registry, seen) = self;
            assert!(registry.find::<FakeHandle>("payments").is_some());
            registry.publish();
            seen.lock()
                .unwrap()
                .push(registry.snapshot().instances.len());
        }
    }

    let registry = Registry::new();
    let seen = Arc::default();
    let looks = Looks(registry.clone(), Arc::clone(&seen));

    with_default(Spans::default().with(looks), || {
        let _twins = [(); 2].map(|()| Fake::new(&registry, "breaker", "payments"));
    });

    assert_eq!(*seen.lock().unwrap(), [2]);
}

#[test]
fn one_reason_does_not_hide_another() {
    let reporter = payments(&Registry::new());
    let start = Instant::now();

    let log = captured(|| {
        reporter.refused(Reason::BulkheadFull, Mode::Enforce, || start);
        reporter.refused(Reason::BulkheadFull, Mode::Enforce, || start);
        reporter.refused(Reason::QueueTimeout, Mode::Enforce, || start);
    });

    let said: Vec<_> = log.iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(said, ["bulkhead_full", "queue_timeout"]);
}
