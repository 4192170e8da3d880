//! The rows of the benches, and what a call of each may cost.

use std::error::Error;
use std::path::Path;

use crate::line::Line;

/// A row, as `watertight-benches --list` says it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) is_success: bool,
    pub(crate) name: String,
    pub(crate) limits: Option<Limits>,
}

/// The most that a call may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) allocations: u64,
    pub(crate) locked: u64,
    pub(crate) clock: u64,
}

impl Row {
    /// Asks the binaries in `folder` for their rows.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Self>, Box<dyn Error>> {
        let list = Line::program(&folder.join("watertight-benches")).arg("--list");
        let (_, rows) = list.output()?;
        let rows = rows.lines().map(|row| Self::parse(row).ok_or(row));
        Ok(rows
            .collect::<Result<_, _>>()
            .map_err(|row| format!("`{list}` said: {row}"))?)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split('\t');
        let path = words.next()?;
        let name = words.next()?.to_owned();
        let limits: Option<Vec<u64>> = words.map(|word| word.parse().ok()).collect();
        let limits = match limits?[..] {
            [] => None,
            [allocations, locked, clock] => Some(Limits {
                allocations,
                locked,
                clock,
            }),
            _ => return None,
        };
        Some(Self {
            is_success: path == "success",
            name,
            limits,
        })
    }
}

/// What a call allocates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Allocated {
    pub(crate) allocations: f64,
    pub(crate) bytes: f64,
}

impl Allocated {
    /// Asks the binaries in `folder` what a call of each row allocates, by the row's name.
    pub(crate) fn all(folder: &Path) -> Result<Vec<(String, Self)>, Box<dyn Error>> {
        let line = Line::program(&folder.join("allocations"));
        let (_, rows) = line.output()?;
        let rows = rows.lines().map(|row| Self::parse(row).ok_or(row));
        Ok(rows
            .collect::<Result<_, _>>()
            .map_err(|row| format!("`{line}` said: {row}"))?)
    }

    fn parse(line: &str) -> Option<(String, Self)> {
        let mut words = line.split('\t');
        let name = words.next()?.to_owned();
        let allocated = Self {
            allocations: words.next()?.parse().ok()?,
            bytes: words.next()?.parse().ok()?,
        };
        Some((name, allocated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rows_with_limits_and_without() {
        let row = Row::parse("success\tour breaker\t0\t4\t1").unwrap();
        assert_eq!(row.name, "our breaker");
        assert!(row.is_success);
        let limits = row.limits.unwrap();
        assert_eq!((limits.allocations, limits.locked, limits.clock), (0, 4, 1));

        let row = Row::parse("refusal\ttheir breaker, open").unwrap();
        assert!(!row.is_success);
        assert_eq!(row.limits, None);
    }

    #[test]
    fn a_line_that_is_no_row_is_none() {
        assert_eq!(Row::parse(""), None);
        assert_eq!(Row::parse("success\tour breaker\t0"), None);
        assert_eq!(Allocated::parse("our breaker\tnone\t0"), None);
    }
}
