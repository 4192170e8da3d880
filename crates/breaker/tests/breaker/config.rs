//! Settings that cannot be.

use std::panic::catch_unwind;
use std::time::Duration;

use watertight_breaker::{BreakerConfig, BreakerLayer};

#[test]
fn a_setting_out_of_range_is_an_error_that_names_it() {
    let error = BreakerLayer::builder("payments")
        .failure_rate(1.5)
        .try_build()
        .unwrap_err();

    assert_eq!(error.field(), "failure_rate");
    assert_eq!(
        error.to_string(),
        "`failure_rate` is 1.5, but must be a ratio in 0.0..=1.0"
    );
}

#[test]
fn build_panics_with_the_same_words() {
    let panic = catch_unwind(|| {
        let config = BreakerConfig {
            open_for: Duration::ZERO,
            ..BreakerConfig::default()
        };
        BreakerLayer::from_config("payments", config).build()
    });

    let message = panic.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*message, "`open_for` is 0ns, but must be longer than 0 s");
}
