//! `cargo xtask experiments`: the tests at full size.

use crate::Verdict;
use crate::line::Line;

/// Tests that print figures read from `WATERTIGHT_SCALE` how much to simulate. In `cargo xtask
/// test` they take seconds; here they take what they need, and what they print is shown.
pub(crate) fn run(filter: Option<String>) -> Verdict {
    let tests = "cargo test --release --workspace --all-features --lib --tests --no-fail-fast";
    let line = Line::new(tests)
        .args(["--", "--include-ignored", "--show-output"])
        .args(filter)
        .var("WATERTIGHT_SCALE", "full");
    println!("{line}");
    Ok(line.run()?.success())
}
