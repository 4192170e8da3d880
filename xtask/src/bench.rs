//! `cargo xtask bench`: every layer beside its peers.

mod callgrind;
mod counts;
mod locks;
mod row;

use std::env;

use clap::Parser;

use crate::line::Line;
use crate::{Verdict, needs};

/// Measure every layer beside its peers.
///
/// Prints the times, and then what repeats to the digit: instructions, locked instructions, clock
/// reads and allocations a call. Fails where a row counts more of these than it may.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Args {
    /// Measure the rows alone whose name contains this, and those that they are compared with.
    filter: Option<String>,
    /// Count, and measure no times.
    #[arg(long)]
    counts: bool,
    /// Measure how two workers of one runtime scale, and nothing else.
    #[arg(long, conflicts_with = "counts")]
    workers: bool,
    /// Measure how long single checks of new keys take, and nothing else.
    #[arg(long, conflicts_with_all = ["counts", "workers"])]
    stalls: bool,
    /// How often each row has its turn.
    #[arg(long)]
    rounds: Option<usize>,
}

pub(crate) fn run(args: &[String]) -> Verdict {
    let name = "bench".to_owned();
    let args = Args::parse_from([&name].into_iter().chain(args));
    let build = Line::new("cargo build --release -p watertight-benches --bins");
    if !build.run()?.success() {
        return Ok(false);
    }
    // The benches' folder lies beside our own, in the same target folder.
    let own = env::current_exe()?;
    let target = own
        .ancestors()
        .nth(2)
        .ok_or("xtask lies in no target folder")?;
    let binaries = target.join("release");

    if !args.counts {
        let times = Line::program(&binaries.join("watertight-benches"))
            .args(args.workers.then_some("--workers"))
            .args(args.stalls.then_some("--stalls"))
            .args(args.rounds.map(|rounds| format!("--rounds={rounds}")))
            .args(args.filter.clone());
        let success = times.run()?.success();
        if !success || args.workers || args.stalls {
            return Ok(success);
        }
    }

    let tools =
        needs::program("valgrind", "valgrind").and_then(|()| needs::program("objdump", "binutils"));
    if let Err(error) = &tools {
        println!("\nInstructions are not counted: {error}\n");
    }
    let filter = args.filter.as_deref().unwrap_or_default();
    counts::print(&binaries, filter, tools.is_ok())
}
