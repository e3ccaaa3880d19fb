//! Claims: sentences about results, with a rule that was written down before the runs, and a verdict.
//!
//! ```text
//! ClaimDeclaration + rows -> parts (estimate, bounds) -> outcomes -> Verdict
//! PaperStatement + printed tables -> stated and computed numbers -> whether they agree
//! ```
//!
//! This module knows no claim by name. It does not know models: the program hands in what their networks count.

mod declared;
mod estimate;
mod faults;
mod judged;
mod parts;
mod registry;
mod rule_text;
mod statements;
mod values;
mod verdict;

pub use declared::{
    AsPrintedRule, BoundedRule, ClaimDeclaration, Direction, EquivalenceRule, MonotoneRule, OrderRule, PaperScale,
    RowLabels, Rule, Test, ValueRule,
};
pub(crate) use faults::faults;
pub use judged::{Basis, Judged, JudgedPart, Outcome, Registration, Verdict};
pub(crate) use registry::withdrawn;
pub use registry::{Knowledge, Scope, register};
pub use statements::{Check, CheckedStatement, Compute, PaperStatements, Statement};

use sweep_protocol::{ExperimentRows, Metric};

use crate::declaration::{ColumnDeclaration, Declaration, Quantity};
use crate::measured::Measured;
use crate::unit::is_count;
use crate::{PaperNumbers, ReportError, fit};
use values::{Origin, Source};
use verdict::{Decision, Reach, Terms};

/// The profile that a claim is about if it names none.
const USUAL_PROFILE: &str = "default";

/// Judges every claim of a report, in declared order.
///
/// # Errors
/// When the declaration names something that the experiment or the paper does not have.
pub fn judge(
    rows: &ExperimentRows,
    declaration: &Declaration,
    paper: &PaperNumbers,
) -> Result<Vec<Judged>, ReportError> {
    fit::check_rows(declaration, rows, paper)?;
    Ok(of_measured(rows, &Measured::new(rows), declaration, paper))
}

/// Judges every claim of a declaration that fits, from rows that are indexed already.
pub(crate) fn of_measured(
    rows: &ExperimentRows,
    measured: &Measured<'_>,
    declaration: &Declaration,
    paper: &PaperNumbers,
) -> Vec<Judged> {
    let source = Source { plan: &rows.plan, measured, declaration, paper };
    declaration.claims.iter().map(|claim| Judge { rows, source, claim }.judge()).collect()
}

impl ClaimDeclaration {
    /// Returns the profile that the claim is about.
    pub(crate) fn about<'a>(&'a self, paper: Option<&'a PaperScale>) -> &'a str {
        match (&self.source, paper) {
            (Some(_), Some(paper)) => &paper.profile,
            _ => self.profile.as_deref().unwrap_or(USUAL_PROFILE),
        }
    }
}

/// One claim with what it is judged by.
struct Judge<'a> {
    rows: &'a ExperimentRows,
    source: Source<'a>,
    claim: &'a ClaimDeclaration,
}

impl Judge<'_> {
    fn judge(&self) -> Judged {
        let claim = self.claim;
        let (parts, basis) = self.parts();
        let reach = if basis == Basis::RunsElsewhere { Reach::Direction } else { Reach::Claim };
        let is_pruned = basis != Basis::Counts && !self.source.measured.is_comparable();
        let decision = if is_pruned {
            let reason = "runs were pruned, so the means of the others are too good".to_owned();
            Decision { verdict: Verdict::Inconclusive, reason, seeds_needed: None, parts: Vec::new() }
        } else {
            verdict::decide(parts, Terms { level: claim.level, planned_n: claim.planned_n, reach })
        };
        let Source { plan, declaration, paper, .. } = self.source;
        let scope = Scope { declaration, plan, paper };
        let registration = registry::registration(self.rows, scope, claim);
        let Decision { verdict, reason, seeds_needed, parts } = decision;
        Judged {
            id: claim.id.clone(),
            text: claim.text.clone(),
            source: claim.source.clone(),
            rule: rule_text::rule_text(claim, scope),
            verdict,
            reason,
            seeds_needed,
            registration,
            basis,
            level: claim.level,
            parts,
            notes: self.notes(basis),
        }
    }

    /// Returns the parts of the claim, from the best values that there are: those of its own scale, or counts of the
    /// paper's networks, or those of another scale.
    fn parts(&self) -> (Vec<parts::Part>, Basis) {
        let of_runs = parts::of(self.claim, self.source, Origin::Runs);
        let is_complete = |parts: &[parts::Part]| !parts.is_empty() && parts.iter().all(|part| part.estimate.is_ok());
        if self.is_own_scale() && is_complete(&of_runs) {
            return (of_runs, Basis::Runs);
        }
        if self.claim.source.is_some() && self.quantity().is_some_and(|of| is_count(of.metric)) {
            let of_counts = parts::of(self.claim, self.source, Origin::Counts);
            if is_complete(&of_counts) {
                return (of_counts, Basis::Counts);
            }
        }
        (of_runs, if self.is_own_scale() { Basis::Runs } else { Basis::RunsElsewhere })
    }

    /// Whether the runs have the scale that the claim is about. Throughput depends on the machine too, so that of the
    /// paper is never at its scale.
    fn is_own_scale(&self) -> bool {
        let about = self.claim.about(self.source.declaration.paper.as_ref());
        let is_of_machine = self.claim.source.is_some() && self.is_throughput();
        self.source.plan.profile == about && !is_of_machine
    }

    fn is_throughput(&self) -> bool {
        self.quantity().is_some_and(|of| of.metric == Metric::Throughput)
    }

    fn quantity(&self) -> Option<Quantity> {
        let Rule::AsPrinted(rule) = &self.claim.rule else { return self.claim.rule.quantity().copied() };
        let table = self.source.declaration.tables.iter().find(|table| table.id == rule.table)?;
        let mut columns = table.columns.iter();
        columns.find(|column| column.reference.as_ref() == Some(&rule.column)).map(ColumnDeclaration::quantity)
    }

    fn notes(&self, basis: Basis) -> Vec<String> {
        let mut notes = Vec::new();
        let plan = self.source.plan;
        if basis == Basis::RunsElsewhere {
            let here = plan.scale.as_ref().map(|scale| format!(" ({scale})")).unwrap_or_default();
            let about = match (&self.claim.source, &self.source.declaration.paper) {
                (Some(_), Some(paper)) => format!("The paper's scale: {} (profile {}).", paper.setting, paper.profile),
                _ => format!("Own claims are about the profile {}.", self.claim.about(None)),
            };
            notes.push(format!("{about} These runs: profile {}{here}.", plan.profile));
        }
        if self.is_throughput()
            && let Some(record) = self.source.measured.throughput()
        {
            let processor = record.machine.processor.as_deref().unwrap_or(&record.machine.device);
            notes.push(match self.claim.source {
                Some(_) => format!("Speeds of the paper: the direction, on this machine ({processor})."),
                None => format!("Own claims about throughput hold on this machine ({processor})."),
            });
        }
        notes
    }
}
