//! One quantity against another: a labelled dot for each combination. Dots are pale if another dot is significantly
//! better.

use super::chart::{Chart, ChartAxis, ChartKind, ChartMark, ChartSeries, value_text};
use super::hidden::{Hidden, shows};
use super::letters::{shortened, text_width};
use super::palette::{Look, PALE, series};
use super::panel::{Layout, Legend, Panel};
use super::picture::{Anchor, Point};
use super::placement::{Area, place};
use super::scale::Scale;
use super::seeds::Seeds;
use super::{Drawn, Source, axis_label, bounds, rounding};
use crate::compare::{Verdict, compare};
use crate::declaration::{Quantity, ScatterPlot};
use crate::group::{Group, Grouping};
use crate::samples::Sample;
use crate::unit::Unit;

pub(super) const CAPTION: &str = "Means over seeds (throughput: medians over rounds); vertical \
    lines show one standard deviation of the vertical quantity to each side if seeds differ. \
     A dot is grey if another dot is significantly better in one quantity and better or equal in the other (95% \
     interval of the paired difference, t, all pairs of dots together).";

/// Maximum width of a dot's label, relative to the picture's width.
const MOST_LABEL: f64 = 180.0 / 600.0;

/// One combination.
struct Dot {
    name: String,
    x: f64,
    y: f64,
    sd: Option<f64>,
    seeds: Seeds,
    /// Both quantities.
    samples: [Sample; 2],
}

impl Dot {
    /// Returns the ends of the error bar: one deviation below and one above the mean.
    fn ends(&self) -> (f64, f64) {
        let sd = self.sd.unwrap_or(0.0);
        (self.y - sd, self.y + sd)
    }
}

pub(super) fn picture(source: &Source<'_>, plot: &ScatterPlot, title: &str) -> Option<Drawn> {
    let groups = Grouping { axes: &plot.label, only: &plot.only }.groups(source.plan);
    let dots: Vec<Dot> = groups.iter().filter_map(|group| dot(source, plot, group)).collect();
    let xs: Vec<f64> = dots.iter().map(|dot| dot.x).collect();
    let ys: Vec<f64> = dots.iter().flat_map(|dot| [dot.ends().0, dot.ends().1]).collect();
    if dots.is_empty() {
        return None;
    }
    let style = &plot.style;
    let completeness = dots.iter().map(|dot| dot.seeds).collect();
    let hidden = Hidden::of(style, dots.iter().map(|dot| (dot.x, dot.y)));
    // All dots are compared, also those that are not shown.
    let looks: Vec<Look> = dots.iter().map(|dot| look(dot, &dots, plot)).collect();
    let (dots, looks): (Vec<Dot>, Vec<Look>) =
        dots.into_iter().zip(looks).filter(|(dot, _)| shows(style, (dot.x, dot.y))).unzip();
    if dots.is_empty() {
        return Some(Drawn { picture: None, chart: None, completeness, hidden });
    }
    let chart = chart(plot, &dots, &looks);
    let (x, y) = (Scale::around(&xs, bounds(&plot.x), &style.x), Scale::around(&ys, bounds(&plot.y), &style.y));
    let (x_label, y_label) = (axis_label(&plot.x), axis_label(&plot.y));
    let layout = Layout { title, x_label: &x_label, y_label: &y_label, x, y, legend: Legend::default(), style };
    let mut panel = Panel::new(layout);
    let centers: Vec<Point> = dots.iter().map(|dot| panel.at(dot.x, dot.y)).collect();
    for ((dot, center), look) in dots.iter().zip(&centers).zip(looks) {
        if dot.sd.is_some() {
            panel.error_bar(dot.x, dot.ends(), look.ink);
        }
        panel.dot(*center, look, 4.5);
    }
    draw_labels(&mut panel, &plot.label, (&dots, &centers));
    Some(Drawn { picture: Some(panel.picture), chart: Some(chart), completeness, hidden })
}

/// Returns the look of a dot beside all dots.
fn look(dot: &Dot, dots: &[Dot], plot: &ScatterPlot) -> Look {
    let complete = || dots.iter().filter(|other| other.seeds.is_complete());
    // A dot with missing seeds is not compared: it is always pale, and it makes no other dot pale.
    let is_rival = dot.seeds.is_complete() && !complete().any(|other| dominates(other, dot, plot, complete().count()));
    Look { ink: if is_rival { series(0).ink } else { PALE }, hollow: !dot.seeds.is_complete() }
}

