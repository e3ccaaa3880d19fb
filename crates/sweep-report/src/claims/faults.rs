//! Checks that claims fit their experiment and the paper, before anything is run.
//!
//! A profile may leave out rows. So labels must exist only in the profile that a claim is about.

use std::collections::BTreeSet;

use sweep_protocol::{Metric, PlanRecord, check_name};

use super::declared::{BoundedRule, ClaimDeclaration, RowLabels, Rule};
use super::values::name_of;
use crate::declaration::{Declaration, TableDeclaration};
use crate::error::Fault;
use crate::fit::{grouping_faults, unmeasurable};
use crate::group::{Grouping, axis_of};
use crate::unit::is_count;

/// Highest confidence of a claim: reports show it with all its digits.
const HIGHEST_LEVEL: f64 = 0.999_999;

/// Returns all faults of the claims of a report.
pub(crate) fn faults(declaration: &Declaration, plan: &PlanRecord) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for claim in &declaration.claims {
        let place = format!("claim `{}`", claim.id);
        if let Err(reason) = check_name(&claim.id) {
            faults.push(Fault::BadId { place, reason });
            continue;
        }
        if !seen.insert(&claim.id) {
            faults.push(Fault::RepeatedId { place: place.clone() });
        }
        let checked = Checked { declaration, plan, claim, place };
        faults.extend(checked.terms());
        faults.extend(checked.rule());
    }
    faults
}

/// A claim that is checked.
struct Checked<'a> {
    declaration: &'a Declaration,
    plan: &'a PlanRecord,
    claim: &'a ClaimDeclaration,
    place: String,
}

