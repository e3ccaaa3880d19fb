//! Declared plots as pictures, and heat maps. Each kind arranges shapes; only `picture.rs` and `pdf.rs` encode them.

mod bars;
mod chart;
mod clip;
mod colour_map;
pub(crate) mod confusion;
mod curves;
mod heat_map;
mod hidden;
mod letters;
mod line;
mod over_axis;
mod palette;
mod panel;
mod pdf;
mod picture;
mod placement;
mod scale;
mod scatter;
mod seeds;

use std::collections::BTreeMap;

use sweep_protocol::{ExperimentRows, PlanRecord};

use crate::declaration::{Declaration, PlotDeclaration, Quantity};
use crate::measured::Measured;
use crate::unit::{Rounding, Unit, form_in_words, with_unit, words, words_without_form};
use crate::validation;
pub use chart::{Chart, ChartAxis, ChartKind, ChartMark, ChartSeries};
pub use heat_map::{HeatMaps, HeatPanel};
use hidden::Hidden;
pub(crate) use picture::Picture;
use seeds::Completeness;

/// A plot of a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plot {
    pub(crate) id: String,
    pub(crate) title: String,
    /// How to read the plot, in a few sentences; or why there is no picture.
    pub(crate) caption: String,
    /// The picture; `None` if nothing has been measured that its axes show.
    pub(crate) picture: Option<Picture>,
    /// What the picture shows; `None` if there is none.
    pub(crate) chart: Option<Chart>,
}

/// What a plot kind made of its measurements.
struct Drawn {
    /// The picture; `None` if the axes show none of the values.
    picture: Option<Picture>,
    chart: Option<Chart>,
    completeness: Completeness,
    hidden: Hidden,
}

/// The inputs of plots.
#[derive(Clone, Copy)]
struct Source<'a> {
    plan: &'a PlanRecord,
    measured: &'a Measured<'a>,
}

/// Arranges every declared plot.
pub(crate) fn of(rows: &ExperimentRows, measured: &Measured<'_>, declaration: &Declaration) -> Vec<Plot> {
    let source = Source { plan: &rows.plan, measured };
    let declaration = validation::fitted(declaration, rows);
    declaration.plots.iter().map(|plot| source.plot(plot)).collect()
}

impl Source<'_> {
    fn plot(&self, plot: &PlotDeclaration) -> Plot {
        let title = title(plot);
        // A generated title would only repeat the axis labels, so the picture shows only a declared title.
        let heading = declared_title(plot).unwrap_or_default();
        let (drawn, how_to_read): (Option<Drawn>, &str) = match plot {
            PlotDeclaration::Line(plot) => (line::picture(self, plot, heading), line::CAPTION),
            PlotDeclaration::Bars(plot) => (bars::picture(self, plot, heading), bars::CAPTION),
            PlotDeclaration::Scatter(plot) => (scatter::picture(self, plot, heading), scatter::CAPTION),
            PlotDeclaration::Curves(plot) => (curves::picture(self, plot, heading), curves::CAPTION),
        };
        let caption = match &drawn {
            None => "There is no data to plot yet.".to_owned(),
            Some(Drawn { picture: None, hidden, .. }) => format!("No value can be shown.{}", hidden.caption()),
            Some(drawn) => format!("{how_to_read}{}{}", drawn.completeness.caption(), drawn.hidden.caption()),
        };
        let (picture, chart) = drawn.map(|drawn| (drawn.picture, drawn.chart)).unwrap_or_default();
        Plot { id: plot.id().to_owned(), title, caption, picture, chart }
    }
}

fn title(plot: &PlotDeclaration) -> String {
    let with_form = |quantity: &Quantity, text: String| match quantity.form {
        Some(form) => format!("{text} ({})", form_in_words(form)),
        None => text,
    };
    let by = |y: &Quantity, x: &str| with_form(y, format!("{} by {x}", words_without_form(y)));
    let (made, only) = match plot {
        PlotDeclaration::Line(plot) | PlotDeclaration::Bars(plot) => (by(&plot.y, &plot.axis), &plot.only),
        PlotDeclaration::Scatter(plot) if plot.x.form == plot.y.form => {
            let text = format!("{} against {}", words_without_form(&plot.y), words_without_form(&plot.x));
            (with_form(&plot.y, text), &plot.only)
        }
        PlotDeclaration::Scatter(plot) => (format!("{} against {}", words(&plot.y), words(&plot.x)), &plot.only),
        PlotDeclaration::Curves(plot) => (by(&plot.y, "epoch"), &plot.only),
    };
    declared_title(plot).map_or_else(|| capitalized(&format!("{made}{}", slice(only))), str::to_owned)
}

/// Returns the heading that the author gave a plot.
fn declared_title(plot: &PlotDeclaration) -> Option<&str> {
    match plot {
        PlotDeclaration::Line(plot) | PlotDeclaration::Bars(plot) => plot.title.as_deref(),
        PlotDeclaration::Scatter(plot) => plot.title.as_deref(),
        PlotDeclaration::Curves(plot) => plot.title.as_deref(),
    }
}

/// Describes the runs of a plot if it does not show all of them: ` (reduction = 4)`.
fn slice(only: &BTreeMap<String, String>) -> String {
    let places: Vec<String> = only.iter().map(|(axis, label)| format!("{axis} = {label}")).collect();
    if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) }
}

/// Begins a text with a capital letter. A first word that contains a capital, such as mIoU, stays as it is.
fn capitalized(text: &str) -> String {
    if text.split(' ').next().is_some_and(|word| word.chars().any(char::is_uppercase)) {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Returns the label of an axis that shows a quantity.
fn axis_label(quantity: &Quantity) -> String {
    with_unit(&words(quantity), &Unit::of(quantity.metric).symbol)
}

/// Returns how the values of a quantity are rounded together; the means are in the shown unit.
fn rounding(quantity: &Quantity, means: impl Iterator<Item = f64>) -> Rounding {
    let unit = Unit::of(quantity.metric);
    Rounding::of(quantity.metric, means.map(|mean| unit.stored(mean)))
}

/// Returns the limits that a quantity cannot exceed, in the shown unit.
fn bounds(quantity: &Quantity) -> (f64, f64) {
    if quantity.metric.unit() == "fraction" { (0.0, 100.0) } else { (f64::NEG_INFINITY, f64::INFINITY) }
}

#[cfg(test)]
mod tests {
    use super::capitalized;

    #[test]
    fn a_title_begins_with_a_capital_unless_a_term_has_its_own_spelling() {
        assert_eq!(capitalized("test accuracy by epoch"), "Test accuracy by epoch");
        assert_eq!(capitalized("FLOPs by groups"), "FLOPs by groups");
        assert_eq!(capitalized("mIoU by epoch"), "mIoU by epoch");
    }
}
