//! What a command needs of the machine, and how to get it.
//!
//! A linker is not asked for: without one there would be no xtask.

use std::error::Error;
use std::sync::Once;

use crate::line::Line;

/// Makes sure that `cargo` has `subcommand`, which rustup's `component` brings.
pub(crate) fn component(subcommand: &str, component: &str) -> Result<(), Box<dyn Error>> {
    let present = || succeeds(&Line::new("cargo").args([subcommand, "--version"]));
    if present() {
        return Ok(());
    }

    let install = Line::new("rustup component add").arg(component);
    println!("{component} is missing: {install}");
    if install.run().is_ok_and(|status| status.success()) && present() {
        return Ok(());
    }
    Err(format!("{component} is missing; install it: {install}").into())
}

/// Makes sure that `program` is there, which the Debian `package` brings. Installs it where that
/// can be done without asking: as root, with apt.
pub(crate) fn program(program: &str, package: &str) -> Result<(), Box<dyn Error>> {
    let present = || succeeds(&Line::new(program).arg("--version"));
    if present() {
        return Ok(());
    }

    let install = Line::new("apt-get install --yes").arg(package);
    if is_root() && succeeds(&Line::new("apt-get --version")) {
        println!("{program} is missing: {install}");
        refresh_packages();
        let install = install.clone().var("DEBIAN_FRONTEND", "noninteractive");
        if install.run()?.success() && present() {
            return Ok(());
        }
    }
    Err(format!("{program} is missing; install it, on Debian as root: {install}").into())
}

/// Fetches the lists of packages, once. Where that fails, the lists that are there may still do.
fn refresh_packages() {
    static REFRESHED: Once = Once::new();
    REFRESHED.call_once(|| {
        let _ = Line::new("apt-get update").run();
    });
}

fn is_root() -> bool {
    let id = Line::new("id -u").output();
    id.is_ok_and(|(_, uid)| uid.trim() == "0")
}

fn succeeds(line: &Line) -> bool {
    line.output().is_ok_and(|(status, _)| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed() {
        component("fmt", "no-such-component").unwrap();
        program("rustc", "no-such-package").unwrap();
    }
}
