//! A quantity over the points of an axis, as bars from zero. Series stand side by side.

use super::letters::text_width;
use super::over_axis::OverAxis;
use super::palette::{TEXT, series};
use super::panel::{Layout, Panel, SMALL_SIZE};
use super::picture::{Anchor, Picture, Point};
use super::scale::Scale;
use super::seeds::Completeness;
use super::{Source, axis_label};
use crate::declaration::AxisPlot;
use crate::unit::Unit;

pub(super) const CAPTION: &str = "Means over seeds; lines show one standard deviation to each side if seeds differ.";

/// Fraction of a label's width that its bars fill.
const FILLED: f64 = 0.64;
/// Gap between neighbouring bars.
const RIM: f64 = 1.0;

pub(super) fn picture(source: &Source<'_>, plot: &AxisPlot, title: &str) -> Option<(Picture, Completeness)> {
    let data = OverAxis::of(source, plot)?;
    let (x, y) = (Scale::labels(&data.labels), Scale::from_zero(&data.values()));
    let (y_label, completeness) = (axis_label(&plot.y), data.completeness());
    let mut panel = Panel::new(Layout { title, x_label: &plot.axis, y_label: &y_label, x, y, legend: data.legend });
    let unit = Unit::of(plot.y.metric);
    let means = || data.series.iter().flat_map(|series| &series.points).map(|mark| mark.mean);
    let decimals = unit.decimals(means().map(|mean| unit.stored(mean)));
    let width = FILLED / data.series.len() as f64;
    for (i, bars) in data.series.iter().enumerate() {
        for mark in &bars.points {
            let left = mark.x as f64 - FILLED / 2.0 + width * i as f64;
            let (foot, end) = (panel.at(left, 0.0), panel.at(left + width, mark.mean));
            let head = Point { x: end.x - RIM, ..end };
            panel.area(foot, head, mark.look(series(i)));
            let ends = mark.ends().unwrap_or((mark.mean, mark.mean));
            if mark.sd.is_some() {
                panel.error_bar(left + width / 2.0, ends, TEXT);
            }
            let text = unit.text(unit.stored(mark.mean), decimals);
            let above = panel.at(left + width / 2.0, ends.1);
            let mut y = above.y - SMALL_SIZE * 0.6;
            // A number that is wider than its bar would overlap the next one.
            if text_width(&text, SMALL_SIZE) < head.x - foot.x {
                panel.words(Point { y, ..above }, &text, (SMALL_SIZE, Anchor::Middle));
                y -= SMALL_SIZE;
            }
            if !mark.seeds.is_complete() {
                panel.words(Point { y, ..above }, &mark.seeds.to_string(), (SMALL_SIZE, Anchor::Middle));
            }
        }
    }
    Some((panel.picture, completeness))
}
