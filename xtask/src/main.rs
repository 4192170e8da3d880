//! The developer commands: `cargo xtask --help`.

mod bench;
mod deny;
mod experiments;
mod fuzz;
mod line;
mod needs;
mod report;
mod slowest;
mod steps;
mod stopwatch;
mod tally;
mod test;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// `Ok(false)` is a command that ran to its end and has told what it found wrong.
type Verdict = Result<bool, Box<dyn Error>>;

/// The developer commands of watertight.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything that must be green, or the steps named.
    Test {
        /// Run these steps alone.
        steps: Vec<steps::Kind>,
    },
    /// Measure every layer beside its peers.
    Bench(Rest),
    /// Run the laboratory tests at full size, with their figures.
    Experiments {
        /// Run the tests alone whose name contains this.
        filter: Option<String>,
    },
    /// Look for headers that break what reads them.
    Fuzz {
        /// How long, for each target.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Check the licences, sources and bans of all dependencies.
    Deny,
}

#[derive(Debug, Args)]
struct Rest {
    /// What the command itself is given.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

fn main() -> ExitCode {
    match run(Xtask::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Verdict {
    std::env::set_current_dir(root())?;
    match command {
        Command::Test { steps } => test::run(&steps),
        Command::Bench(Rest { args }) => bench::run(&args),
        Command::Experiments { filter } => experiments::run(filter),
        Command::Fuzz { seconds } => fuzz::run(seconds),
        Command::Deny => deny::run(),
    }
}

/// Returns the root of the workspace, where every command runs.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
