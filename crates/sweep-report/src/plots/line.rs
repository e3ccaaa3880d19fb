//! A quantity over the points of an axis, with a line for each series.

use super::chart::{Chart, ChartAxis, ChartKind};
use super::hidden::{Hidden, shows};
use super::over_axis::OverAxis;
use super::palette::series;
use super::panel::{Layout, Panel};
use super::picture::{Anchor, Point};
use super::scale::Scale;
use super::{Drawn, Source, axis_label, bounds, rounding};
use crate::declaration::AxisPlot;

pub(super) const CAPTION: &str = "Means over seeds (throughput: medians over rounds); bars show one \
    standard deviation to each side if seeds differ.";

/// Fraction of a label's width over which the series are spread.
const DODGE: f64 = 0.16;

pub(super) fn picture(source: &Source<'_>, plot: &AxisPlot, title: &str) -> Option<Drawn> {
    let data = OverAxis::of(source, plot)?;
    let style = &plot.style;
    let (completeness, hidden) = (data.completeness(), Hidden::of(style, data.marks()));
    if !data.marks().any(|mark| shows(style, mark)) {
        return Some(Drawn { picture: None, chart: None, completeness, hidden });
    }
    let axes = (ChartAxis::of(&plot.axis, style.x), ChartAxis::of(axis_label(&plot.y), style.y));
    let chart = Chart::over_axis(ChartKind::Line, &data, axes, rounding(&plot.y, data.marks().map(|mark| mark.1)));
    let (x, y) = (Scale::labels(&data.labels), Scale::around(&data.values(), bounds(&plot.y), &style.y));
    let y_label = axis_label(&plot.y);
    let layout = Layout { title, x_label: &plot.axis, y_label: &y_label, x, y, legend: data.legend, style };
    let mut panel = Panel::new(layout);
    let small = panel.sizes.small;
    let count = data.series.len();
    // Series are shifted slightly, so that marks and error bars with equal values stay visible.
    let beside = |i: usize| DODGE * (i as f64 - (count - 1) as f64 / 2.0) / count as f64;
    for (i, line) in data.series.iter().enumerate() {
        let (look, aside) = (series(i), beside(i));
        let placed = line.points.iter().filter(|mark| style.y.has_place(mark.mean));
        let points: Vec<Point> = placed.map(|mark| panel.at(mark.x as f64 + aside, mark.mean)).collect();
        panel.curve(&points, look, 1.5);
        for mark in line.points.iter().filter(|mark| style.y.shows(mark.mean)) {
            if let Some(ends) = mark.ends() {
                panel.error_bar(mark.x as f64 + aside, ends, look.ink);
            }
            panel.dot(panel.at(mark.x as f64 + aside, mark.mean), mark.look(look), 3.5);
        }
    }
    let marks = data.series.iter().enumerate().flat_map(|(i, line)| line.points.iter().map(move |mark| (i, mark)));
    for (i, mark) in marks.filter(|(_, mark)| !mark.seeds.is_complete() && style.y.shows(mark.mean)) {
        let x = mark.x as f64 + beside(i);
        let (low, high) = mark.ends().unwrap_or((mark.mean, mark.mean));
        let (below, above) = (panel.at(x, panel.y.nearest(low)), panel.at(x, panel.y.nearest(high)));
        // The text is above the mark, unless that is outside the panel.
        let y = if above.y - 1.5 * small < panel.top { below.y + small } else { above.y - small };
        panel.words(Point { y, ..above }, &mark.seeds.to_string(), (small, Anchor::Middle));
    }
    Some(Drawn { picture: Some(panel.picture), chart: Some(chart), completeness, hidden })
}
