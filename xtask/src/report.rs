//! How a run of the steps went.

use std::fmt;
use std::time::Duration;

use crate::line::Line;
use crate::slowest::Piece;
use crate::steps::{self, Kind};
use crate::tally::Tally;

/// All steps of a run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) steps: Vec<Report>,
    pub(crate) time: Duration,
    /// Filled when the run took too long.
    pub(crate) slowest: Vec<Piece>,
}

/// How a step went.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) kind: Kind,
    pub(crate) time: Duration,
    pub(crate) ended: Ended,
    /// What took longer than it should.
    pub(crate) overruns: Vec<String>,
    pub(crate) tally: Tally,
}

#[derive(Debug)]
pub(crate) enum Ended {
    Passed,
    /// This command failed.
    Failed(Line),
    /// All commands succeeded, and yet these things are wrong.
    Faulted(Vec<String>),
    /// What it needs has failed.
    Skipped,
}

impl Run {
    pub(crate) fn has_failed(&self, kind: Kind) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| step.kind == kind && !step.is_green())
    }

    pub(crate) fn is_too_slow(&self) -> bool {
        self.time > steps::ALL
    }

    pub(crate) fn is_green(&self) -> bool {
        !self.is_too_slow() && self.steps.iter().all(Report::is_green)
    }

    /// Returns what the run was made of, each part once: test binaries, the compile units of the
    /// build, and what is left of every step.
    pub(crate) fn pieces(&self, units: Vec<Piece>) -> Vec<Piece> {
        let built = self.steps.iter().any(|step| step.kind == Kind::Build);
        let units = if built { units } else { Vec::new() };
        let rests = self
            .steps
            .iter()
            .filter(|step| step.kind != Kind::Build || units.is_empty())
            .map(|step| {
                let rest = step.time.saturating_sub(step.tally.time());
                (format!("{} (step)", step.kind.name()), rest)
            });
        let binaries = self.steps.iter().flat_map(|step| &step.tally.binaries);
        let binaries = binaries.map(|binary| (binary.name.clone(), binary.time));
        rests.chain(binaries).chain(units.iter().cloned()).collect()
    }

    /// Returns the tests that passed and failed. Whatever else made the run fail counts as one
    /// failed test each, so that "0 failed" is never said of a run that is not green.
    fn count(&self) -> (u64, u64) {
        let mut total = Tally::default();
        for step in &self.steps {
            total += &step.tally;
            if !step.is_green() && step.tally.failed == 0 {
                total.check(false);
            }
        }
        if self.is_too_slow() {
            total.check(false);
        }
        (total.passed, total.failed)
    }
}

impl Report {
    pub(crate) fn skipped(kind: Kind) -> Self {
        Self {
            kind,
            time: Duration::ZERO,
            ended: Ended::Skipped,
            overruns: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn is_green(&self) -> bool {
        matches!(self.ended, Ended::Passed)
    }

    const fn word(&self) -> &'static str {
        match self.ended {
            Ended::Passed => "ok",
            Ended::Failed(_) | Ended::Faulted(_) => "FAILED",
            Ended::Skipped => "skipped, the build has failed",
        }
    }
}

impl fmt::Display for Run {
    /// The table of steps, what went wrong, and the count as the last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<14}{:>10}", "step", "time")?;
        for step in &self.steps {
            let (name, time) = (step.kind.name(), step.time.as_secs_f64());
            writeln!(f, "{name:<14}{time:>8.1} s  {}", step.word())?;
        }
        let (time, limit) = (self.time.as_secs_f64(), steps::ALL.as_secs());
        writeln!(f, "{:<14}{time:>8.1} s  of {limit} s", "all")?;

