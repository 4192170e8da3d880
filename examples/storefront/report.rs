//! The two sides beside each other, for people and for programs.

use std::time::Duration;

use anstream::println;
use serde::Serialize;
use watertight::BoxError;

use crate::args::Side;
use crate::screen::BOLD;
use crate::stage::Outcome;

/// What the outcomes come to. A side that did not run is `None`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    bare: Option<Figures>,
    protected: Option<Figures>,
}

/// What the outcome of one side comes to.
#[derive(Debug, Serialize)]
struct Figures {
    /// The share of pages that came in time, degraded ones as well.
    served: f64,
    /// The share of pages that came in time and lacked something.
    degraded: f64,
    /// Over all pages. A visitor who left without one counts with the time that he waited.
    p99_ms: u64,
    /// The calls that the shop sent while their upstream could not answer them.
    calls_to_dead: u64,
    /// From the end of the last fault to the first normal second, if there was one.
    recovery_s: Option<f64>,
    /// Over the pages of those who came while the inventory stalled.
    stall_p99_ms: u64,
    /// Over the pages that need nothing that hangs or is slow, of those who came in that time: the
    /// share that came in time.
    hang_served: f64,
    hang_p99_ms: u64,
    /// Over the pages of those who came while one client asked for far more than its share.
    abuse_served: f64,
    abuse_p99_ms: u64,
    /// What that client asked for, what it was given, and how often it was told that it asks for too
    /// much.
    abuser_asked: u64,
    abuser_served: u64,
    abuser_refused: u64,
    /// The most calls to one upstream that were in flight while it hung or was slow.
    most_stuck: u64,
    /// The shares of the calls to the inventory while it stalled, and to reviews while it failed,
    /// that came to nothing.
    lost_to_stalls: f64,
    lost_to_errors: f64,
    retries: u64,
    hedges: u64,
    hedges_won: u64,
    /// How many retries and hedges there were for each call of the shop.
    extra_calls: f64,
}

