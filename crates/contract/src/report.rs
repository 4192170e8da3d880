use std::fmt;

use crate::Rule;

/// What a run of the [`Contract`](crate::Contract) came to. Its `Display` is what
/// [`check`](crate::Contract::check) panics with.
#[derive(Clone, Debug)]
pub struct Report {
    layer: &'static str,
    findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(layer: &'static str, findings: Vec<Finding>) -> Self {
        Self { layer, findings }
    }

    /// Returns what was found about each rule, in the order of [`Rule::ALL`].
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Tells whether the layer keeps the contract: no rule is broken, and no exception is idle.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.at_fault().next().is_none()
    }

    /// Returns the rules that are broken.
    pub fn broken(&self) -> impl Iterator<Item = Rule> + '_ {
        self.findings
            .iter()
            .filter(|finding| matches!(finding.verdict, Verdict::Broken { .. }))
            .map(|finding| finding.rule)
    }

    /// Returns the rules that are excepted, but kept all the same.
    pub fn idle_exceptions(&self) -> impl Iterator<Item = Rule> + '_ {
        self.findings
            .iter()
            .filter(|finding| matches!(finding.verdict, Verdict::IdleException { .. }))
            .map(|finding| finding.rule)
    }

    fn at_fault(&self) -> impl Iterator<Item = &Finding> + '_ {
        self.findings.iter().filter(|finding| {
            matches!(
                finding.verdict,
                Verdict::Broken { .. } | Verdict::IdleException { .. }
            )
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.at_fault().count();
        if faults == 0 {
            return write!(f, "{} keeps the contract", self.layer);
        }
        write!(
            f,
            "{} does not keep the contract: {faults} of {} rules",
            self.layer,
            Rule::ALL.len()
        )?;
        for finding in self.at_fault() {
            write!(f, "\n\n{finding}")?;
        }
        Ok(())
    }
}

/// What was found about one rule.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What was found.
    pub verdict: Verdict,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, verdict } = self;
        match verdict {
            Verdict::Kept => write!(f, "{rule:?}: kept"),
            Verdict::Broken { seen } => {
                write!(f, "{rule:?}\n    rule: {}\n    seen: {seen}", rule.says())
            }
            Verdict::Excepted { why } => write!(f, "{rule:?}: excepted, because {why}"),
            Verdict::IdleException { why } => write!(
                f,
                "{rule:?}\n    rule: {}\n    seen: the rule is kept, so take its exception away ({why})",
                rule.says()
            ),
            Verdict::Unjudged => write!(f, "{rule:?}: not judged, as the layer does not serve"),
        }
    }
}

/// What the suite says of a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The layer keeps it.
    Kept,
    /// The layer breaks it.
    Broken {
        /// What the layer did.
        seen: String,
    },
    /// The layer breaks it, as its author has said.
    Excepted {
        /// The author's reason.
        why: String,
    },
    /// The layer keeps it, though its author has said that it does not.
    IdleException {
        /// The author's reason.
        why: String,
    },
    /// [`Rule::Serves`] is broken, and without it nothing can be seen.
    Unjudged,
}
