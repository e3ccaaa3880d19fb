//! Heat maps side by side, with one colour scale: numbers on a grid.
//!
//! This module knows numbers and labels. It does not know where they come from.

use super::colour_map::{colour, on};
use super::letters::text_width;
use super::palette::{FRAME, MARK, PALE, TEXT, WHITE};
use super::picture::{Anchor, Picture, Point};
use super::scale::Scale;
use crate::{Rendering, ReportError};

/// Grids of numbers to draw side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMaps {
    /// Heading of the whole picture; empty for none.
    pub title: String,
    /// Meaning of the columns of a grid, counted from 0.
    pub x_label: String,
    /// Meaning of the rows of a grid, counted from 0.
    pub y_label: String,
    /// Meaning of the numbers.
    pub value_label: String,
    /// Number of decimals of a number in a cell.
    pub decimals: usize,
    /// Row and column of a cell that is marked in each grid.
    pub marked: Option<(usize, usize)>,
    /// The grids, from left to right. All have the rows and columns of the first one.
    pub panels: Vec<HeatPanel>,
}

/// One grid of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatPanel {
    /// Heading of the grid.
    pub title: String,
    /// The numbers, row by row from the top. A cell without a number is grey.
    pub rows: Vec<Vec<Option<f64>>>,
}

/// Width of the picture.
const WIDTH: f64 = 720.0;
const TITLE_SIZE: f64 = 14.0;
const LABEL_SIZE: f64 = 12.0;
const SMALL_SIZE: f64 = 11.0;
/// Size of the numbers in cells, and the smallest distance between a number and the border of its cell.
const NUMBER_SIZE: f64 = 9.0;
const NUMBER_RIM: f64 = 1.0;
/// Distance between things that belong together, and between grids.
const GAP: f64 = 7.0;
const BETWEEN: f64 = 22.0;
/// Width of the colour scale, and the number of its steps.
const BAR: f64 = 12.0;
const STEPS: usize = 64;
/// Largest width and height of a cell.
const MOST_CELL: f64 = 40.0;
/// Areas reach this far below the next one, so that viewers show no gaps between them.
const OVERLAP: f64 = 0.4;

/// Places of the grids and of the colour scale.
struct Layout {
    rows: usize,
    columns: usize,
    cell: f64,
    left: f64,
    top: f64,
    decimals: usize,
    scale: Scale,
}

impl HeatMaps {
    /// Draws the grids as `<id>.svg`, `<id>.png` and `<id>.pdf`.
    ///
    /// # Errors
    /// When the picture cannot be encoded.
    pub fn renderings(&self, id: &str) -> Result<Vec<Rendering>, ReportError> {
        let fault = |source| ReportError::Drawing { plot: id.to_owned(), source };
        Ok(self.picture().image().map_err(fault)?.renderings(id))
    }

    /// Arranges the grids.
    pub(super) fn picture(&self) -> Picture {
        let layout = Layout::of(self);
        let mut picture = Picture { width: WIDTH, height: layout.height(), shapes: Vec::new() };
        if !self.title.is_empty() {
            let at = Point { x: layout.left, y: GAP + TITLE_SIZE / 2.0 };
            picture.words(at, &self.title, (TITLE_SIZE, Anchor::Start), TEXT);
        }
        for (i, panel) in self.panels.iter().enumerate() {
            layout.draw_grid(&mut picture, i, panel);
            layout.draw_axes(&mut picture, i, self);
            if let Some(cell) = self.marked {
                layout.draw_mark(&mut picture, i, cell);
            }
        }
        layout.draw_colours(&mut picture, self);
        picture
    }
}

impl Layout {
    fn of(maps: &HeatMaps) -> Self {
        let first = maps.panels.first().map_or(&[][..], |panel| &panel.rows);
        let (rows, columns) = (first.len().max(1), first.first().map_or(1, Vec::len).max(1));
        let values: Vec<f64> =
            maps.panels.iter().flat_map(|panel| panel.rows.iter().flatten().flatten()).copied().collect();
        let scale = Scale::between(&values);
        let left = 2.0 * GAP + LABEL_SIZE + text_width(&(rows - 1).to_string(), SMALL_SIZE) + GAP;
        let title = if maps.title.is_empty() { 0.0 } else { TITLE_SIZE + GAP };
        let count = maps.panels.len().max(1) as f64;
        let room = WIDTH - left - scale_width(&scale) - (count - 1.0) * BETWEEN;
        let cell = (room / (count * columns as f64)).min(MOST_CELL);
        Self { rows, columns, cell, left, top: GAP + title + LABEL_SIZE + GAP, decimals: maps.decimals, scale }
    }

