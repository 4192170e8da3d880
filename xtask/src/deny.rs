//! `cargo xtask deny`: the licences, sources and bans of `deny.toml`.

use crate::Verdict;
use crate::line::Line;

const VERSION: &str = "0.20.2";

/// Checks all but the advisories, whose database is fetched from a git host that a build machine
/// may not reach.
pub(crate) fn run() -> Verdict {
    if !is_installed()? {
        let install = Line::new("cargo install --locked cargo-deny --version").arg(VERSION);
        println!("cargo-deny {VERSION} is missing: {install}");
        if !install.run()?.success() || !is_installed()? {
            return Err(format!("cargo-deny {VERSION} could not be installed").into());
        }
    }
    let check = Line::new("cargo deny --all-features check bans licenses sources");
    Ok(check.run()?.success())
}

fn is_installed() -> std::io::Result<bool> {
    let (status, version) = Line::new("cargo deny --version").output()?;
    Ok(status.success() && version.trim() == format!("cargo-deny {VERSION}"))
}
