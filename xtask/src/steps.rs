//! The steps of `cargo xtask test`: what runs, in which order, and what it may cost.
//!
//! Every step but loom takes the whole workspace with all features in the dev profile, so that
//! each crate is built once. Lints are denied by `-- -D warnings` and `RUSTDOCFLAGS`, since
//! `RUSTFLAGS` would build everything anew.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;

use crate::line::Line;
use crate::tally::Tally;

/// What a cold run may take in all, on two idle cores.
pub(crate) const ALL: Duration = Duration::from_secs(20 * 60);

/// What a test binary should take at most.
const BINARY: Duration = Duration::from_secs(30);

/// What the loom models should take at most in all.
const MODELS: Duration = Duration::from_secs(60);

/// The packages with loom models. Those are the unit tests with `loom` in their path.
const WITH_MODELS: [&str; 6] = [
    "watertight-core",
    "watertight-breaker",
    "watertight-bulkhead",
    "watertight-hedge",
    "watertight-http",
    "watertight-ratelimit",
];

/// The examples that check themselves, and how.
const SELF_CHECKS: [(&str, &str); 1] = [("storefront", "--seconds 6 --check")];

const TESTS: &str = "cargo test --workspace --all-features --lib --bins --tests --examples";

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    Fmt,
    Clippy,
    Rustdoc,
    Build,
    Tests,
    DocTests,
    Loom,
    SelfChecks,
}

/// How the success of a command is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Counts {
    /// As no test.
    Nothing,
    /// As the tests that it says it ran.
    Tests,
    /// As one test.
    One,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Rustdoc => "rustdoc",
            Self::Build => "build",
            Self::Tests => "tests",
            Self::DocTests => "doc-tests",
            Self::Loom => "loom",
            Self::SelfChecks => "self-checks",
        }
    }

    /// Returns whether it can only fail where the build has failed.
    pub(crate) const fn needs_build(self) -> bool {
        matches!(self, Self::Tests | Self::DocTests | Self::SelfChecks)
    }

    /// Returns the commands of the step, where `binaries` is the folder that we run from.
    pub(crate) fn lines(self, binaries: &Path) -> Vec<(Line, Counts)> {
        match self {
            Self::Fmt => vec![(Line::new("cargo fmt --all --check"), Counts::Nothing)],
            Self::Clippy => {
                let clippy = "cargo clippy --workspace --all-targets --all-features";
                let line = Line::new(clippy).args(["--", "-D", "warnings"]);
                vec![(line, Counts::Nothing)]
            }
            Self::Rustdoc => {
                // With the examples, for which cargo takes the features that the tests have.
                let doc = "cargo doc --workspace --all-features --lib --bins --examples --no-deps";
                let line = Line::new(doc).var("RUSTDOCFLAGS", "-D warnings");
                vec![(line, Counts::Nothing)]
            }
            Self::Build => {
                let tests = Line::new(TESTS).args(["--no-run", "--timings"]);
                vec![(tests, Counts::Nothing), (examples(), Counts::Nothing)]
            }
            Self::Tests => vec![(Line::new(TESTS).arg("--no-fail-fast"), Counts::Tests)],
            Self::DocTests => {
                let line = Line::new("cargo test --workspace --all-features --doc --no-fail-fast");
                vec![(line, Counts::Tests)]
            }
            Self::Loom => vec![(loom(binaries), Counts::Tests)],
            Self::SelfChecks => {
                // `cargo run` takes the features of one package alone, and would build the
                // dependencies anew: the examples are run from where the build puts them.
                let checks = SELF_CHECKS.map(|(example, arguments)| {
                    let path = binaries.join("examples").join(example);
                    let line = Line::program(&path).args(arguments.split_whitespace());
                    (line, Counts::One)
                });
                [(examples(), Counts::Nothing)]
                    .into_iter()
                    .chain(checks)
                    .collect()
            }
        }
    }

    /// Returns what is wrong with a step whose commands all succeeded.
    pub(crate) fn faults(self, tally: &Tally) -> Vec<String> {
        if self != Self::Loom {
            return Vec::new();
        }
        let idle = tally.binaries.iter().filter(|binary| binary.tests == 0);
        idle.map(|binary| format!("{} has no loom model", binary.name))
            .collect()
    }

    /// Returns what took longer than it should. A busy machine makes anything slow: it is said, and
    /// fails nothing.
    pub(crate) fn overruns(self, tally: &Tally) -> Vec<String> {
        if self == Self::Loom {
            let overrun = overrun("all models together", tally.time(), MODELS);
            return overrun.into_iter().collect();
        }
        let binaries = tally.binaries.iter();
        binaries
            .filter_map(|binary| overrun(&binary.name, binary.time, BINARY))
            .collect()
    }
}