    /// Returns the left side of a grid.
    fn left_of(&self, panel: usize) -> f64 {
        self.left + panel as f64 * (self.width() + BETWEEN)
    }

    fn width(&self) -> f64 {
        self.cell * self.columns as f64
    }

    fn bottom(&self) -> f64 {
        self.top + self.cell * self.rows as f64
    }

    /// Returns the height of the whole picture, in whole pixels.
    fn height(&self) -> f64 {
        (self.bottom() + GAP + SMALL_SIZE + GAP + LABEL_SIZE + GAP).ceil()
    }

    /// Returns the upper left corner of a cell.
    fn corner(&self, panel: usize, (row, column): (usize, usize)) -> Point {
        Point { x: self.left_of(panel) + self.cell * column as f64, y: self.top + self.cell * row as f64 }
    }

    fn draw_grid(&self, picture: &mut Picture, panel: usize, grid: &HeatPanel) {
        let (right, bottom) = (self.left_of(panel) + self.width(), self.bottom());
        let share = |value: f64| self.scale.share(value);
        for (row, values) in grid.rows.iter().take(self.rows).enumerate() {
            for (column, value) in values.iter().take(self.columns).enumerate() {
                let corner = self.corner(panel, (row, column));
                let (x, y) = (corner.x + self.cell + OVERLAP, corner.y + self.cell + OVERLAP);
                let end = Point { x: x.min(right), y: y.min(bottom) };
                picture.rectangle(corner, end, value.map_or(PALE, |value| colour(share(value))));
                let number = |value: f64| crate::unit::typeset(&format!("{value:.*}", self.decimals));
                let text = value.map_or_else(|| "–".to_owned(), number);
                let center = Point { x: corner.x + self.cell / 2.0, y: corner.y + self.cell / 2.0 };
                if text_width(&text, NUMBER_SIZE).max(NUMBER_SIZE) + 2.0 * NUMBER_RIM < self.cell {
                    let ink = value.map_or(TEXT, |value| on(colour(share(value))));
                    picture.words(center, &text, (NUMBER_SIZE, Anchor::Middle), ink);
                }
            }
        }
        let title = Point { x: self.left_of(panel) + self.width() / 2.0, y: self.top - GAP - LABEL_SIZE / 2.0 + 2.0 };
        picture.words(title, &grid.title, (LABEL_SIZE, Anchor::Middle), TEXT);
        picture.frame(self.corner(panel, (0, 0)), Point { x: right, y: bottom }, (FRAME, 1.0));
    }

    fn draw_axes(&self, picture: &mut Picture, panel: usize, maps: &HeatMaps) {
        for column in labelled(self.columns, self.cell) {
            let corner = self.corner(panel, (self.rows, column));
            let at = Point { x: corner.x + self.cell / 2.0, y: corner.y + GAP + SMALL_SIZE / 2.0 - 1.0 };
            picture.words(at, &column.to_string(), (SMALL_SIZE, Anchor::Middle), TEXT);
        }
        let middle = self.left_of(panel) + self.width() / 2.0;
        let below = Point { x: middle, y: self.height() - GAP - LABEL_SIZE / 2.0 };
        picture.words(below, &maps.x_label, (LABEL_SIZE, Anchor::Middle), TEXT);
        if panel > 0 {
            return;
        }
        for row in labelled(self.rows, self.cell) {
            let corner = self.corner(panel, (row, 0));
            let at = Point { x: corner.x - GAP, y: corner.y + self.cell / 2.0 };
            picture.words(at, &row.to_string(), (SMALL_SIZE, Anchor::End), TEXT);
        }
        let beside = Point { x: GAP + LABEL_SIZE / 2.0, y: f64::midpoint(self.top, self.bottom()) };
        picture.words(beside, &maps.y_label, (LABEL_SIZE, Anchor::Upward), TEXT);
    }

    /// Draws a white and a dark border around a cell, which show on every colour.
    fn draw_mark(&self, picture: &mut Picture, panel: usize, (row, column): (usize, usize)) {
        if row >= self.rows || column >= self.columns {
            return;
        }
        let (from, to) = (self.corner(panel, (row, column)), self.corner(panel, (row + 1, column + 1)));
        for (width, ink) in [(4.0, WHITE), (2.0, MARK)] {
            picture.frame(from, to, (ink, width));
        }
    }

