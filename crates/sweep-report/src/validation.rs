//! Adapts a declaration to runs without Validation images.
//!
//! Choices are made on Validation, so reports show it. But a profile that follows a paper's recipe may train on all
//! images and have no Validation.

use std::borrow::Cow;

use sweep_protocol::{ExperimentRows, Metric, Split};

use crate::declaration::{Declaration, PlotDeclaration};

/// Note below a table whose Validation columns are left out.
pub(crate) const LEFT_OUT: &str = "No run has a validation split, so the declared columns of Validation are left out.";

/// Returns the declaration without columns of Validation. Curves of Validation show training images instead. If no run
/// has any measurement, or some run has measured Validation, the declaration is unchanged.
pub(crate) fn fitted<'a>(declaration: &'a Declaration, rows: &ExperimentRows) -> Cow<'a, Declaration> {
    let is_measured = |metric: Option<Metric>, split: Split| {
        let is_it = |m: &sweep_protocol::Measurement| m.split == Some(split) && metric.is_none_or(|it| it == m.metric);
        rows.measurements.iter().any(|row| is_it(&row.measurement))
    };
    if rows.measurements.is_empty() || is_measured(None, Split::Validation) {
        return Cow::Borrowed(declaration);
    }
    let mut fitted = declaration.clone();
    for table in &mut fitted.tables {
        table.columns.retain(|column| column.split != Some(Split::Validation));
    }
    for plot in &mut fitted.plots {
        if let PlotDeclaration::Curves(plot) = plot
            && plot.y.split == Some(Split::Validation)
            && is_measured(Some(plot.y.metric), Split::Train)
        {
            plot.y.split = Some(Split::Train);
            // A declared title may describe images that are no longer shown.
            plot.title = None;
        }
    }
    Cow::Owned(fitted)
}
