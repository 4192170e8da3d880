//! What repeats to the digit, however busy the machine is.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use super::callgrind::Profile;
use super::locks::Disassembly;
use super::row::{Allocated, Row};
use crate::Verdict;

/// A row is run for `CALLS` and for twice as many, and the difference is what `CALLS` cost. A power
/// of two, for what tidies up every so often. Both numbers have as many digits, since reading them
/// is counted too.
const CALLS: u64 = 16_384;

/// What fewer than one call in fifty does, such as a look at the clock for a thousand, is no call's
/// cost.
const RARE: f64 = 0.02;

/// The row that calls nothing but the inner service.
const BARE: &str = "bare";

/// Prints the counts of the rows whose name contains `filter`. Returns whether they are within the
/// limits of the rows.
pub(crate) fn print(binaries: &Path, filter: &str, has_tools: bool) -> Verdict {
    let rows = Row::all(binaries)?;
    let allocated: HashMap<_, _> = Allocated::all(binaries)?.into_iter().collect();
    let mut counter = Counter::new(binaries);
    let mut executed = |name: &str| has_tools.then(|| counter.count(name)).transpose();
    let bare = executed(BARE)?;

    let rows: Vec<_> = rows
        .iter()
        .filter(|row| row.name.contains(filter))
        .collect();
    let width = rows.iter().map(|row| row.name.chars().count()).max();
    let width = width.unwrap_or_default().max("counts".len());
    print_cells(
        width,
        "counts",
        ["instr", "locked", "clock", "allocs", "bytes"].map(Some),
    );
    println!("|-{:-<width$}-|{}", "", "---------:|".repeat(5));
    let mut excesses = Vec::new();
    for row in rows {
        let allocated = allocated.get(&row.name);
        let allocated = *allocated.ok_or_else(|| format!("`{}` was not counted", row.name))?;
        let executed = match executed(&row.name)? {
            Some(executed) if row.is_success => bare.map(|bare| executed.over(bare)),
            executed => executed,
        };
        let count = Count {
            executed,
            allocated,
        };
        print_cells(width, &row.name, count.cells().map(|cell| cell.map(short)));
        excesses.extend(count.excess(row));
    }

    println!("\nA success over the bare service, a refusal as a whole.");
    for excess in &excesses {
        println!("{excess}");
    }
    Ok(excesses.is_empty())
}

fn print_cells(width: usize, name: &str, cells: [Option<impl AsRef<str>>; 5]) {
    print!("| {name:<width$} |");
    for cell in cells {
        print!(" {:>8} |", cell.as_ref().map_or("-", AsRef::as_ref));
    }
    println!();
}

/// Returns the number with the decimals that it needs, two at most.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a call costs.
#[derive(Clone, Copy, Debug)]
struct Count {
    executed: Option<Executed>,
    allocated: Allocated,
}

impl Count {
    fn cells(&self) -> [Option<f64>; 5] {
        [
            self.executed.map(|executed| executed.instructions),
            self.executed.and_then(|executed| executed.locked),
            self.executed.map(|executed| executed.clock),
            Some(self.allocated.allocations),
            Some(self.allocated.bytes),
        ]
    }

    /// Says what exceeds the limits of `row`.
    fn excess(&self, row: &Row) -> Vec<String> {
        let Some(limits) = row.limits else {
            return Vec::new();
        };
        let [_, locked, clock, allocations, _] = self.cells();
        [
            ("locked instructions", locked, limits.locked),
            ("clock reads", clock, limits.clock),
            ("allocations", allocations, limits.allocations),
        ]
        .into_iter()
        .filter_map(|(what, count, limit)| {
            let count = count.filter(|&count| count > limit as f64 + RARE)?;
            let (name, count) = (&row.name, short(count));
            Some(format!(
                "`{name}` makes {count} {what}, and may make {limit}"
            ))
        })
        .collect()
    }
}

/// What the processor executes for a call.
#[derive(Clone, Copy, Debug)]
struct Executed {
    instructions: f64,
    /// `None` where we do not know what locks the bus.
    locked: Option<f64>,
    clock: f64,
}

impl Executed {
    fn over(self, bare: Self) -> Self {
        Self {
            instructions: self.instructions - bare.instructions,
            locked: self.locked.zip(bare.locked).map(|(own, bare)| own - bare),
            clock: self.clock - bare.clock,
        }
    }
}

struct Counter {
    program: PathBuf,
    disassembly: Disassembly,
}

impl Counter {
    fn new(binaries: &Path) -> Self {
        Self {
            program: binaries.join("watertight-benches"),
            disassembly: Disassembly::default(),
        }
    }

    fn count(&mut self, row: &str) -> Result<Executed, Box<dyn Error>> {
        let few = self.profile(row, CALLS)?;
        let many = self.profile(row, 2 * CALLS)?;
        let locked = if cfg!(target_arch = "x86_64") {
            let (few, many) = (self.locked(&few)?, self.locked(&many)?);
            Some(per_call(few, many))
        } else {
            None
        };
        Ok(Executed {
            instructions: per_call(few.instructions(), many.instructions()),
            locked,
            clock: per_call(few.clock_reads, many.clock_reads),
        })
    }

    fn profile(&self, row: &str, calls: u64) -> Result<Profile, Box<dyn Error>> {
        Profile::of(
            &self.program,
            &["--row", row, "--calls", &calls.to_string()],
        )
    }

    fn locked(&mut self, profile: &Profile) -> Result<u64, Box<dyn Error>> {
        let mut locked = 0;
        for (object, executed) in &profile.executed {
            locked += self.disassembly.locked(object, executed)?;
        }
        Ok(locked)
    }
}

fn per_call(few: u64, many: u64) -> f64 {
    (many as f64 - few as f64) / CALLS as f64
}

#[cfg(test)]
mod tests {
    use super::super::row::Limits;
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(152.0), "152");
        assert_eq!(short(4.0078125), "4.01");
        assert_eq!(short(0.5), "0.5");
        assert_eq!(short(0.0), "0");
    }

    #[test]
    fn says_what_exceeds_the_limits() {
        let row = Row {
            is_success: true,
            name: "breaker".to_owned(),
            limits: Some(Limits {
                allocations: 0,
                locked: 4,
                clock: 0,
            }),
        };
        let count = |locked| Count {
            executed: Some(Executed {
                instructions: 100.0,
                locked: Some(locked),
                clock: 0.0,
            }),
            allocated: Allocated {
                allocations: 0.0,
                bytes: 0.0,
            },
        };

        assert_eq!(count(4.0).excess(&row), Vec::<String>::new());
        assert_eq!(
            count(4.5).excess(&row),
            ["`breaker` makes 4.5 locked instructions, and may make 4"]
        );
    }
}
