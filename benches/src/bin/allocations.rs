//! Prints the heap allocations and bytes of a call of each row, with tabs between.
//!
//! A binary of its own, since an allocator that counts must not be in what is timed.

use subjects::{Subject, rows, runtime};

const CALLS: u64 = 1024;

fn main() {
    for row in rows::families().iter().flat_map(|family| &family.rows) {
        let mut subject = row.ready();
        // What the first calls allocate to keep, such as a thread's place in an epoch, is no
        // call's cost.
        count(&mut *subject, CALLS);
        let (few, many) = (count(&mut *subject, CALLS), count(&mut *subject, 2 * CALLS));
        println!(
            "{}\t{}\t{}",
            row.name(),
            (many.0 - few.0) / CALLS as f64,
            (many.1 - few.1) / CALLS as f64
        );
    }
}

/// Returns the allocations and bytes of `calls` calls.
fn count(subject: &mut dyn Subject, calls: u64) -> (f64, f64) {
    let runtime = runtime();
    let info = allocation_counter::measure(|| runtime.block_on(subject.run(calls)));
    (info.count_total as f64, info.bytes_total as f64)
}