/// A title, and what stands in the column of a side.
type Row = (&'static str, fn(&Figures) -> String);

const ROWS: [Row; 18] = [
    ("pages served in time", |it| percent(it.served)),
    ("  some of their parts missing", |it| percent(it.degraded)),
    ("p99", |it| format!("{} ms", it.p99_ms)),
    ("  while the inventory stalls", |it| {
        format!("{} ms", it.stall_p99_ms)
    }),
    ("while upstreams hang: other pages served", |it| {
        percent(it.hang_served)
    }),
    ("  p99 of those pages", |it| {
        format!("{} ms", it.hang_p99_ms)
    }),
    ("  most calls in flight to one of them", |it| {
        it.most_stuck.to_string()
    }),
    ("while one client abuses: others served", |it| {
        percent(it.abuse_served)
    }),
    ("  p99 of their pages", |it| {
        format!("{} ms", it.abuse_p99_ms)
    }),
    ("  pages for the abuser", |it| {
        format!("{}/{}", it.abuser_served, it.abuser_asked)
    }),
    ("  how often it was refused", |it| {
        it.abuser_refused.to_string()
    }),
    ("calls lost while the inventory stalls", |it| {
        percent(it.lost_to_stalls)
    }),
    ("calls lost while reviews fails", |it| {
        percent(it.lost_to_errors)
    }),
    ("calls sent to dead upstreams", |it| {
        it.calls_to_dead.to_string()
    }),
    ("from recovery to normal", |it| seconds(it.recovery_s)),
    ("retries made", |it| it.retries.to_string()),
    ("hedges sent, and won", |it| {
        format!("{}, {}", it.hedges, it.hedges_won)
    }),
    ("extra calls by retries and hedges", |it| {
        percent(it.extra_calls)
    }),
];

impl Report {
    pub(crate) fn new(outcomes: &[Outcome]) -> Self {
        let figures = |side| {
            let outcome = outcomes.iter().find(|outcome| outcome.side == side)?;
            Some(Figures::new(outcome))
        };
        Self {
            bare: figures(Side::Bare),
            protected: figures(Side::Protected),
        }
    }

    /// Prints the sides that ran beside each other.
    pub(crate) fn print_table(&self) {
        let sides = [(Side::Bare, &self.bare), (Side::Protected, &self.protected)];
        let sides: Vec<_> = sides
            .into_iter()
            .filter_map(|(side, figures)| Some((side, figures.as_ref()?)))
            .collect();
        let row = |title: &str, cell: &dyn Fn(Side, &Figures) -> String| {
            let cells = sides
                .iter()
                .map(|(side, figures)| format!("{:>12}", cell(*side, figures)));
            format!("{title:<42}{}", cells.collect::<String>())
        };

        let head = row("", &|side, _| side.name().to_owned());
        println!("\n{BOLD}{head}{BOLD:#}");
        for (title, cell) in ROWS {
            println!("{}", row(title, &|_, figures| cell(figures)));
        }
    }

    /// Prints one line of JSON.
    pub(crate) fn print_json(&self) -> Result<(), BoxError> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

impl Figures {
    fn new(outcome: &Outcome) -> Self {
        let tally = &outcome.totals.tally;
        Self {
            served: rounded(tally.served(), 10_000.0),
            degraded: rounded(tally.degraded(), 10_000.0),
            p99_ms: millis(tally.latency(0.99)),
            calls_to_dead: outcome.dead_calls,
            recovery_s: outcome
                .recovery
                .map(|time| rounded(time.as_secs_f64(), 10.0)),
            stall_p99_ms: millis(outcome.totals.in_stall.latency(0.99)),
            hang_served: rounded(outcome.totals.in_hang.served(), 10_000.0),
            hang_p99_ms: millis(outcome.totals.in_hang.latency(0.99)),
            abuse_served: rounded(outcome.totals.in_abuse.served(), 10_000.0),
            abuse_p99_ms: millis(outcome.totals.in_abuse.latency(0.99)),
            abuser_asked: outcome.abuser.asked,
            abuser_served: outcome.abuser.served,
            abuser_refused: outcome.abuser.refused,
            most_stuck: outcome.most_stuck,
            lost_to_stalls: rounded(outcome.lost_to_stalls, 10_000.0),
            lost_to_errors: rounded(outcome.lost_to_errors, 10_000.0),
            retries: outcome.extra.retries,
            hedges: outcome.extra.hedges,
            hedges_won: outcome.extra.hedges_won,
            extra_calls: rounded(outcome.extra.share(), 10_000.0),
        }
    }
}

fn millis(latency: Option<Duration>) -> u64 {
    let millis = latency.unwrap_or_default().as_millis();
    millis.try_into().unwrap_or(u64::MAX)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn seconds(time: Option<f64>) -> String {
    time.map_or_else(|| "not seen".to_owned(), |time| format!("{time:.1} s"))
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_keys_that_programs_read() {
        let report = Report {
            bare: Some(Figures {
                served: 0.41,
                degraded: 0.0,
                p99_ms: 10_000,
                calls_to_dead: 5_400,
                recovery_s: Some(7.2),
                stall_p99_ms: 520,
                hang_served: 0.3,
                hang_p99_ms: 9_000,
                abuse_served: 0.8,
                abuse_p99_ms: 2_400,
                abuser_asked: 7_200,
                abuser_served: 7_100,
                abuser_refused: 0,
                most_stuck: 32,
                lost_to_stalls: 0.03,
                lost_to_errors: 0.3,
                retries: 0,
                hedges: 0,
                hedges_won: 0,
                extra_calls: 0.0,
            }),
            protected: None,
        };

        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            concat!(
                r#"{"bare":{"served":0.41,"degraded":0.0,"p99_ms":10000,"#,
                r#""calls_to_dead":5400,"recovery_s":7.2,"stall_p99_ms":520,"#,
                r#""hang_served":0.3,"hang_p99_ms":9000,"#,
                r#""abuse_served":0.8,"abuse_p99_ms":2400,"abuser_asked":7200,"#,
                r#""abuser_served":7100,"abuser_refused":0,"most_stuck":32,"#,
                r#""lost_to_stalls":0.03,"lost_to_errors":0.3,"#,
                r#""retries":0,"hedges":0,"hedges_won":0,"extra_calls":0.0},"protected":null}"#
            )
        );
    }

    #[test]
    fn a_recovery_that_was_not_seen_is_not_a_quick_one() {
        assert_eq!(seconds(None), "not seen");
        assert_eq!(seconds(Some(0.0)), "0.0 s");
    }
}
