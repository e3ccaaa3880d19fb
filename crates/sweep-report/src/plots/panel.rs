//! The part of a picture that all plot kinds share: title, axes, grid and legend. It also maps pairs of values to
//! positions.
//!
//! Margins follow from the texts in them, so nothing overlaps. This module knows no metric.

use super::clip::clipped;
use super::letters::{shortened, text_width};
use super::palette::{FRAME, GRID, Ink, Look, TEXT, WHITE};
use super::picture::{Anchor, Picture, Point, Shape};
use super::placement::Area;
use super::scale::{Kind, Scale};
use crate::style::PlotStyle;

/// Sizes of letters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    title: f64,
    label: f64,
    /// Numbers at ticks, and words inside the panel.
    pub(super) small: f64,
}

impl Sizes {
    /// Returns the sizes for axis labels of this size.
    fn of(label: f64) -> Self {
        Self { title: label * 14.0 / 12.0, label, small: label * 11.0 / 12.0 }
    }
}

/// Distance between things that belong together.
const GAP: f64 = 7.0;
const SWATCH: f64 = 14.0;
/// Width of a hollow rectangle's border.
const RIM: f64 = 2.0;

/// Maximum width of the legend, relative to the picture's width.
const MOST_LEGEND: f64 = 190.0 / 600.0;
/// Maximum length of a tick's label, relative to the picture's height.
const MOST_TICK: f64 = 130.0 / 400.0;
/// Distance beyond the axes at which a line is cut.
const EDGE: f64 = 0.01;
/// Smallest width and height of the area inside the axes. Long words never leave less.
const LEAST_ROOM: f64 = 40.0;
/// Smallest factor by which a text may be reduced in size.
const LEAST_SHARE: f64 = 0.75;

/// The inputs of a panel.
pub(super) struct Layout<'a> {
    pub(super) title: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    pub(super) x: Scale,
    pub(super) y: Scale,
    /// The legend; empty for a single series.
    pub(super) legend: Legend,
    pub(super) style: &'a PlotStyle,
}

/// The legend: what the looks of series mean.
#[derive(Default)]
pub(super) struct Legend {
    /// Names of the axes whose labels follow.
    pub(super) heading: String,
    /// The entries, from top to bottom.
    pub(super) entries: Vec<LegendEntry>,
}

/// One entry of a legend.
pub(super) struct LegendEntry {
    pub(super) label: String,
    pub(super) look: Look,
}

