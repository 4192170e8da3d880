//! `cargo xtask experiments`: the tests at full size.

use std::env;

use crate::Verdict;
use crate::line::Line;

/// How many times as much the tests simulate, where nothing else is set.
const FULL: &str = "10";

/// Tests that print figures read from `WATERTIGHT_SCALE` how many times as much to simulate. In
/// `cargo xtask test` they take seconds; here they take what they need, and what they print is
/// shown.
pub(crate) fn run(filter: Option<String>) -> Verdict {
    let scale = env::var("WATERTIGHT_SCALE").unwrap_or_else(|_| FULL.to_owned());
    let tests = "cargo test --release --workspace --all-features --lib --tests --no-fail-fast";
    let line = Line::new(tests)
        .args(["--", "--include-ignored", "--show-output"])
        .args(filter)
        .var("WATERTIGHT_SCALE", scale);
    println!("{line}");
    Ok(line.run()?.success())
}
