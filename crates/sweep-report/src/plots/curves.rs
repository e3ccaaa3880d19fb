//! A quantity over epochs: a thick line for each combination of labels, and thin lines for its seeds.

use sweep_statistics::Summary;

use super::hidden::{Hidden, shows};
use super::over_axis::legend;
use super::palette::{Look, series};
use super::panel::{Layout, Panel};
use super::picture::Point;
use super::scale::Scale;
use super::seeds::{Completeness, Seeds};
use super::{Drawn, Source, axis_label, bounds};
use crate::declaration::CurvesPlot;
use crate::group::{Group, Grouping};
use crate::style::PlotStyle;
use crate::unit::Unit;

pub(super) const CAPTION: &str =
    "Thick lines are means over the seeds that succeeded, thin lines are single seeds, including failed ones.";

/// Maximum number of epochs for which each epoch has a dot.
const MOST_DOTS: u32 = 12;

/// One series: the values of its seeds, and their mean.
struct Curves {
    /// Name of the series, with the number of seeds of the mean if some are missing.
    name: String,
    seeds: Vec<Vec<(u32, f64)>>,
    mean: Vec<(u32, f64)>,
}

pub(super) fn picture(source: &Source<'_>, plot: &CurvesPlot, title: &str) -> Option<Drawn> {
    let groups = Grouping { axes: &plot.series, only: &plot.only }.groups(source.plan);
    let curves: Vec<Curves> = groups.iter().filter_map(|group| curves_of(source, plot, group)).collect();
    let points = || curves.iter().flat_map(|curve| curve.seeds.iter().chain([&curve.mean])).flatten();
    let last = points().map(|(epoch, _)| *epoch).max()?;
    let style = &plot.style;
    let marks = || points().map(|(epoch, value)| (f64::from(*epoch), *value));
    // The caption says which seeds the means include; the legend says how many.
    let (completeness, hidden) = (Completeness::Complete, Hidden::of(style, seeds_of(&curves)));
    let values: Vec<f64> = marks().filter(|mark| style.x.shows(mark.0)).map(|(_, value)| value).collect();
    if !marks().any(|mark| shows(style, mark)) {
        return Some(Drawn { picture: None, completeness, hidden });
    }
    let names: Vec<String> = curves.iter().map(|curve| curve.name.clone()).collect();
    let mut panel = Panel::new(Layout {
        title,
        x_label: "epoch",
        y_label: &axis_label(&plot.y),
        x: Scale::counted(last, &style.x),
        y: Scale::around(&values, bounds(&plot.y), &style.y),
        legend: legend(&plot.series, &names),
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
    Some(Drawn { picture: Some(panel.picture), completeness, hidden })
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

fn curves_of(source: &Source<'_>, plot: &CurvesPlot, group: &Group<'_>) -> Option<Curves> {
    let unit = Unit::of(plot.y.metric);
    let curve = |run| {
        let curve = source.measured.curve(run, &plot.y);
        curve.into_iter().map(|(epoch, value)| (epoch, unit.scaled(value))).collect::<Vec<_>>()
    };
    let seeds: Vec<Vec<(u32, f64)>> =
        group.runs.iter().map(|run| curve(run.run)).filter(|curve| !curve.is_empty()).collect();
    let succeeded: Vec<Vec<(u32, f64)>> = (group.runs.iter())
        .filter(|run| source.measured.result(run.run, &plot.y).is_some())
        .map(|run| curve(run.run))
        .collect();
    let mean_at = |epoch: u32| {
        let at = |curve: &Vec<(u32, f64)>| curve.iter().find(|(other, _)| *other == epoch).map(|(_, value)| *value);
        let values: Vec<f64> = succeeded.iter().filter_map(at).collect();
        // Epochs with values of only some seeds are skipped: the mean would jump.
        Some((epoch, Summary::of(&values).filter(|summary| summary.n == succeeded.len())?.mean))
    };
    let epochs = succeeded.first().into_iter().flatten().map(|(epoch, _)| *epoch);
    let mean: Vec<(u32, f64)> = epochs.filter_map(mean_at).collect();
    let behind = Seeds { measured: succeeded.len(), planned: group.runs.len() };
    (!seeds.is_empty()).then(|| Curves { name: group.name() + &behind.suffix(), seeds, mean })
}