/// Returns the dots as data. Each is a series of one mark.
fn chart(plot: &ScatterPlot, dots: &[Dot], looks: &[Look]) -> Chart {
    let x_rounding = rounding(&plot.x, dots.iter().map(|dot| dot.x));
    let y_rounding = rounding(&plot.y, dots.iter().map(|dot| dot.y));
    let mark = |dot: &Dot, look: &Look| ChartMark {
        x: dot.x,
        y: dot.y,
        ends: dot.sd.map(|_| dot.ends()),
        text: format!(
            "{}, {}",
            value_text(x_rounding, (dot.x, None), Seeds { measured: 0, planned: 0 }),
            value_text(y_rounding, (dot.y, dot.sd), dot.seeds)
        ),
        hollow: look.hollow,
        pale: look.ink == PALE,
    };
    let series = dots.iter().zip(looks).map(|(dot, look)| ChartSeries {
        name: dot.name.clone(),
        marks: vec![mark(dot, look)],
        seeds: Vec::new(),
    });
    Chart {
        kind: ChartKind::Scatter,
        x: ChartAxis::of(axis_label(&plot.x), plot.style.x),
        y: ChartAxis::of(axis_label(&plot.y), plot.style.y),
        legend: plot.label.join("/"),
        series: series.collect(),
    }
}

/// Draws the labels of the dots. A heading above the panel names their axes.
fn draw_labels(panel: &mut Panel, axes: &[String], (dots, centers): (&[Dot], &[Point])) {
    let small = panel.sizes.small;
    let most = MOST_LABEL * panel.picture.width;
    let text = |dot: &Dot| shortened(&format!("{}{}", dot.name, dot.seeds.suffix()), small, most);
    let texts: Vec<String> = dots.iter().map(text).collect();
    let heading = shortened(&format!("labels: {}", axes.join("/")), small, panel.right - panel.left);
    let corner = Point { x: panel.right, y: panel.top - small / 2.0 - 2.0 };
    panel.words(corner, &heading, (small, Anchor::End));
    let sizes: Vec<(f64, f64)> = texts.iter().map(|text| (text_width(text, small), small)).collect();
    let bar = |dot: &Dot| {
        let (low, high) = dot.ends();
        let (foot, head) = (panel.at(dot.x, panel.y.nearest(low)), panel.at(dot.x, panel.y.nearest(high)));
        Area { left: foot.x - 3.5, top: head.y, right: foot.x + 3.5, bottom: foot.y }
    };
    let bars: Vec<Area> = dots.iter().map(bar).collect();
    for (text, area) in texts.iter().zip(place(centers, &sizes, &bars, panel.inside())) {
        let at = Point { x: area.left, y: f64::midpoint(area.top, area.bottom) };
        panel.words(at, text, (small, Anchor::Start));
    }
}

fn dot(source: &Source<'_>, plot: &ScatterPlot, group: &Group<'_>) -> Option<Dot> {
    let samples = [&plot.x, &plot.y].map(|quantity| Sample::of(source.measured, group, quantity));
    let (x, y) = (samples[0].summary()?, samples[1].summary()?);
    let (x_unit, y_unit) = (Unit::of(plot.x.metric), Unit::of(plot.y.metric));
    let sd = y.sd.filter(|sd| *sd > 0.0).map(|sd| y_unit.scaled(sd));
    let seeds = Seeds { measured: x.n.min(y.n), planned: samples[0].planned };
    Some(Dot { name: group.name(), x: x_unit.scaled(x.mean), y: y_unit.scaled(y.mean), sd, seeds, samples })
}

/// Whether `a` is significantly better than `b` in one quantity, and better or equal in the other. `complete` is the
/// number of complete dots.
fn dominates(a: &Dot, b: &Dot, plot: &ScatterPlot, complete: usize) -> bool {
    let comparisons = (complete * complete.saturating_sub(1) / 2).max(1);
    let verdict = |i: usize, quantity: &Quantity| compare(quantity.metric, (&a.samples[i], &b.samples[i]), comparisons);
    matches!(
        (verdict(0, &plot.x), verdict(1, &plot.y)),
        (Verdict::Better, Verdict::Better | Verdict::Equal) | (Verdict::Equal, Verdict::Better)
    )
}
