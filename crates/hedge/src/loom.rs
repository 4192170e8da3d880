//! Models of calls that learn a delay while somebody changes the settings. Each is run in every
//! order there is.

use std::sync::Arc;
use std::time::Duration;

use loom::model::Builder;
use loom::thread;
use tokio::time::Instant;
use watertight_core::{Mode, Name};
use watertight_metrics::Registry;

use crate::counts::Counts;
use crate::machine::Machine;
use crate::{HedgeConfig, Trigger};

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn by(trigger: Trigger) -> HedgeConfig {
    HedgeConfig {
        trigger,
        ..HedgeConfig::default()
    }
}

/// A machine by the median, which knows of as many calls that took 1 ms as of those that took 9 ms,
/// and one more.
fn machine(now: Instant) -> Arc<Machine> {
    let name = Name::from("search");
    let counts = Counts::new(name, Registry::new().reporter(Counts::KIND, name));
    let machine = Machine::new(by(Trigger::Percentile(0.5)), counts, now);
    let took = [1; 101].into_iter().chain([9; 100]);
    machine.record(took.map(Duration::from_millis), now);
    Arc::new(machine)
}

/// Lets a thread learn while `change` runs, and returns the delay that is in force then.
fn after(change: impl FnOnce(&Machine, Instant)) -> Option<Duration> {
    let now = Instant::now();
    let machine = machine(now);
    let other = Arc::clone(&machine);

    let learns = thread::spawn(move || other.learn(now));
    change(&machine, now);
    learns.join().unwrap();

    machine.plan().delay()
}

#[test]
fn what_was_learnt_of_another_percentile_does_not_stay() {
    check(|| {
        let delay = after(|machine, now| {
            let tail = by(Trigger::Percentile(0.9));
            machine.reconfigure(tail, now).unwrap();
        });

        let delay = delay.unwrap();
        assert!(delay >= Duration::from_millis(9), "{delay:?}");
    });
}

#[test]
fn what_was_learnt_does_not_take_the_place_of_a_delay_that_was_set() {
    check(|| {
        let second = Duration::from_secs(1);
        let delay = after(|machine, now| {
            let fixed = by(Trigger::After(second));
            machine.reconfigure(fixed, now).unwrap();
        });

        assert_eq!(delay, Some(second));
    });
}

#[test]
fn a_change_of_the_mode_leaves_the_delay_known() {
    check(|| {
        let delay = after(|machine, now| machine.set_mode(Mode::Shadow, now));

        let delay = delay.unwrap();
        assert!(delay < Duration::from_millis(2), "{delay:?}");
    });
}