fn overrun(name: &str, time: Duration, limit: Duration) -> Option<String> {
    (time > limit).then(|| {
        let (time, limit) = (time.as_secs_f64(), limit.as_secs());
        format!("{name} ran for {time:.1} s, and should take {limit} s at most")
    })
}

fn examples() -> Line {
    Line::new("cargo build --workspace --all-features --examples")
}

/// The models have a target folder of their own: there every crate is built with the cfg.
fn loom(binaries: &Path) -> Line {
    let target = binaries.with_file_name("loom");
    let packages = WITH_MODELS.iter().flat_map(|package| ["-p", package]);
    Line::new("cargo test --lib --all-features --no-fail-fast")
        .args(packages)
        .arg("--target-dir")
        .arg(target.to_string_lossy())
        .args(["--", "loom"])
        .var("RUSTFLAGS", "--cfg watertight_loom")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Binary;

    fn ran(binaries: &[(u64, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (tests, seconds) in binaries {
            tally.binaries.push(Binary {
                name: "breaker (tests/breaker.rs)".to_owned(),
                tests: *tests,
                time: Duration::from_secs(*seconds),
            });
        }
        tally
    }

    #[test]
    fn a_test_binary_should_take_thirty_seconds_at_most() {
        let long = "breaker (tests/breaker.rs) ran for 31.0 s, and should take 30 s at most";
        let overruns = |binaries: &[(u64, u64)]| Kind::Tests.overruns(&ran(binaries));

        assert!(overruns(&[(9, 30), (9, 30), (0, 0)]).is_empty());
        assert_eq!(overruns(&[(9, 30), (9, 31)]), [long]);
    }

    #[test]
    fn the_models_should_take_sixty_seconds_at_most_together() {
        let overruns = |binaries: &[(u64, u64)]| Kind::Loom.overruns(&ran(binaries)).len();

        assert_eq!(overruns(&[(2, 31), (2, 29)]), 0);
        assert_eq!(overruns(&[(2, 31), (2, 30)]), 1);
    }

    #[test]
    fn a_package_said_to_have_models_has_some() {
        let faults = Kind::Loom.faults(&ran(&[(2, 1), (0, 0)]));

        assert_eq!(faults, ["breaker (tests/breaker.rs) has no loom model"]);
    }

    #[test]
    fn steps_are_named_as_on_the_command_line() {
        for kind in Kind::value_variants() {
            let value = kind.to_possible_value().unwrap();
            assert_eq!(value.get_name(), kind.name());
        }
    }

    #[test]
    fn the_build_flags_are_the_same_wherever_the_workspace_is_built() {
        let binaries = Path::new("target/debug");
        for kind in Kind::value_variants() {
            for (line, _) in kind.lines(binaries) {
                let line = line.to_string();
                let exempt = *kind == Kind::Fmt || *kind == Kind::Loom || !line.contains("cargo");
                assert!(
                    exempt || line.contains("--workspace") && line.contains("--all-features"),
                    "{line}"
                );
                assert_eq!(line.contains("RUSTFLAGS"), *kind == Kind::Loom, "{line}");
            }
        }
    }
}
