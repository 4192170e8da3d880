//! Prints what our layers and their peers cost.

mod report;

use std::error::Error;

use clap::Parser;
use report::{Figures, Report, ReportOfWorkers};
use subjects::{Family, Path, Row, Stalls, Threads, Turns, rows, runtime, scaling};

/// Prints what our layers and their peers cost.
#[derive(Debug, Parser)]
struct Args {
    /// Measure the rows alone whose name contains this, and those that they are compared with.
    filter: Option<String>,
    /// How often each row has its turn.
    #[arg(long, default_value_t = 300)]
    rounds: usize,
    /// How many good slices of one and of two threads to wait for.
    #[arg(long, default_value_t = 21)]
    slices: usize,
    /// Measure how two workers of one runtime scale, and nothing else.
    #[arg(long)]
    workers: bool,
    /// Measure how long single checks of new keys take, and nothing else.
    #[arg(long, conflicts_with = "workers")]
    stalls: bool,
    /// List the rows, with tabs between: path, name, and the most allocations, locked instructions
    /// and clock reads that a call may cost.
    #[arg(long)]
    list: bool,
    /// Run this row alone and measure nothing, for a profiler.
    #[arg(long, requires = "calls")]
    row: Option<String>,
    /// How many calls that row makes.
    #[arg(long, requires = "row")]
    calls: Option<u64>,
    /// Its inner service is pending once.
    #[arg(long, requires = "row")]
    pending: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if args.list {
        list();
    } else if let (Some(name), Some(calls)) = (&args.row, args.calls) {
        let row =
            rows::find(name).ok_or_else(|| format!("there is no row `{name}`: see --list"))?;
        let mut subject = if args.pending {
            row.pending()
        } else {
            row.ready()
        };
        runtime().block_on(subject.run(calls));
    } else if args.stalls {
        measure_stalls();
    } else if args.workers {
        measure_workers(&args);
    } else {
        measure(&args);
    }
    Ok(())
}

fn list() {
    for row in rows::families().iter().flat_map(|family| &family.rows) {
        let path = match row.path() {
            Path::Success => "success",
            Path::Refusal => "refusal",
        };
        let limits = row.limits().map_or_else(String::new, |limits| {
            format!(
                "\t{}\t{}\t{}",
                limits.allocations, limits.locked, limits.clock
            )
        });
        println!("{path}\t{}{limits}", row.name());
    }
}

/// Returns the families with the rows that are asked for.
fn families(args: &Args) -> Vec<Family> {
    let mut families = rows::families();
    if let Some(filter) = &args.filter {
        families.iter_mut().for_each(|family| family.keep(filter));
    }
    families
}

fn measure(args: &Args) {
    let families = families(args);
    let rows: Vec<_> = families.iter().flat_map(|family| &family.rows).collect();

    eprintln!("{} rounds of {} rows ..", args.rounds, rows.len());
    let mut turns = Turns::of(rows.iter().copied());
    for round in 0..args.rounds {
        turns.round(round);
    }
    eprintln!("two threads ..");
    let scalings = rows.iter().map(|row| match row.path() {
        Path::Success => scaling(&*row.ready(), Threads::Apart, args.slices),
        Path::Refusal => None,
    });

    let mut figures = turns
        .rows()
        .zip(scalings)
        .map(|([ready, pending], scaling)| Figures {
            ready,
            pending,
            scaling,
        });
    let mut report = Report::new();
    for family in &families {
        let figures: Vec<_> = figures.by_ref().take(family.rows.len()).collect();
        report.add(family, &figures);
    }
    print!("{report}");
}

fn measure_stalls() {
    println!("| checks of new keys, microseconds | first | p99.99 | worst |");
    println!("|----------------------------------|------:|-------:|------:|");
    for stalls in Stalls::of_all() {
        let micros =
            [stalls.first, stalls.p99_99, stalls.worst].map(|time| time.as_secs_f64() * 1e6);
        let [first, p99_99, worst] = micros;
        println!(
            "| {} | {first:.1} | {p99_99:.1} | {worst:.1} |",
            stalls.name
        );
    }
}

fn measure_workers(args: &Args) {
    let families = families(args);
    let rows = families.iter().flat_map(|family| &family.rows);
    let mut report = ReportOfWorkers::new();
    for row in rows.filter(|row| row.path() == Path::Success) {
        let [ready, pending] = [Row::ready, Row::pending]
            .map(|subject| scaling(&*subject(row), Threads::Workers, args.slices));
        report.add(row, ready, pending);
    }
    print!("{report}");
}
