//! A quantity over the points of an axis, joined by a line for each series.

use super::over_axis::OverAxis;
use super::palette::series;
use super::panel::{Layout, Panel, SMALL_SIZE};
use super::picture::{Anchor, Picture, Point};
use super::scale::Scale;
use super::seeds::Completeness;
use super::{Source, axis_label, bounds};
use crate::declaration::AxisPlot;

pub(super) const CAPTION: &str = "Means over seeds; bars are one standard deviation to each side where seeds differ.";

pub(super) fn picture(source: &Source<'_>, plot: &AxisPlot, title: &str) -> Option<(Picture, Completeness)> {
    let data = OverAxis::of(source, plot)?;
    let (x, y) = (Scale::labels(&data.labels), Scale::around(&data.values(), bounds(&plot.y)));
    let (y_label, completeness) = (axis_label(&plot.y), data.completeness());
    let mut panel = Panel::new(Layout { title, x_label: &plot.axis, y_label: &y_label, x, y, legend: data.legend });
    for (i, line) in data.series.iter().enumerate() {
        let look = series(i);
        let points = line.points.iter().map(|mark| panel.at(mark.x as f64, mark.mean)).collect();
        panel.curve(points, look, 1.5);
        for mark in &line.points {
            if let Some(ends) = mark.ends() {
                panel.error_bar(mark.x as f64, ends, look.ink);
            }
            panel.dot(panel.at(mark.x as f64, mark.mean), mark.look(look), 3.5);
        }
    }
    for mark in data.series.iter().flat_map(|line| &line.points).filter(|mark| !mark.seeds.is_complete()) {
        let (low, high) = mark.ends().unwrap_or((mark.mean, mark.mean));
        let (below, above) = (panel.at(mark.x as f64, low), panel.at(mark.x as f64, high));
        // Above the mark, unless that is outside of the panel.
        let y = if above.y - 1.5 * SMALL_SIZE < panel.top { below.y + SMALL_SIZE } else { above.y - SMALL_SIZE };
        panel.words(Point { y, ..above }, &mark.seeds.to_string(), (SMALL_SIZE, Anchor::Middle));
    }
    Some((panel.picture, completeness))
}