/// A panel that marks are drawn on.
pub(super) struct Panel {
    pub(super) picture: Picture,
    pub(super) sizes: Sizes,
    x: Scale,
    pub(super) y: Scale,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Panel {
    /// Draws everything except the marks.
    pub(super) fn new(layout: Layout<'_>) -> Self {
        let Layout { title, x_label, y_label, mut x, y, mut legend, style } = layout;
        let sizes = Sizes::of(style.font_size);
        let (width, height) = (f64::from(style.width), f64::from(style.height));
        legend.fit(sizes, MOST_LEGEND * width);
        for tick in &mut x.ticks {
            tick.label = shortened(&tick.label, sizes.small, MOST_TICK * height);
        }
        let widest =
            |scale: &Scale| scale.ticks.iter().map(|tick| text_width(&tick.label, sizes.small)).fold(0.0, f64::max);
        let left = 2.0 * GAP + sizes.label + widest(&y) + GAP;
        let right = (width - 2.0 * GAP - legend.width(sizes)).max(left + LEAST_ROOM);
        let room = (right - left) / x.ticks.len().max(1) as f64;
        let turned = x.kind == Kind::Labels && widest(&x) + GAP > room;
        let ticks_height = if turned { widest(&x) } else { sizes.small };
        // Without a title, small words above the panel still need a line.
        let has_title = style.title && !title.is_empty();
        let top = 2.0 * GAP + if has_title { sizes.title + GAP } else { sizes.small };
        let bottom = (height - 2.0 * GAP - sizes.label - ticks_height - GAP).max(top + LEAST_ROOM);
        let picture = Picture { width, height, shapes: Vec::new() };
        let mut panel = Self { picture, sizes, x, y, left, right, top, bottom };
        panel.draw_y_axis();
        panel.draw_x_axis(if turned { Anchor::UpwardEnd } else { Anchor::Middle });
        let center = Point { x: f64::midpoint(left, right), y: f64::midpoint(top, bottom) };
        if has_title {
            let (title, size) = fitted(title, sizes.title, width - left - GAP);
            panel.words(Point { x: left, y: GAP + sizes.title / 2.0 + 2.0 }, &title, (size, Anchor::Start));
        }
        let (x_label, x_size) = fitted(x_label, sizes.label, right - left);
        panel.words(Point { x: center.x, y: height - GAP - sizes.label / 2.0 }, &x_label, (x_size, Anchor::Middle));
        let (y_label, y_size) = fitted(y_label, sizes.label, height - 2.0 * GAP);
        // The middle of the axis is above the middle of the picture, so a long label would leave the picture.
        let half = text_width(&y_label, y_size) / 2.0 + GAP;
        let beside = Point { x: GAP + sizes.label / 2.0, y: center.y.max(half).min(height - half) };
        panel.words(beside, &y_label, (y_size, Anchor::Upward));
        panel.draw_legend(&legend);
        panel
    }

    /// Returns the position of a pair of values.
    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        let right = self.left + self.x.share(x) * (self.right - self.left);
        Point { x: right, y: self.bottom - self.y.share(y) * (self.bottom - self.top) }
    }

    /// Adds a line.
    pub(super) fn line(&mut self, points: Vec<Point>, ink: Ink, width: f64) {
        self.picture.line(points, ink, width);
    }

    /// Returns the area inside the axes.
    pub(super) fn inside(&self) -> Area {
        Area { left: self.left, top: self.top, right: self.right, bottom: self.bottom }
    }

    /// Adds the line of a series, as far as it is inside the axes.
    pub(super) fn curve(&mut self, points: &[Point], look: Look, width: f64) {
        // A little more than the area, so that rounding never cuts a line that runs along an edge.
        let Area { left, top, right, bottom } = self.inside();
        let area = Area { left: left - EDGE, top: top - EDGE, right: right + EDGE, bottom: bottom + EDGE };
        for part in clipped(points, &area) {
            self.stroke(part, look, width);
        }
    }

    fn stroke(&mut self, points: Vec<Point>, look: Look, width: f64) {
        if look.hollow {
            self.line(points.clone(), look.ink, 1.5 * width);
            self.line(points, WHITE, 0.5 * width);
        } else {
            self.line(points, look.ink, width);
        }
    }

    /// Adds a rectangle between two corners.
    pub(super) fn area(&mut self, foot: Point, head: Point, look: Look) {
        self.picture.rectangle(foot, head, look.ink);
        let inside = |from: f64, to: f64| from + RIM.copysign(to - from);
        if look.hollow && (head.x - foot.x).abs().min((head.y - foot.y).abs()) > 2.0 * RIM {
            let inner_head = Point { x: inside(head.x, foot.x), y: inside(head.y, foot.y) };
            let inner_foot = Point { x: inside(foot.x, head.x), y: inside(foot.y, head.y) };
            self.picture.rectangle(inner_foot, inner_head, WHITE);
        }
    }

    /// Adds a dot with a white border, so that it stays visible on lines and on other dots.
    pub(super) fn dot(&mut self, center: Point, look: impl Into<Look>, radius: f64) {
        let Look { ink, hollow } = look.into();
        self.picture.shapes.push(Shape::Disc { center, radius: radius + 1.0, ink: WHITE });
        self.picture.shapes.push(Shape::Disc { center, radius, ink });
        if hollow {
            self.picture.shapes.push(Shape::Disc { center, radius: 0.5 * radius, ink: WHITE });
        }
    }