impl Checked<'_> {
    fn fault(&self, what: &'static str) -> Fault {
        Fault::Claim { place: self.place.clone(), what }
    }

    fn terms(&self) -> Vec<Fault> {
        let claim = self.claim;
        let metric = claim.rule.quantity().map(|of| of.metric);
        // A command reports one throughput for each run; only this program times all networks in the same rounds.
        let is_timed = |metric| metric == Metric::Throughput && !self.plan.commands;
        let varies = metric.is_some_and(|metric| !is_count(metric) && !is_timed(metric))
            || matches!(&claim.rule, Rule::AsPrinted(rule) if rule.margin.is_some());
        let wrong = [
            (claim.text.trim().is_empty(), "the text is empty: say in one sentence what is claimed"),
            (
                claim.source.is_some() && self.declaration.paper.is_none(),
                "it has a `source`, but there is no `[paper]`: add it with the paper's `profile` and `setting`",
            ),
            (
                claim.source.is_some() && claim.profile.is_some(),
                "a claim of the paper is about the profile in `[paper]`: remove `profile`",
            ),
            (!(0.95..=HIGHEST_LEVEL).contains(&claim.level), "`level` must be from 0.95 to 0.999999"),
            (
                varies && claim.planned_n.is_none(),
                "its values differ by seed: say with `planned_n` how many seeds it is judged with",
            ),
            (
                claim.planned_n.is_some_and(|n| n < 2),
                "one seed says nothing about chance: `planned_n` must be at least 2",
            ),
        ];
        wrong.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, what)| self.fault(what)).collect()
    }

    fn rule(&self) -> Vec<Fault> {
        let mut faults = match &self.claim.rule {
            Rule::Order(rule) if rule.rows.len() < 2 => vec![self.fault("an order needs at least two `rows`")],
            Rule::Monotone(rule) => self.monotone(&rule.axis, &rule.only),
            Rule::Ratio(rule) | Rule::Difference(rule) => self.bounds(rule),
            Rule::Value(rule) if !rule.value.is_finite() => vec![self.fault("`value` must be a finite number")],
            Rule::Value(rule) => self.margin(rule.margin),
            Rule::Equivalence(rule) => self.margin(rule.margin),
            Rule::AsPrinted(rule) => self.as_printed(&rule.table, &rule.column, rule.margin),
            Rule::Order(_) => Vec::new(),
        };
        let rows = self.claim.rule.rows();
        if rows.iter().enumerate().any(|(i, row)| rows[..i].contains(row)) {
            faults.push(self.fault("it names a row twice"));
        }
        for row in rows {
            faults.extend(self.row(row));
        }
        if let Some(quantity) = self.claim.rule.quantity() {
            faults.extend(unmeasurable(&self.place, quantity, self.plan));
        }
        faults
    }

    /// Whether the plan is that of the profile that the claim is about.
    fn is_own_profile(&self) -> bool {
        self.plan.profile == self.claim.about(self.declaration.paper.as_ref())
    }

    fn row(&self, row: &RowLabels) -> Vec<Fault> {
        let axes: Vec<String> = row.keys().cloned().collect();
        if row.is_empty() && !self.plan.axes.is_empty() {
            return vec![self.fault("a row needs labels, as in { groups = \"8\" }")];
        }
        let unplanned = |(axis, label): (&String, &String)| {
            axis_of(self.plan, axis).is_some_and(|axis| !axis.labels.contains(label))
        };
        if !self.is_own_profile() && row.iter().any(unplanned) {
            return Vec::new();
        }
        grouping_faults(
            (&format!("{}, row {}", self.place, name_of(row, self.plan)), "row"),
            &Grouping { axes: &axes, only: row },
            self.plan,
        )
    }

    fn monotone(&self, axis: &str, only: &RowLabels) -> Vec<Fault> {
        if only.contains_key(axis) {
            return vec![self.fault("`where` picks one label of the `axis`: leave this axis out of `where`")];
        }
        let axes: Vec<String> = only.keys().cloned().chain([axis.to_owned()]).collect();
        let faults = grouping_faults((&self.place, "where"), &Grouping { axes: &axes, only }, self.plan);
        // Such a claim has no key that names further axes.
        let worded = |fault| match fault {
            Fault::Mixed { place, group, axis, .. } => Fault::MixedClaim { place, group, axis },
            other => other,
        };
        faults.into_iter().map(worded).collect()
    }

    fn bounds(&self, rule: &BoundedRule) -> Vec<Fault> {
        let is_ratio = matches!(self.claim.rule, Rule::Ratio(_));
        let bounds = [rule.at_least, rule.at_most];
        let is_crossed = rule.at_least.zip(rule.at_most).is_some_and(|(low, high)| low >= high);
        let wrong = [
            (bounds == [None, None], "a bound is missing: add `at_least` or `at_most`"),
            (is_crossed, "`at_least` must be below `at_most`"),
            (bounds.iter().flatten().any(|bound| !bound.is_finite()), "a bound must be a finite number"),
            (is_ratio && bounds.iter().flatten().any(|bound| *bound <= 0.0), "a bound of a ratio must be above 0"),
            (!is_ratio && rule.of.metric == Metric::Throughput, "throughput is compared by `kind = \"ratio\"`"),
        ];
        wrong.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, what)| self.fault(what)).collect()
    }

    fn margin(&self, margin: f64) -> Vec<Fault> {
        let is_margin = margin > 0.0 && margin.is_finite();
        if is_margin { Vec::new() } else { vec![self.fault("`margin` must be a number above 0")] }
    }

    fn as_printed(&self, table: &str, column: &str, margin: Option<f64>) -> Vec<Fault> {
        let unknown = |what, name: &str, known: Vec<String>| {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            vec![Fault::UnknownReference { place: self.place.clone(), what, name: name.to_owned(), known }]
        };
        let linked = self.declaration.tables.iter().filter(|table| table.paper.is_some());
        let Some(found) = linked.clone().find(|linked| linked.id == table) else {
            return unknown("table with [table.paper]", table, linked.map(|table| table.id.clone()).collect());
        };
        let references = |table: &TableDeclaration| {
            table.columns.iter().filter_map(|column| column.reference.clone()).collect::<Vec<String>>()
        };
        let Some(shown) = found.columns.iter().find(|shown| shown.reference.as_deref() == Some(column)) else {
            return unknown("column with the reference", column, references(found));
        };
        match margin {
            Some(margin) => self.margin(margin),
            None if is_count(shown.metric) => Vec::new(),
            None => vec![self.fault("measured numbers are never exactly the printed ones: add `margin`")],
        }
    }
}
