//! `cargo xtask test`: everything that must be green.

use std::env;
use std::io;
use std::path::Path;

use clap::ValueEnum;

use crate::Verdict;
use crate::line::Line;
use crate::needs;
use crate::report::{Ended, Report, Run};
use crate::slowest;
use crate::steps::{Counts, Kind};
use crate::stopwatch::Stopwatch;
use crate::tally::Tally;

/// Runs the steps in `only`, or all of them, and goes on after one that fails.
pub(crate) fn run(only: &[Kind]) -> Verdict {
    needs::component("fmt", "rustfmt")?;
    needs::component("clippy", "clippy")?;
    let program = env::current_exe()?;
    let binaries = program.parent().ok_or("the program stands in no folder")?;
    let chosen = |kind: &&Kind| only.is_empty() || only.contains(kind);
    if chosen(&&Kind::Tests) {
        needs::program("redis-server", "redis-server")?;
    }

    let whole = Stopwatch::start();
    let mut run = Run::default();
    for &kind in Kind::value_variants().iter().filter(chosen) {
        let skipped = kind.needs_build() && run.has_failed(Kind::Build);
        run.steps.push(if skipped {
            Report::skipped(kind)
        } else {
            step(kind, binaries)
        });
    }
    run.time = whole.read();
    if run.is_too_slow() {
        let target = binaries.parent().unwrap_or(binaries);
        run.slowest = slowest::ten(run.pieces(slowest::compile_units(target)));
    }

    print!("{run}");
    Ok(run.is_green())
}

/// Runs the commands of a step up to the first that fails.
fn step(kind: Kind, binaries: &Path) -> Report {
    let watch = Stopwatch::start();
    let mut tally = Tally::default();
    let mut failed = None;
    for (line, counts) in kind.lines(binaries) {
        println!("\n== {}: {line}", kind.name());
        let succeeded = command(&line, counts, &mut tally).unwrap_or_else(|error| {
            eprintln!("error: {error}");
            false
        });
        if counts == Counts::One {
            tally.check(succeeded);
        }
        if !succeeded {
            failed = Some(line);
            break;
        }
    }

    let faults = kind.faults(&tally);
    let ended = match failed {
        Some(line) => Ended::Failed(line),
        None if faults.is_empty() => Ended::Passed,
        None => Ended::Faulted(faults),
    };
    Report {
        kind,
        time: watch.read(),
        ended,
        overruns: kind.overruns(&tally),
        tally,
    }
}

fn command(line: &Line, counts: Counts, tally: &mut Tally) -> io::Result<bool> {
    let status = match counts {
        Counts::Nothing | Counts::One => line.run()?,
        Counts::Tests => line.watch(&mut io::stdout().lock(), |line| tally.read(line))?,
    };
    Ok(status.success())
}
