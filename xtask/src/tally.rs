//! What test binaries say of themselves, as cargo and libtest print it.

use std::ops::AddAssign;
use std::time::Duration;

/// The tests that ran.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) binaries: Vec<Binary>,
    /// The binary whose output comes now.
    running: String,
}

/// A test binary that ran to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Binary {
    pub(crate) name: String,
    /// How many tests it ran.
    pub(crate) tests: u64,
    pub(crate) time: Duration,
}

impl Tally {
    /// Takes a line of what `cargo test` writes.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(name) = binary(line) {
            self.running = name;
        } else if let Some((passed, failed, time)) = result(line) {
            self.passed += passed;
            self.failed += failed;
            self.binaries.push(Binary {
                name: self.running.clone(),
                tests: passed + failed,
                time,
            });
        }
    }

    /// Counts one check that is no libtest test.
    pub(crate) fn check(&mut self, passed: bool) {
        self.passed += u64::from(passed);
        self.failed += u64::from(!passed);
    }

    /// Returns how long the binaries ran in all.
    pub(crate) fn time(&self) -> Duration {
        self.binaries.iter().map(|binary| binary.time).sum()
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.binaries.extend_from_slice(&other.binaries);
    }
}

/// Reads `Running tests/breaker.rs (target/debug/deps/breaker-0123456789abcdef)` and
/// `Doc-tests watertight_core`.
fn binary(line: &str) -> Option<String> {
    let line = line.trim();
    if line.starts_with("Doc-tests ") {
        return Some(line.to_owned());
    }
    let (source, path) = line
        .strip_prefix("Running ")?
        .strip_suffix(')')?
        .rsplit_once(" (")?;
    let file = path.rsplit(['/', '\\']).next()?;
    let (name, _hash) = file.rsplit_once('-')?;
    Some(format!("{name} ({source})"))
}

/// Reads `test result: ok. 3 passed; 0 failed; .. finished in 0.05s`.
fn result(line: &str) -> Option<(u64, u64, Duration)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |of: &str| {
        let part = counts.split("; ").find_map(|part| part.strip_suffix(of));
        part?.parse().ok()
    };
    let seconds = counts.split_once("finished in ")?.1.strip_suffix('s')?;
    let time = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
    Some((count(" passed")?, count(" failed")?, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_cargo_test_prints() {
        let output = "
   Compiling watertight-core v0.1.0
     Running unittests src/lib.rs (target/debug/deps/watertight_core-8b2c0e1d2f3a4b5c)
test context::tests::is_gone_after_a_panic ... ok
test result: ok. 61 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.25s
     Running tests/breaker.rs (/elsewhere/debug/deps/breaker-8b2c0e1d2f3a4b5c)
test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 31.00s
   Doc-tests watertight_core
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s
";
        let mut tally = Tally::default();

        output.lines().for_each(|line| tally.read(line));

        assert_eq!((tally.passed, tally.failed), (68, 1));
        let binaries = tally.binaries.iter();
        assert_eq!(
            binaries
                .map(|binary| (&*binary.name, binary.tests))
                .collect::<Vec<_>>(),
            [
                ("watertight_core (unittests src/lib.rs)", 61),
                ("breaker (tests/breaker.rs)", 4),
                ("Doc-tests watertight_core", 4),
            ]
        );
        assert_eq!(tally.time(), Duration::from_millis(32_750));
    }

    #[test]
    fn what_a_test_prints_itself_is_no_result() {
        let mut tally = Tally::default();

        tally.read("the test result: ok. 9 passed; 0 failed; finished in 1s");
        tally.read("test result: ok. some passed; 0 failed; finished in 1s");
        tally.read("Running away (from it)");

        assert_eq!(tally, Tally::default());
    }
}
