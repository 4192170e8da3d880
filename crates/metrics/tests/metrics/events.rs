//! What subscribers hear.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use serde_json::json;
use tokio::time::Instant;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};
use watertight_core::{Key, Mode, Name};
use watertight_metrics::{Event, Events, Figures, Missed, Registry, Reporter, StateChange, What};

fn change(from: &'static str, to: &'static str) -> StateChange {
    StateChange {
        from,
        to,
        cause: "manual",
        figures: Figures::default(),
    }
}

fn payments(registry: &Registry) -> Reporter {
    registry.reporter("breaker", Name::new("payments"))
}

fn hear(events: &mut Events) -> Result<Event, Missed> {
    assert_ready!(spawn(events.next()).poll()).unwrap()
}

#[test]
fn events_come_in_the_order_of_the_changes() {
    let registry = Registry::new();
    let mut events = registry.subscribe();
    let reporter = payments(&registry);

    reporter.state_changed(change("closed", "open"));
    reporter.mode_changed(Mode::Shadow);
    reporter.config_changed();
    reporter.state_changed(change("open", "closed"));

    let heard = [(); 4].map(|()| hear(&mut events).unwrap().what);
    assert_eq!(
        heard,
        [
            What::StateChanged(change("closed", "open")),
            What::ModeChanged { mode: Mode::Shadow },
            What::ConfigChanged,
            What::StateChanged(change("open", "closed")),
        ]
    );
    assert_pending!(spawn(events.next()).poll());
}

#[test]
fn a_slow_subscriber_loses_the_oldest_and_learns_how_many() {
    let registry = Registry::new();
    let mut events = registry.subscribe();
    let reporter = payments(&registry);
    for _ in 0..3 {
        reporter.config_changed();
    }
    for _ in 0..Events::CAPACITY {
        reporter.mode_changed(Mode::Off);
    }

    assert_eq!(hear(&mut events), Err(Missed(3)));

    for _ in 0..Events::CAPACITY {
        let what = hear(&mut events).unwrap().what;
        assert_eq!(what, What::ModeChanged { mode: Mode::Off });
    }
    assert_pending!(spawn(events.next()).poll());
}

#[test]
fn a_late_subscriber_hears_what_comes() {
    let registry = Registry::new();
    let reporter = payments(&registry);
    reporter.config_changed();

    let mut events = registry.subscribe();
    reporter.mode_changed(Mode::Enforce);

    let what = hear(&mut events).unwrap().what;
    assert_eq!(
        what,
        What::ModeChanged {
            mode: Mode::Enforce
        }
    );
}

#[test]
fn events_end_with_the_registry_and_its_layers() {
    let registry = Registry::new();
    let mut events = registry.subscribe();
    let reporter = payments(&registry);
    drop(registry);

    reporter.config_changed();
    assert_eq!(hear(&mut events).unwrap().what, What::ConfigChanged);
    assert_pending!(spawn(events.next()).poll());

    drop(reporter);
    assert_eq!(assert_ready!(spawn(events.next()).poll()), None);
}

#[test]
fn a_subscriber_that_panics_when_it_is_woken_changes_nothing() {
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("woken");
        }
    }

    let registry = Registry::new();
    let mut events = registry.subscribe();
    let mut other = registry.subscribe();
    let reporter = payments(&registry);
    let waker = Waker::from(Arc::new(Panics));
    let next = std::pin::pin!(events.next());
    assert_pending!(next.poll(&mut Context::from_waker(&waker)));

    reporter.config_changed();

    assert_eq!(hear(&mut other).unwrap().what, What::ConfigChanged);
}

#[test]
fn what_happens_often_is_told_once_a_second() {
    let registry = Registry::new();
    let mut events = registry.subscribe();
    let reporter = payments(&registry);
    let now = Instant::now();

    for _ in 0..5 {
        reporter.budget_exhausted(now);
        reporter.keys_overflowed(now);
        reporter.store_failed(&fmt::Error, now);
    }

    assert_eq!(hear(&mut events).unwrap().what, What::BudgetExhausted);
    assert_eq!(hear(&mut events).unwrap().what, What::KeysOverflowed);
    assert_eq!(hear(&mut events).unwrap().what, What::StoreFailed);
    assert_pending!(spawn(events.next()).poll());
}

#[test]
fn an_event_is_plain_data() {
    let registry = Registry::new();
    let mut events = registry.subscribe();
    let key = Key::of("tenant-7");
    let reporter = payments(&registry).with_key(key, Some("tenant 7".into()));

    reporter.state_changed(StateChange {
        from: "closed",
        to: "open",
        cause: "failure_rate",
        figures: Figures {
            calls: Some(40),
            failure_rate: Some(0.5),
            ..Figures::default()
        },
    });

    let event = hear(&mut events).unwrap();
    assert_eq!(
        serde_json::to_value(&event).unwrap(),
        json!({
            "layer": "breaker",
            "name": "payments",
            "key": key.to_string(),
            "label": "tenant 7",
            "event": "state_changed",
            "from": "closed",
            "to": "open",
            "cause": "failure_rate",
            "calls": 40,
            "failure_rate": 0.5,
        })
    );
}
