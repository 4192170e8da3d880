//! Which instructions a program executes, and how often.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::{env, fs, process};

use crate::line::Line;

/// What `valgrind --tool=callgrind` has seen of a run.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    /// How often the instruction at each address was executed, by the path of its object. The
    /// addresses are those in the file, wherever it was loaded.
    pub(crate) executed: HashMap<String, HashMap<u64, u64>>,
    pub(crate) clock_reads: u64,
}

impl Profile {
    /// Runs `program` under callgrind.
    pub(crate) fn of(program: &Path, args: &[&str]) -> Result<Self, Box<dyn Error>> {
        let file = format!("watertight-callgrind-{}", process::id());
        let file = env::temp_dir().join(file);
        let line = Line::new("valgrind --tool=callgrind --dump-instr=yes")
            .args(["--compress-strings=no", "--compress-pos=no"])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(program.to_string_lossy())
            .args(args.iter().copied());
        let (status, _) = line.output()?;
        if !status.success() {
            return Err(format!("`{line}` failed: {status}").into());
        }

        let profile = Self::parse(&fs::read_to_string(&file)?);
        fs::remove_file(&file)?;
        profile.ok_or_else(|| format!("`{line}` wrote another format than we know").into())
    }

    /// Returns how many instructions were executed.
    pub(crate) fn instructions(&self) -> u64 {
        self.executed.values().flat_map(HashMap::values).sum()
    }

    /// Reads callgrind's format, with whole names and addresses.
    fn parse(text: &str) -> Option<Self> {
        let mut profile = Self::default();
        let mut object = "";
        let mut callee = "";
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(path) = line.strip_prefix("ob=") {
                object = path;
            } else if let Some(name) = line.strip_prefix("cfn=") {
                callee = name;
            } else if let Some(call) = line.strip_prefix("calls=") {
                if callee.starts_with("clock_gettime") {
                    profile.clock_reads += call.split(' ').next()?.parse::<u64>().ok()?;
                }
                // The next line is the cost of the callee, which its own lines say as well.
                lines.next();
            } else if let Some(cost) = line.strip_prefix("0x") {
                let mut words = cost.split(' ');
                let address = u64::from_str_radix(words.next()?, 16).ok()?;
                let count: u64 = words.nth(1)?.parse().ok()?;
                if !profile.executed.contains_key(object) {
                    profile.executed.insert(object.to_owned(), HashMap::new());
                }
                let executed = profile.executed.get_mut(object)?;
                *executed.entry(address).or_default() += count;
            }
        }
        Some(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
positions: instr line
events: Ir
summary: 175

ob=/bin/program
fl=main.rs
fn=main
0x1000 7 2
0x1004 7 3
cob=/lib/libc.so
cfi=???
cfn=clock_gettime@@GLIBC_2.17
calls=5 0x2000 0
0x1008 8 150
0x1008 8 5

ob=/lib/libc.so
fl=???
fn=clock_gettime@@GLIBC_2.17
0x2000 0 165
";

    #[test]
    fn counts_what_each_address_executes_itself() {
        let profile = Profile::parse(FILE).unwrap();

        assert_eq!(profile.executed["/bin/program"][&0x1004], 3);
        assert_eq!(profile.executed["/bin/program"][&0x1008], 5);
        assert_eq!(profile.executed["/lib/libc.so"][&0x2000], 165);
        assert_eq!(profile.instructions(), 175);
    }

    #[test]
    fn counts_the_reads_of_the_clock() {
        assert_eq!(Profile::parse(FILE).unwrap().clock_reads, 5);
    }
}
