//! A quantity over epochs: a thick line for each combination of labels, and thin lines for its seeds.

use super::over_axis::legend;
use super::palette::{Look, series};
use super::panel::{Layout, Panel};
use super::picture::{Picture, Point};
use super::scale::Scale;
use super::seeds::{Completeness, Seeds};
use super::{Source, axis_label, bounds};
use crate::declaration::CurvesPlot;
use crate::group::{Group, Grouping};
use crate::samples::{Curve, Curves};
use crate::unit::Unit;

pub(super) const CAPTION: &str =
    "Thick lines are means over the seeds that succeeded, thin lines are single seeds, including failed ones.";

/// Maximum number of epochs for which each epoch has a dot.
const MOST_DOTS: u32 = 12;

pub(super) fn picture(source: &Source<'_>, plot: &CurvesPlot, title: &str) -> Option<(Picture, Completeness)> {
    let groups = Grouping { axes: &plot.series, only: &plot.only }.groups(source.plan);
    let (names, curves): (Vec<String>, Vec<Curves>) =
        groups.iter().filter_map(|group| named_curves(source, plot, group)).unzip();
    let points = || curves.iter().flat_map(|curve| curve.seeds.iter().chain([&curve.mean])).flatten();
    let last = points().map(|(epoch, _)| *epoch).max()?;
    let unit = Unit::of(plot.y.metric);
    let values: Vec<f64> = points().map(|(_, value)| unit.scaled(*value)).collect();
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
            draw(&mut panel, (seed, unit), (series(i).ink.pale().into(), 0.75));
        }
    }
    for (i, curve) in curves.iter().enumerate() {
        let look = series(i);
        let points = draw(&mut panel, (&curve.mean, unit), (look, 2.0));
        if last <= MOST_DOTS {
            points.into_iter().for_each(|point| panel.dot(point, look, 3.0));
        }
    }
    // The caption says which seeds the means include; the legend says how many.
    Some((panel.picture, Completeness::Complete))
}

fn draw(panel: &mut Panel, (curve, unit): (&Curve, Unit), (look, width): (Look, f64)) -> Vec<Point> {
    let at = |(epoch, value): &(u32, f64)| panel.at(f64::from(*epoch), unit.scaled(*value));
    let points: Vec<Point> = curve.iter().map(at).collect();
    panel.curve(points.clone(), look, width);
    points
}

/// Returns the curves of a group with the name of their series. The name tells how many seeds the mean is based on, if
/// some are missing.
fn named_curves(source: &Source<'_>, plot: &CurvesPlot, group: &Group<'_>) -> Option<(String, Curves)> {
    let curves = Curves::of(source.measured, group, &plot.y)?;
    let seeds = Seeds { measured: curves.succeeded, planned: curves.planned };
    Some((group.name() + &seeds.suffix(), curves))
}
