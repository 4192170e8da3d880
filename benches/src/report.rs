//! The tables of what was measured.

use std::fmt;

use subjects::{Family, Path, Quartiles, Row, Scaling, Table, Turn};

/// What was measured of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures<'a> {
    pub(crate) ready: &'a Turn,
    pub(crate) pending: &'a Turn,
    pub(crate) scaling: Option<Scaling>,
}

/// A table of the calls that succeed, and one of the refusals.
#[derive(Debug)]
pub(crate) struct Report {
    success: Table,
    refusal: Table,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            success: Table::new([
                "success",
                "over ns",
                "quartiles",
                "× peer",
                "pend over",
                "1 thread M/s",
                "2 threads M/s",
                "scaling",
                "good",
            ]),
            refusal: Table::new(["refusal", "ns", "quartiles", "× peer"]),
        }
    }

    /// Adds the rows of `family`, which have these `figures`.
    pub(crate) fn add(&mut self, family: &Family, figures: &[Figures<'_>]) {
        for (row, figures_of_row) in family.rows.iter().zip(figures) {
            let peer = family.reference(row.path()).map(|index| figures[index]);
            match row.path() {
                Path::Success => self.success(row, figures_of_row, peer),
                Path::Refusal => self.refusal(row, figures_of_row, peer),
            }
        }
    }

    fn success(&mut self, row: &Row, figures: &Figures<'_>, peer: Option<Figures<'_>>) {
        let over = figures.ready.over();
        let cells = [
            row.name().to_owned(),
            median(over),
            range(over),
            times(over, peer.and_then(|peer| peer.ready.over())),
            median(figures.pending.over()),
        ];
        let cells = cells.into_iter().chain(scaled(figures.scaling));
        self.success.row(cells);
    }

    fn refusal(&mut self, row: &Row, figures: &Figures<'_>, peer: Option<Figures<'_>>) {
        let whole = figures.ready.whole();
        self.refusal.row([
            row.name().to_owned(),
            median(whole),
            range(whole),
            times(whole, peer.and_then(|peer| peer.ready.whole())),
        ]);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\n{}\n\
             `over` is nanoseconds a call over the bare service, `pend over` the same where the \
             inner service is pending once.\n\
             `good` counts the slices of 2 ms in which all threads ran all the time. A busy machine \
             may leave none.\n\
             \n{}\n\
             The whole call. What it allocates is in the counts.\n",
            self.success, self.refusal
        )
    }
}

/// A table of the calls that two workers of one runtime make.
#[derive(Debug)]
pub(crate) struct ReportOfWorkers(Table);

impl ReportOfWorkers {
    pub(crate) fn new() -> Self {
        Self(Table::new([
            "workers of one runtime",
            "1 worker M/s",
            "2 workers M/s",
            "scaling",
            "good",
            "pend 1 M/s",
            "pend 2 M/s",
            "scaling",
            "good",
        ]))
    }

    /// Adds `row`, with what was measured where it is ready at once and where it is pending once.
    pub(crate) fn add(&mut self, row: &Row, ready: Option<Scaling>, pending: Option<Scaling>) {
        let cells = scaled(ready).into_iter().chain(scaled(pending));
        self.0.row([row.name().to_owned()].into_iter().chain(cells));
    }
}

impl fmt::Display for ReportOfWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\n{}\n`pend` is where the inner service is pending once.\n",
            self.0
        )
    }
}

fn scaled(scaling: Option<Scaling>) -> [String; 4] {
    [
        cell(scaling.map(|it| format!("{:.1}", it.one / 1e6))),
        cell(scaling.map(|it| format!("{:.1}", it.two / 1e6))),
        cell(scaling.map(|it| format!("{:.2}", it.ratio()))),
        cell(scaling.map(|it| it.good.to_string())),
    ]
}

fn median(quartiles: Option<Quartiles>) -> String {
    cell(quartiles.map(|quartiles| format!("{:.1}", quartiles.median)))
}

fn range(quartiles: Option<Quartiles>) -> String {
    cell(quartiles.map(|quartiles| format!("{:.1} to {:.1}", quartiles.low, quartiles.high)))
}

fn times(quartiles: Option<Quartiles>, peer: Option<Quartiles>) -> String {
    let ratio = quartiles.zip(peer);
    cell(ratio.map(|(ours, peer)| format!("{:.2}", ours.median / peer.median)))
}

fn cell(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
