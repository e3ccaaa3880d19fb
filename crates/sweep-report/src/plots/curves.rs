//! A quantity over epochs: a thick line for each combination of labels, and thin lines for its seeds.

use sweep_statistics::Summary;

use super::over_axis::legend;
use super::palette::{Look, series};
use super::panel::{Layout, Panel};
use super::picture::{Picture, Point};
use super::scale::Scale;
use super::seeds::{Completeness, Seeds};
use super::{Source, axis_label, bounds};
use crate::declaration::CurvesPlot;
use crate::group::{Group, Grouping};
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

pub(super) fn picture(source: &Source<'_>, plot: &CurvesPlot, title: &str) -> Option<(Picture, Completeness)> {
    let groups = Grouping { axes: &plot.series, only: &plot.only }.groups(source.plan);
    let curves: Vec<Curves> = groups.iter().filter_map(|group| curves_of(source, plot, group)).collect();
    let points = || curves.iter().flat_map(|curve| curve.seeds.iter().chain([&curve.mean])).flatten();
    let last = points().map(|(epoch, _)| *epoch).max()?;
    let values: Vec<f64> = points().map(|(_, value)| *value).collect();
    let names: Vec<String> = curves.iter().map(|curve| curve.name.clone()).collect();
    let mut panel = Panel::new(Layout {
        title,
        x_label: "epoch",
        y_label: &axis_label(&plot.y),
        x: Scale::counted(last),
        y: Scale::around(&values, bounds(&plot.y)),
        legend: legend(&plot.series, &names),
    });
    for (i, curve) in curves.iter().enumerate() {
        // If only one seed succeeded, its curve is the mean.
        for seed in curve.seeds.iter().filter(|seed| **seed != curve.mean) {
            draw(&mut panel, seed, (series(i).ink.pale().into(), 0.75));
        }
    }
    for (i, curve) in curves.iter().enumerate() {
        let look = series(i);
        let points = draw(&mut panel, &curve.mean, (look, 2.0));
        if last <= MOST_DOTS {
            points.into_iter().for_each(|point| panel.dot(point, look, 3.0));
        }
    }
    // The caption says which seeds the means include; the legend says how many.
    Some((panel.picture, Completeness::Complete))
}

fn draw(panel: &mut Panel, curve: &[(u32, f64)], (look, width): (Look, f64)) -> Vec<Point> {
    let points: Vec<Point> = curve.iter().map(|(epoch, value)| panel.at(f64::from(*epoch), *value)).collect();
    panel.curve(points.clone(), look, width);
    points
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
