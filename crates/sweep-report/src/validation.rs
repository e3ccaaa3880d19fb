//! Validation images, which only some profiles set aside: what a declaration asks of them, as the runs can answer it.
//!
//! Choices are made on Validation, so reports show it. A profile that follows a paper's recipe may train on all images and have none.

use std::borrow::Cow;

use sweep_protocol::{ExperimentRows, Metric, Split};

use crate::declaration::{Declaration, PlotDeclaration};

/// Said below a table that lacks declared columns.
pub(crate) const LEFT_OUT: &str =
    "No run set images aside for Validation: the declared columns of Validation are left out.";

/// The declaration without columns of Validation, and with curves of training images in place of those of Validation, where runs have
/// measured and none of them on Validation.
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
            // A declared title may say what is no longer shown.
            plot.title = None;
        }
    }
    Cow::Owned(fitted)
}