        for step in &self.steps {
            let name = step.kind.name();
            match &step.ended {
                Ended::Passed | Ended::Skipped => {}
                Ended::Failed(line) => {
                    writeln!(f, "\n{name} failed. To run it again:\n    {line}")?
                }
                Ended::Faulted(faults) => {
                    writeln!(f, "\n{name} failed:")?;
                    faults.iter().try_for_each(|one| writeln!(f, "    {one}"))?;
                }
            }
        }
        for overrun in self.steps.iter().flat_map(|step| &step.overruns) {
            writeln!(f, "\nslow: {overrun}")?;
        }
        if self.is_too_slow() {
            writeln!(f, "\nThe run was too slow. The slowest ten:")?;
            for (name, time) in &self.slowest {
                writeln!(f, "{:>8.1} s  {name}", time.as_secs_f64())?;
            }
        }

        let (passed, failed) = self.count();
        writeln!(f, "\n{passed} passed, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Binary;

    fn report(kind: Kind, seconds: u64, ended: Ended) -> Report {
        Report {
            kind,
            time: Duration::from_secs(seconds),
            ended,
            overruns: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn tested(passed: usize, failed: usize) -> Tally {
        let mut tally = Tally::default();
        (0..passed).for_each(|_| tally.check(true));
        (0..failed).for_each(|_| tally.check(false));
        tally
    }

    #[test]
    fn the_last_line_counts_all_tests() {
        let mut run = Run::default();
        for (kind, passed) in [
            (Kind::Tests, 40),
            (Kind::DocTests, 2),
            (Kind::SelfChecks, 1),
        ] {
            let mut step = report(kind, 1, Ended::Passed);
            step.tally = tested(passed, 0);
            run.steps.push(step);
        }

        assert!(run.is_green());
        assert_eq!(run.to_string().lines().last(), Some("43 passed, 0 failed"));
    }

    #[test]
    fn a_failed_step_names_its_command_and_counts() {
        let line = Line::new("cargo fmt --all --check");
        let mut run = Run::default();
        run.steps.push(report(Kind::Fmt, 1, Ended::Failed(line)));

        assert!(!run.is_green());
        let text = run.to_string();
        assert!(text.contains("fmt failed. To run it again:\n    cargo fmt --all --check\n"));
        assert!(text.ends_with("\n0 passed, 1 failed\n"));
    }

    #[test]
    fn what_is_slow_is_said_and_fails_nothing() {
        let mut step = report(Kind::Tests, 40, Ended::Passed);
        step.overruns.push("hedge ran for 31.0 s".to_owned());
        let run = Run {
            steps: vec![step],
            ..Run::default()
        };

        assert!(run.is_green());
        let text = run.to_string();
        assert!(text.ends_with("\nslow: hedge ran for 31.0 s\n\n0 passed, 0 failed\n"));
    }

    #[test]
    fn a_failed_test_is_counted_once() {
        let mut step = report(Kind::Tests, 1, Ended::Failed(Line::new("cargo test")));
        step.tally = tested(5, 2);
        let run = Run {
            steps: vec![step],
            ..Run::default()
        };

        assert_eq!(run.count(), (5, 2));
    }

    #[test]
    fn a_run_past_its_limit_fails_and_names_the_slowest() {
        let mut run = Run {
            time: steps::ALL + Duration::from_secs(1),
            slowest: vec![("compile syn".to_owned(), Duration::from_secs(9))],
            ..Run::default()
        };
        run.steps.push(report(Kind::Fmt, 1, Ended::Passed));

        assert!(!run.is_green());
        assert!(
            run.to_string()
                .contains("slowest ten:\n     9.0 s  compile syn\n")
        );
        assert_eq!(run.count(), (0, 1));
    }

    #[test]
    fn the_pieces_of_a_run_count_nothing_twice() {
        let seconds = Duration::from_secs;
        let mut tests = report(Kind::Tests, 20, Ended::Passed);
        tests.tally.binaries = vec![Binary {
            name: "breaker".to_owned(),
            tests: 9,
            time: seconds(15),
        }];
        let run = Run {
            steps: vec![report(Kind::Build, 50, Ended::Passed), tests],
            ..Run::default()
        };

        let pieces = run.pieces(vec![("compile syn".to_owned(), seconds(9))]);

        let expected = [("tests (step)", 5), ("breaker", 15), ("compile syn", 9)];
        assert_eq!(
            pieces,
            expected.map(|(name, time)| (name.to_owned(), seconds(time)))
        );
    }
}
