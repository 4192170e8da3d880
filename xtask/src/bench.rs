//! `cargo xtask bench`: every layer beside its peers.

use crate::Verdict;
use crate::line::Line;

pub(crate) fn run(args: &[String]) -> Verdict {
    let line = Line::new("cargo run --release -p watertight-benches --").args(args);
    Ok(line.run()?.success())
}
