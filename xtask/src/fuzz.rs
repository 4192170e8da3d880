//! `cargo xtask fuzz`: looks for headers that break what reads them.

use std::fs;

use crate::Verdict;
use crate::line::Line;

const VERSION: &str = "0.13.2";

/// The targets, in `fuzz/fuzz_targets`.
const TARGETS: [&str; 1] = ["headers"];

/// Fuzzes each target for `seconds`, from the messages in `fuzz/corpus`. Those that are found on
/// the way stay in the target folder: what is worth keeping is copied by hand, and then is a plain
/// test as well.
pub(crate) fn run(seconds: u32) -> Verdict {
    install()?;
    let mut is_well = true;
    for target in TARGETS {
        let found = format!("target/fuzz/corpus/{target}");
        fs::create_dir_all(&found)?;
        let line = line(target, &found, seconds);
        println!("{line}");
        is_well &= line.run()?.success();
    }
    Ok(is_well)
}

/// The compiler that is there serves, which takes the flags of the sanitizers if it is told that
/// this is meant.
fn line(target: &str, found: &str, seconds: u32) -> Line {
    let corpus = format!("fuzz/corpus/{target}");
    Line::new("cargo fuzz run --target-dir target/fuzz")
        .args([target, found, corpus.as_str(), "--"])
        .arg(format!("-max_total_time={seconds}"))
        .var("RUSTC_BOOTSTRAP", "1")
}

fn install() -> Result<(), Box<dyn std::error::Error>> {
    if is_installed()? {
        return Ok(());
    }
    let install = Line::new("cargo install --locked cargo-fuzz --version").arg(VERSION);
    println!("cargo-fuzz is missing: {install}");
    if install.run()?.success() && is_installed()? {
        return Ok(());
    }
    Err(format!("cargo-fuzz is missing, and could not be installed; install it: {install}").into())
}

fn is_installed() -> std::io::Result<bool> {
    let (status, _) = Line::new("cargo fuzz --version").output()?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_target_has_a_file_and_a_corpus() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        for target in TARGETS {
            let file = fuzz.join(format!("fuzz_targets/{target}.rs"));
            let corpus = fuzz.join(format!("corpus/{target}"));
            assert!(file.is_file() && corpus.is_dir(), "{target}");
        }
    }
}
