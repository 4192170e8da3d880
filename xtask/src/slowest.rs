//! Where the time went, for a run that took too long.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// A piece of work, such as a step, a test binary or a crate to compile, and how long it took.
pub(crate) type Piece = (String, Duration);

/// Returns the ten slowest of `pieces`, slowest first.
pub(crate) fn ten(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.sort_by(|(_, one), (_, other)| other.cmp(one));
    pieces.truncate(10);
    pieces
}

/// Returns the compile units of the last `cargo --timings` into the target folder `target`. None
/// where there is no report of the form that we know: cargo promises none.
pub(crate) fn compile_units(target: &Path) -> Vec<Piece> {
    let report = target.join("cargo-timings").join("cargo-timing.html");
    fs::read_to_string(report).map_or_else(|_| Vec::new(), |html| units(&html))
}

fn units(html: &str) -> Vec<Piece> {
    let start = html.find("const UNIT_DATA = [").unwrap_or(html.len());
    let lines = html[start..].lines().take_while(|line| *line != "];");

    let mut units = Vec::new();
    let mut name = String::new();
    for line in lines {
        let Some((field, value)) = line.trim().trim_end_matches(',').split_once(": ") else {
            continue;
        };
        let text = value.replace(['"', '\\'], "");
        match field {
            r#""name""# => name = text,
            r#""target""# => name.push_str(&text),
            r#""duration""# => units.extend(
                text.parse()
                    .ok()
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                    .map(|time| (format!("compile {name}"), time)),
            ),
            _ => {}
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_units_of_a_timings_report() {
        let html = r#"
<script>
const UNIT_DATA = [
  {
    "i": 0,
    "name": "syn",
    "version": "2.0.1",
    "mode": "todo",
    "target": "",
    "start": 0.06,
    "duration": 7.5,
    "sections": null
  },
  {
    "i": 1,
    "name": "watertight-breaker",
    "target": " breaker \"test\"",
    "duration": 0.25
  }
];
const CONCURRENCY_DATA = [
    "duration": 9.0
"#;

        assert_eq!(
            units(html),
            [
                ("compile syn".to_owned(), Duration::from_millis(7_500)),
                (
                    "compile watertight-breaker breaker test".to_owned(),
                    Duration::from_millis(250)
                ),
            ]
        );
        assert_eq!(units("<html>"), []);
    }

    #[test]
    fn names_ten_slowest_first() {
        let pieces = (0..12).map(|n| (n.to_string(), Duration::from_secs(n)));

        let slowest = ten(pieces.collect());

        assert_eq!(slowest.len(), 10);
        assert_eq!((&*slowest[0].0, &*slowest[9].0), ("11", "2"));
    }
}
