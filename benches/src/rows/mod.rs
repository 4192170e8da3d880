//! The rows, a file for each family.

mod breaker;
mod bulkhead;
mod core;
mod floor;
mod hedge;
mod isolate;
mod lease;
mod obey;
mod ratelimit;
mod retry;
mod timeout;

use crate::{Family, Row};

/// Returns all families, in the order of the table.
#[must_use]
pub fn families() -> Vec<Family> {
    vec![
        floor::family(),
        core::family(),
        breaker::family(),
        retry::family(),
        hedge::family(),
        timeout::family(),
        bulkhead::family(),
        isolate::family(),
        ratelimit::token_buckets(),
        ratelimit::by_key(),
        ratelimit::windows(),
        ratelimit::over_http(),
        lease::family(),
        obey::family(),
    ]
}

/// Returns the row of the bare service, with which all others are compared.
#[must_use]
pub fn bare() -> Row {
    Row::success("bare", tower::layer::util::Identity::new)
}

/// Returns the row of this name.
#[must_use]
pub fn find(name: &str) -> Option<Row> {
    let mut rows = families().into_iter().flat_map(|family| family.rows);
    rows.find(|row| row.name() == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{Path, runtime};

    #[test]
    fn no_two_rows_have_one_name() {
        let mut names = HashSet::new();

        for row in families().iter().flat_map(|family| &family.rows) {
            assert!(names.insert(row.name()), "`{}` twice", row.name());
        }
    }

    #[test]
    fn every_row_goes_its_path() {
        for row in families().iter().flat_map(|family| &family.rows) {
            runtime().block_on(row.ready().run(300));
            if row.path() == Path::Success {
                runtime().block_on(row.pending().twin().run(300));
            }
        }
    }
}
