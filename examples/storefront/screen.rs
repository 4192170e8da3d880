//! A line a second. Colours are for terminals: `anstream` leaves them out elsewhere.

use std::fmt::Write;
use std::time::Duration;

use anstream::println;
use anstyle::{AnsiColor, Style};
use tokio::time::sleep_until;
use watertight::metrics::{InstanceSnapshot, Registry, Snapshot};

use crate::args::Side;
use crate::incident::Incident;
use crate::stats::{Stats, Tally};
use crate::upstream::{Upstream, Upstreams};

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const WORSE: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// The longest state of a breaker that nobody forces.
const STATE_WIDTH: usize = "half_open".len();

#[derive(Debug)]
pub(crate) struct Screen<'a> {
    pub(crate) side: Side,
    pub(crate) incident: Incident,
    pub(crate) stats: &'a Stats,
    pub(crate) upstreams: &'a Upstreams,
    pub(crate) registry: &'a Registry,
}

impl Screen<'_> {
    /// Prints a line for each second of the incident.
    pub(crate) async fn watch(&self) {
        self.print_head();
        for second in 1..=self.incident.length.as_secs() {
            let end = Duration::from_secs(second);
            sleep_until(self.incident.start + end).await;
            let title = self.incident.title(end - Duration::from_millis(1));
            self.print_second(second, title, &self.stats.take_second());
        }
    }

    fn print_head(&self) {
        let what = match self.side {
            Side::Bare => "timeouts alone",
            Side::Protected => "watertight around each client",
        };
        println!("\n{BOLD}{}{BOLD:#}: {what}", self.side.name());
        let mut head = format!(
            "{:>4}  {:<22} {:>7} {:>5} {:>8} {:>6} {:>6} {:>6}",
            "s", "incident", "offered", "good", "degraded", "failed", "p50 ms", "p99 ms"
        );
        if self.side == Side::Protected {
            for upstream in self.upstreams.all() {
                let _ = write!(
                    head,
                    "  {:<width$}",
                    upstream.name(),
                    width = width(upstream)
                );
            }
        }
        println!("{BOLD}{head}{BOLD:#}");
    }

    fn print_second(&self, second: u64, title: &str, tally: &Tally) {
        let good = tally.good;
        let degraded = coloured(tally.degraded, 8, WORSE);
        let failed = coloured(tally.failed, 6, BAD);
        let (p50, p99) = (millis(tally.latency(0.5)), millis(tally.latency(0.99)));
        let offered = tally.offered;
        let states = self.states(&self.registry.snapshot());
        println!(
            "{second:>4}  {title:<22} {offered:>7} {good:>5} {degraded} {failed} {p50:>6} {p99:>6}{states}"
        );
    }

    fn states(&self, layers: &Snapshot) -> String {
        let mut states = String::new();
        for upstream in self.upstreams.all() {
            let Some(state) = breaker_state(layers, upstream.name()) else {
                continue;
            };
            let colour = match state {
                "closed" => GOOD,
                "open" => BAD,
                _ => WORSE,
            };
            let _ = write!(
                states,
                "  {colour}{state:<width$}{colour:#}",
                width = width(upstream)
            );
        }
        states
    }
}

/// Returns how wide the column of an upstream is.
fn width(upstream: &Upstream) -> usize {
    STATE_WIDTH.max(upstream.name().len())
}

/// Returns the state of the breaker that is called `name`.
pub(crate) fn breaker_state(layers: &Snapshot, name: &str) -> Option<&'static str> {
    let breaker = breakers(layers, name).next()?;
    Some(breaker.state.as_ref()?.current)
}

/// Returns the breakers that are called `name`.
pub(crate) fn breakers<'a>(
    layers: &'a Snapshot,
    name: &'a str,
) -> impl Iterator<Item = &'a InstanceSnapshot> {
    let instances = layers.instances.iter();
    instances.filter(move |layer| layer.kind == "breaker" && layer.name.as_str() == name)
}

fn millis(latency: Option<Duration>) -> String {
    latency.map_or_else(|| "-".to_owned(), |latency| latency.as_millis().to_string())
}

fn coloured(count: u64, width: usize, colour: Style) -> String {
    if count == 0 {
        format!("{count:>width$}")
    } else {
        format!("{colour}{count:>width$}{colour:#}")
    }
}
