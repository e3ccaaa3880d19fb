//! A quantity over the points of an axis, as bars from zero. Series stand side by side.

use super::chart::{Chart, ChartAxis, ChartKind};
use super::hidden::Hidden;
use super::letters::text_width;
use super::over_axis::OverAxis;
use super::palette::{TEXT, series};
use super::panel::{Layout, Panel};
use super::picture::{Anchor, Point};
use super::scale::Scale;
use super::{Drawn, Source, axis_label, rounding};
use crate::declaration::AxisPlot;
use crate::unit::Unit;

pub(super) const CAPTION: &str = "Means over seeds (throughput: medians over rounds); lines show one \
    standard deviation to each side if seeds differ.";

/// Fraction of a label's width that its bars fill.
const FILLED: f64 = 0.64;
/// Gap between neighbouring bars.
const RIM: f64 = 1.0;

pub(super) fn picture(source: &Source<'_>, plot: &AxisPlot, title: &str) -> Option<Drawn> {
    let data = OverAxis::of(source, plot)?;
    let style = &plot.style;
    let (x, y) = (Scale::labels(&data.labels), Scale::from_zero(&data.values(), &style.y));
    let (y_label, completeness) = (axis_label(&plot.y), data.completeness());
    let hidden = Hidden::of(style, data.marks());
    let axes = (ChartAxis::of(&plot.axis, style.x), ChartAxis::of(&y_label, style.y));
    let chart = Chart::over_axis(ChartKind::Bars, &data, axes, rounding(&plot.y, data.marks().map(|mark| mark.1)));
    let layout = Layout { title, x_label: &plot.axis, y_label: &y_label, x, y, legend: data.legend, style };
    let mut panel = Panel::new(layout);
    let small = panel.sizes.small;
    let unit = Unit::of(plot.y.metric);
    let means = || data.series.iter().flat_map(|series| &series.points).map(|mark| mark.mean);
    let decimals = unit.decimals(means().map(|mean| unit.stored(mean)));
    let width = FILLED / data.series.len() as f64;
    for (i, bars) in data.series.iter().enumerate() {
        for mark in &bars.points {
            let left = mark.x as f64 - FILLED / 2.0 + width * i as f64;
            // A bar above the upper end of the axis is cut off there; the caption counts it.
            let (foot, end) = (panel.at(left, 0.0), panel.at(left + width, panel.y.nearest(mark.mean)));
            let head = Point { x: end.x - RIM, ..end };
            panel.area(foot, head, mark.look(series(i)));
            let ends = mark.ends().unwrap_or((mark.mean, mark.mean));
            if mark.sd.is_some() {
                panel.error_bar(left + width / 2.0, ends, TEXT);
            }
            let text = unit.text(unit.stored(mark.mean), decimals);
            // Numbers stand beyond the end of the bar: above it, or below a bar that points down.
            let (beyond, outward) = if mark.mean < 0.0 { (ends.0, 1.0) } else { (ends.1, -1.0) };
            let above = panel.at(left + width / 2.0, panel.y.nearest(beyond));
            let mut y = above.y + outward * small * 0.6;
            // A number that is wider than its bar would overlap the next one.
            if text_width(&text, small) < head.x - foot.x {
                panel.words(Point { y, ..above }, &text, (small, Anchor::Middle));
                y += outward * small;
            }
            if !mark.seeds.is_complete() {
                panel.words(Point { y, ..above }, &mark.seeds.to_string(), (small, Anchor::Middle));
            }
        }
    }
    Some(Drawn { picture: Some(panel.picture), chart: Some(chart), completeness, hidden })
}