    fn draw_colours(&self, picture: &mut Picture, maps: &HeatMaps) {
        let left = self.left_of(maps.panels.len().max(1)) - BETWEEN + 2.0 * GAP;
        let (height, bottom) = (self.bottom() - self.top, self.bottom());
        let share = |step: usize| step as f64 / STEPS as f64;
        for step in 0..STEPS {
            let head = Point { x: left, y: bottom - share(step + 1) * height };
            let foot = Point { x: left + BAR, y: (bottom - share(step) * height + OVERLAP).min(bottom) };
            picture.rectangle(head, foot, colour(share(step) + 0.5 / STEPS as f64));
        }
        let edge = left + BAR;
        picture.frame(Point { x: left, y: self.top }, Point { x: edge, y: bottom }, (FRAME, 1.0));
        for tick in &self.scale.ticks {
            let y = bottom - self.scale.share(tick.at) * height;
            picture.line(vec![Point { x: edge, y }, Point { x: edge + 3.5, y }], FRAME, 1.0);
            picture.words(Point { x: edge + GAP, y }, &tick.label, (SMALL_SIZE, Anchor::Start), TEXT);
        }
        let x = edge + GAP + widest(&self.scale) + GAP + LABEL_SIZE / 2.0;
        let beside = Point { x, y: f64::midpoint(self.top, bottom) };
        picture.words(beside, &maps.value_label, (LABEL_SIZE, Anchor::Upward), TEXT);
    }
}

/// Returns the width of the longest number beside the colour scale.
fn widest(scale: &Scale) -> f64 {
    scale.ticks.iter().map(|tick| text_width(&tick.label, SMALL_SIZE)).fold(0.0, f64::max)
}

/// Returns the width of the colour scale with its numbers and its label, and of the space around it.
fn scale_width(scale: &Scale) -> f64 {
    2.0 * GAP + BAR + GAP + widest(scale) + GAP + LABEL_SIZE + GAP
}

/// Returns the rows or columns whose number is shown: all, unless they are too narrow.
fn labelled(count: usize, cell: f64) -> impl Iterator<Item = usize> {
    let every = (text_width("000", SMALL_SIZE) / cell).ceil().max(1.0) as usize;
    (0..count).step_by(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(rows: usize, columns: usize) -> HeatMaps {
        let number = |row: usize, column: usize| (row + column > 0).then(|| (row * columns + column) as f64 / 10.0);
        let grid = |title: &str| HeatPanel {
            title: title.to_owned(),
            rows: (0..rows).map(|row| (0..columns).map(|column| number(row, column)).collect()).collect(),
        };
        HeatMaps {
            title: "Weights".to_owned(),
            x_label: "column".to_owned(),
            y_label: "row".to_owned(),
            value_label: "size".to_owned(),
            decimals: 1,
            marked: Some((0, 1)),
            panels: vec![grid("before"), grid("after")],
        }
    }

    fn svg(maps: &HeatMaps) -> String {
        let all = maps.renderings("map").unwrap();
        let names: Vec<_> = all.iter().map(|rendering| rendering.path.display().to_string()).collect();
        assert_eq!(names, ["map.svg", "map.png", "map.pdf"]);
        String::from_utf8(all[0].bytes.clone()).unwrap()
    }

    #[test]
    fn a_picture_has_every_number_twice_and_a_dash_for_none() {
        let svg = svg(&maps(4, 5));
        for number in ["0.7", "1.9"] {
            assert_eq!(svg.matches(&format!("\n{number}\n")).count(), 2, "{number}: {svg}");
        }
        assert_eq!(svg.matches("\n–\n").count(), 2);
    }

    #[test]
    fn same_numbers_give_same_bytes() {
        assert_eq!(maps(3, 2).renderings("map").unwrap(), maps(3, 2).renderings("map").unwrap());
    }

    #[test]
    fn grids_of_any_size_stay_inside_the_picture() {
        for (rows, columns) in [(1, 1), (0, 0), (3, 40), (100, 100), (14, 14)] {
            let picture = maps(rows, columns).picture();
            for shape in &picture.shapes {
                if let super::super::picture::Shape::Area { points, .. } = shape {
                    let inside = |point: &Point| point.x <= picture.width && point.y <= picture.height;
                    assert!(points.iter().all(inside), "{rows}x{columns}: {points:?}");
                }
            }
        }
    }

    #[test]
    fn equal_numbers_and_no_numbers_have_a_colour_scale() {
        let mut maps = maps(2, 2);
        for value in [Some(3.0), None] {
            maps.panels.iter_mut().for_each(|panel| panel.rows.iter_mut().flatten().for_each(|cell| *cell = value));
            assert!(!svg(&maps).contains("NaN"));
        }
    }
}
