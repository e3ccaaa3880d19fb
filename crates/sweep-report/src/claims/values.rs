//! The values that a claim is judged by: measured ones of a row, or counts of the network in the linked row of the
//! paper.
//!
//! This module knows rows and tables. It does not know rules.

use std::collections::BTreeMap;

use sweep_protocol::{Form, Metric, PlanRecord};

use super::declared::RowLabels;
use super::estimate::{Estimate, NoEstimate};
use crate::declaration::{Declaration, Quantity, TableDeclaration};
use crate::group::{Group, Grouping};
use crate::measured::Measured;
use crate::missing::why_missing;
use crate::paper::PaperTable;
use crate::samples::Sample;
use crate::unit::is_count;
use crate::{PaperNumbers, PaperRow};

/// Everything that values come from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) plan: &'a PlanRecord,
    pub(crate) measured: &'a Measured<'a>,
    pub(crate) declaration: &'a Declaration,
    pub(crate) paper: &'a PaperNumbers,
}

/// Where the values of a claim come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The runs of the plan.
    Runs,
    /// Counts of the networks in the paper's rows. They need no runs.
    Counts,
}

/// The values of a row in one quantity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// A count.
    Count(f64),
    /// Measured values.
    Sample(Sample),
    /// The reason why there are none.
    Missing(String),
}

impl Values {
    /// The values of a single row as an estimate, or the reason why there is none.
    pub(crate) fn estimate(&self) -> Result<Estimate, NoEstimate> {
        match self {
            Self::Count(count) => Ok(Estimate::Exact(*count)),
            Self::Sample(sample) => Estimate::of_mean(&sample.values).ok_or_else(NoEstimate::nothing),
            Self::Missing(why) => Err(NoEstimate::Missing(why.clone())),
        }
    }
}

/// Joins the labels of a row into one name, in the order of the plan's axes.
pub(crate) fn name_of(row: &RowLabels, plan: &PlanRecord) -> String {
    let place = |axis: &String| plan.axes.iter().position(|known| known.name == *axis);
    let mut labels: Vec<(&String, &String)> = row.iter().collect();
    labels.sort_by_key(|(axis, _)| place(axis));
    labels.into_iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>().join("/")
}

/// Names a comparison of two rows: `8 ÷ 2`.
pub(crate) fn name_of_pair([row, baseline]: [&RowLabels; 2], sign: char, plan: &PlanRecord) -> String {
    format!("{} {sign} {}", name_of(row, plan), name_of(baseline, plan))
}

impl<'a> Source<'a> {
    /// Returns the values of a row.
    pub(crate) fn values(&self, row: &RowLabels, quantity: &Quantity, origin: Origin) -> Values {
        match origin {
            Origin::Runs => self.of_runs(row, quantity),
            Origin::Counts => {
                self.count(row, quantity).map_or_else(|| Values::Missing("not counted".to_owned()), Values::Count)
            }
        }
    }

    fn of_runs(&self, row: &RowLabels, quantity: &Quantity) -> Values {
        let axes: Vec<String> = row.keys().cloned().collect();
        let groups = Grouping { axes: &axes, only: row }.groups(self.plan);
        let Some(group) = groups.first() else { return Values::Missing("not in this profile".to_owned()) };
        self.of_group(group, quantity)
    }

    fn of_group(&self, group: &Group<'_>, quantity: &Quantity) -> Values {
        if group.excluded.is_some() {
            return Values::Missing("excluded".to_owned());
        }
        let sample = Sample::of(self.measured, group, quantity);
        let Some(first) = sample.values.values().next().copied() else {
            return Values::Missing(why_missing(group, self.measured, quantity));
        };
        let is_constant = sample.values.values().all(|value| value.total_cmp(&first).is_eq());
        if is_count(quantity.metric) && is_constant { Values::Count(first) } else { Values::Sample(sample) }
    }

    /// Returns the count of the network in the paper's row that a table links with this row.
    fn count(&self, row: &RowLabels, quantity: &Quantity) -> Option<f64> {
        let linked = self
            .declaration
            .tables
            .iter()
            .filter(|table| table.rows.len() == row.len() && table.rows.iter().all(|axis| row.contains_key(axis)));
        linked.into_iter().find_map(|table| {
            let labels: Vec<&str> = table.rows.iter().filter_map(|axis| row.get(axis)).map(String::as_str).collect();
            let (printed, id) = (self.printed(table)?, table.paper.as_ref()?.rows.get(&labels.join("/"))?);
            self.count_of(printed.rows.iter().find(|row| row.id == *id)?, quantity)
        })
    }

    /// Returns the count of the network in a row of the paper, if the row is of this form.
    pub(crate) fn count_of(&self, row: &PaperRow, quantity: &Quantity) -> Option<f64> {
        let counts = self.paper.counts.get(&row.id)?;
        let is_asked = quantity.form == Some(row.form.unwrap_or(Form::Deployed));
        match quantity.metric {
            Metric::Params if is_asked => Some(counts.params),
            Metric::Flops if is_asked => Some(counts.flops),
            _ => None,
        }
    }

    /// Returns the table of the paper that a table is linked with.
    pub(crate) fn printed(&self, table: &TableDeclaration) -> Option<&'a PaperTable> {
        self.paper.tables.get(&table.paper.as_ref()?.file)
    }

    /// Returns the rows of a table by their joined labels, with their values.
    pub(crate) fn of_table(&self, table: &TableDeclaration, quantity: &Quantity) -> BTreeMap<String, Values> {
        let groups = Grouping { axes: &table.rows, only: &table.only }.groups(self.plan);
        groups.iter().map(|group| (group.name(), self.of_group(group, quantity))).collect()
    }
}
