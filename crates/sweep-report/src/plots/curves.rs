//! A quantity over epochs: a thick line for each combination of labels, and thin lines for its seeds.

use super::chart::{Chart, ChartAxis, ChartKind, ChartMark, ChartSeries, names, value_text};
use super::hidden::{Hidden, shows};
use super::over_axis::legend;
use super::palette::{Look, series};
use super::panel::{Layout, Legend, Panel};
use super::picture::Point;
use super::scale::Scale;
use super::seeds::{Completeness, Seeds};
use super::{Drawn, Source, axis_label, bounds, rounding};
use crate::declaration::CurvesPlot;
use crate::group::{Group, Grouping};
use crate::samples::{Curve, Curves};
use crate::style::PlotStyle;
use crate::unit::Unit;

pub(super) const CAPTION: &str =
    "Thick lines are means over the seeds that succeeded, thin lines are single seeds, including failed ones.";

/// Maximum number of epochs for which each epoch has a dot.
const MOST_DOTS: u32 = 12;
/// Maximum number of values for which the curves are also kept as data. A page with more would be slow; it shows the
/// picture.
const MOST_POINTS: usize = 20_000;

pub(super) fn picture(source: &Source<'_>, plot: &CurvesPlot, title: &str) -> Option<Drawn> {
    let groups = Grouping { axes: &plot.series, only: &plot.only }.groups(source.plan);
    let (names, curves): (Vec<String>, Vec<Curves>) =
        groups.iter().filter_map(|group| named_curves(source, plot, group)).unzip();
    let points = || curves.iter().flat_map(|curve| curve.seeds.iter().chain([&curve.mean])).flatten();
    let last = points().map(|(epoch, _)| *epoch).max()?;
    let style = &plot.style;
    let marks = || points().map(|(epoch, value)| (f64::from(*epoch), *value));
    // The caption says which seeds the means include; the legend says how many.
    let (completeness, hidden) = (Completeness::Complete, Hidden::of(style, seeds_of(&curves)));
    let values: Vec<f64> = marks().filter(|mark| style.x.shows(mark.0)).map(|(_, value)| value).collect();
    if !marks().any(|mark| shows(style, mark)) {
        return Some(Drawn { picture: None, chart: None, completeness, hidden });
    }
    let legend = legend(&plot.series, &names);
    let chart = (points().count() <= MOST_POINTS).then(|| chart(plot, &curves, &legend));
    let mut panel = Panel::new(Layout {
        title,
        x_label: "epoch",
        y_label: &axis_label(&plot.y),
        x: Scale::counted(last, &style.x),
        y: Scale::around(&values, bounds(&plot.y), &style.y),
        legend,
        style,
    });
    for (i, curve) in curves.iter().enumerate() {
        // If only one seed succeeded, its curve is the mean.
        for seed in curve.seeds.iter().filter(|seed| **seed != curve.mean) {
            draw(&mut panel, seed, style, (series(i).ink.pale().into(), 0.75));
        }
    }
    for (i, curve) in curves.iter().enumerate() {
        let look = series(i);
        let points = draw(&mut panel, &curve.mean, style, (look, 2.0));
        if last <= MOST_DOTS {
            points.into_iter().for_each(|point| panel.dot(point, look, 3.0));
        }
    }
    Some(Drawn { picture: Some(panel.picture), chart, completeness, hidden })
}

/// Returns the curves as data.
fn chart(plot: &CurvesPlot, curves: &[Curves], legend: &Legend) -> Chart {
    let rounding = rounding(&plot.y, curves.iter().flat_map(|curve| &curve.mean).map(|(_, value)| *value));
    let mark = |curve: &Curves, (epoch, value): &(u32, f64)| ChartMark {
        x: f64::from(*epoch),
        y: *value,
        ends: None,
        text: value_text(rounding, (*value, None), Seeds { measured: curve.succeeded, planned: curve.planned }),
        hollow: false,
        pale: false,
    };
    let of_seed = |seed: &Curve| seed.iter().map(|(epoch, value)| (f64::from(*epoch), *value)).collect();
    let series = curves.iter().zip(names(legend)).map(|(curve, name)| ChartSeries {
        name,
        marks: curve.mean.iter().map(|point| mark(curve, point)).collect(),
        seeds: curve.seeds.iter().filter(|seed| **seed != curve.mean).map(of_seed).collect(),
    });
    Chart {
        kind: ChartKind::Curves,
        x: ChartAxis::of("epoch", plot.style.x),
        y: ChartAxis::of(axis_label(&plot.y), plot.style.y),
        legend: legend.heading.clone(),
        series: series.collect(),
    }
}

/// Returns epoch and value of all points of single seeds. The means are made of them.
fn seeds_of(curves: &[Curves]) -> impl Iterator<Item = (f64, f64)> {
    curves.iter().flat_map(|curve| curve.seeds.iter().flatten()).map(|(epoch, value)| (f64::from(*epoch), *value))
}

/// Draws a curve, and returns the places of its values that the axes show.
fn draw(panel: &mut Panel, curve: &[(u32, f64)], style: &PlotStyle, (look, width): (Look, f64)) -> Vec<Point> {
    let marks = || curve.iter().map(|(epoch, value)| (f64::from(*epoch), *value));
    let placed = marks().filter(|(_, value)| style.y.has_place(*value));
    let points: Vec<Point> = placed.map(|(epoch, value)| panel.at(epoch, value)).collect();
    panel.curve(&points, look, width);
    marks().filter(|mark| shows(style, *mark)).map(|(epoch, value)| panel.at(epoch, value)).collect()
}

/// Returns the curves of a group with the name of their series. The name tells how many seeds the mean is based on, if
/// some are missing.
fn named_curves(source: &Source<'_>, plot: &CurvesPlot, group: &Group<'_>) -> Option<(String, Curves)> {
    let curves = Curves::of(source.measured, group, &plot.y)?;
    let seeds = Seeds { measured: curves.succeeded, planned: curves.planned };
    Some((group.name() + &seeds.suffix(), curves.scaled(Unit::of(plot.y.metric))))
}
