//! What holds of our rows whatever the machine: no times here, only counts.

use subjects::{Row, rows, runtime};

const CALLS: u64 = 256;

/// Returns what one call of `row` allocates, by the difference of two runs.
fn allocations(row: &Row) -> f64 {
    let mut subject = row.ready();
    let mut count = |calls| {
        let runtime = runtime();
        allocation_counter::measure(|| runtime.block_on(subject.run(calls))).count_total
    };
    count(CALLS);

    let (few, many) = (count(CALLS), count(2 * CALLS));
    (many - few) as f64 / CALLS as f64
}

#[test]
fn no_call_allocates_more_than_its_row_says() {
    for row in rows::families().iter().flat_map(|family| &family.rows) {
        if let Some(limits) = row.limits() {
            let allocations = allocations(row);
            assert!(
                allocations <= limits.allocations as f64,
                "a call of `{}` makes {allocations} allocations, and should make {}",
                row.name(),
                limits.allocations,
            );
        }
    }
}