    /// Adds an error bar at `x`, from the lower to the upper of `ends`. An end beyond the axis is cut off.
    pub(super) fn error_bar(&mut self, x: f64, ends: (f64, f64), ink: Ink) {
        let (shown_low, shown_high) = (self.y.nearest(ends.0), self.y.nearest(ends.1));
        let (low, high) = (self.at(x, shown_low), self.at(x, shown_high));
        self.line(vec![low, high], ink, 1.0);
        let is_cut = [shown_low > ends.0, shown_high < ends.1];
        for (end, _) in [low, high].into_iter().zip(is_cut).filter(|(_, is_cut)| !is_cut) {
            self.line(vec![Point { x: end.x - 3.5, ..end }, Point { x: end.x + 3.5, ..end }], ink, 1.0);
        }
    }

    /// Adds a text.
    pub(super) fn words(&mut self, at: Point, text: &str, (size, anchor): (f64, Anchor)) {
        self.picture.words(at, text, (size, anchor), TEXT);
    }

    fn draw_y_axis(&mut self) {
        for tick in self.y.ticks.clone() {
            let left = Point { x: self.left, ..self.at(0.0, tick.at) };
            self.line(vec![left, Point { x: self.right, ..left }], GRID, 1.0);
            self.words(Point { x: left.x - GAP, ..left }, &tick.label, (self.sizes.small, Anchor::End));
        }
    }

    fn draw_x_axis(&mut self, anchor: Anchor) {
        let (bottom, drop) = (self.bottom, if anchor == Anchor::Middle { GAP + self.sizes.small / 2.0 } else { GAP });
        for tick in self.x.ticks.clone() {
            let foot = Point { y: bottom, ..self.at(tick.at, 0.0) };
            if self.x.kind == Kind::Numbers {
                self.line(vec![Point { y: self.top, ..foot }, foot], GRID, 1.0);
            }
            self.line(vec![foot, Point { y: bottom + 3.5, ..foot }], FRAME, 1.0);
            self.words(Point { y: bottom + drop, ..foot }, &tick.label, (self.sizes.small, anchor));
        }
        let corner = Point { x: self.left, y: bottom };
        self.line(vec![Point { y: self.top, ..corner }, corner, Point { x: self.right, ..corner }], FRAME, 1.0);
    }

    fn draw_legend(&mut self, legend: &Legend) {
        let small = self.sizes.small;
        let step = small + 4.0;
        let left = self.right + 2.0 * GAP;
        let mut y = self.top + small / 2.0;
        if !legend.entries.is_empty() {
            self.words(Point { x: left, y }, &legend.heading, (small, Anchor::Start));
        }
        for entry in &legend.entries {
            y += step;
            self.stroke(vec![Point { x: left, y }, Point { x: left + SWATCH, y }], entry.look, 3.0);
            self.words(Point { x: left + SWATCH + GAP, y }, &entry.label, (small, Anchor::Start));
        }
    }
}

/// Fits a text into `room` and returns it with its size. The text is reduced in size, and also shortened if that is not
/// enough.
fn fitted(text: &str, size: f64, room: f64) -> (String, f64) {
    let fitting = (size * (room / text_width(text, size).max(1.0)).min(1.0)).max(LEAST_SHARE * size);
    (shortened(text, fitting, room + 0.01), fitting)
}

impl Legend {
    /// Shortens texts that would leave the panel no room.
    fn fit(&mut self, sizes: Sizes, room: f64) {
        self.heading = shortened(&self.heading, sizes.small, room);
        for entry in &mut self.entries {
            entry.label = shortened(&entry.label, sizes.small, room - SWATCH - GAP);
        }
    }

    /// Returns the width of the legend, including its distance to the panel.
    fn width(&self, sizes: Sizes) -> f64 {
        if self.entries.is_empty() {
            return 0.0;
        }
        let labels = self.entries.iter().map(|entry| SWATCH + GAP + text_width(&entry.label, sizes.small));
        2.0 * GAP + labels.fold(text_width(&self.heading, sizes.small), f64::max)
    }
}
