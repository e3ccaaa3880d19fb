//! A quantity over the points of an axis, with a line for each series.

use super::over_axis::OverAxis;
use super::palette::series;
use super::panel::{Layout, Panel, SMALL_SIZE};
use super::picture::{Anchor, Picture, Point};
use super::scale::Scale;
use super::seeds::Completeness;
use super::{Source, axis_label, bounds};
use crate::declaration::AxisPlot;

pub(super) const CAPTION: &str = "Means over seeds; bars show one standard deviation to each side if seeds differ.";

/// Fraction of a label's width over which the series are spread.
const DODGE: f64 = 0.16;

pub(super) fn picture(source: &Source<'_>, plot: &AxisPlot, title: &str) -> Option<(Picture, Completeness)> {
    let data = OverAxis::of(source, plot)?;
    let (x, y) = (Scale::labels(&data.labels), Scale::around(&data.values(), bounds(&plot.y)));
    let (y_label, completeness) = (axis_label(&plot.y), data.completeness());
    let mut panel = Panel::new(Layout { title, x_label: &plot.axis, y_label: &y_label, x, y, legend: data.legend });
    let count = data.series.len();
    // Series are shifted slightly, so that marks and error bars with equal values stay visible.
    let beside = |i: usize| DODGE * (i as f64 - (count - 1) as f64 / 2.0) / count as f64;
    for (i, line) in data.series.iter().enumerate() {
        let (look, aside) = (series(i), beside(i));
        let points = line.points.iter().map(|mark| panel.at(mark.x as f64 + aside, mark.mean)).collect();
        panel.curve(points, look, 1.5);
        for mark in &line.points {
            if let Some(ends) = mark.ends() {
                panel.error_bar(mark.x as f64 + aside, ends, look.ink);
            }
            panel.dot(panel.at(mark.x as f64 + aside, mark.mean), mark.look(look), 3.5);
        }
    }
    let marks = data.series.iter().enumerate().flat_map(|(i, line)| line.points.iter().map(move |mark| (i, mark)));
    for (i, mark) in marks.filter(|(_, mark)| !mark.seeds.is_complete()) {
        let x = mark.x as f64 + beside(i);
        let (low, high) = mark.ends().unwrap_or((mark.mean, mark.mean));
        let (below, above) = (panel.at(x, low), panel.at(x, high));
        // The text is above the mark, unless that is outside the panel.
        let y = if above.y - 1.5 * SMALL_SIZE < panel.top { below.y + SMALL_SIZE } else { above.y - SMALL_SIZE };
        panel.words(Point { y, ..above }, &mark.seeds.to_string(), (SMALL_SIZE, Anchor::Middle));
    }
    Some((panel.picture, completeness))
}
