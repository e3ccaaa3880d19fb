//! A picture as a list of shapes, and its conversion to SVG and PNG. Only this file uses plotters. `pdf.rs` converts it
//! to PDF.
//!
//! Plotters does not draw the words of the PNG, because it ignores the space at the left of each letter: see
//! `letters.rs`.
//!
//! Plotters places everything on whole pixels. So both formats are drawn four times as large as they are shown. The
//! view box of the SVG scales it. The PNG is averaged down to twice its shown size, which also smooths its edges.

use std::error::Error;

use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle};

use sweep_protocol::printable_line;

use super::letters::{Bitmap, Lettering, has_glyph};
use super::palette::Ink;
use super::pdf;
use crate::Rendering;

/// Number of drawn pixels per unit.
const SCALE: f64 = 4.0;
/// Number of drawn pixels, in each direction, that are averaged to one pixel of the PNG.
const SHRINK: usize = 2;

/// The font of `letters.rs`, and fonts of nearly the same width. An SVG is shown with a font that its reader has.
const FONT: FontFamily<'_> = FontFamily::Name("DejaVu Sans, Verdana, Arial, sans-serif");

/// A position, measured from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Position of a text relative to its point. In the other direction the text is always centred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
    /// Centred on the point, read from below.
    Upward,
    /// Ends at the point, read from below.
    UpwardEnd,
}

/// A shape of a picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// Points joined by lines.
    Line { points: Vec<Point>, ink: Ink, width: f64 },
    /// A filled polygon.
    Area { points: Vec<Point>, ink: Ink },
    /// A filled circle.
    Disc { center: Point, radius: f64, ink: Ink },
    /// Words.
    Words { at: Point, text: String, size: f64, ink: Ink, anchor: Anchor },
}

/// Shapes; later ones cover earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    /// Width, in the unit of all coordinates: a pixel of CSS.
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) shapes: Vec<Shape>,
}

/// A picture in all formats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) svg: String,
    pub(crate) png: Vec<u8>,
    pub(crate) pdf: Vec<u8>,
}

pub(super) type DrawingFault = Box<dyn Error + Send + Sync>;

impl Image {
    /// Returns the files `<id>.svg`, `<id>.png` and `<id>.pdf`.
    pub(crate) fn renderings(self, id: &str) -> Vec<Rendering> {
        let files = [("svg", self.svg.into_bytes()), ("png", self.png), ("pdf", self.pdf)];
        files.into_iter().map(|(kind, bytes)| Rendering { path: format!("{id}.{kind}").into(), bytes }).collect()
    }
}

impl Picture {
    /// Adds a line.
    pub(super) fn line(&mut self, points: Vec<Point>, ink: Ink, width: f64) {
        self.shapes.push(Shape::Line { points, ink, width });
    }

    /// Adds a filled rectangle between two opposite corners.
    pub(super) fn rectangle(&mut self, from: Point, to: Point, ink: Ink) {
        let points = vec![from, Point { y: to.y, ..from }, to, Point { x: to.x, ..from }];
        self.shapes.push(Shape::Area { points, ink });
    }

    /// Adds a border between the upper left and the lower right corner of a rectangle.
    pub(super) fn frame(&mut self, from: Point, to: Point, (ink, width): (Ink, f64)) {
        let half = width / 2.0;
        let (left, top, right, bottom) = (from.x, from.y, to.x, to.y);
        let mut side = |x: [f64; 2], y: [f64; 2]| {
            let (head, foot) = (Point { x: x[0] - half, y: y[0] - half }, Point { x: x[1] + half, y: y[1] + half });
            self.rectangle(head, foot, ink);
        };
        side([left, right], [top, top]);
        side([left, right], [bottom, bottom]);
        side([left, left], [top, bottom]);
        side([right, right], [top, bottom]);
    }

    /// Adds a text.
    pub(super) fn words(&mut self, at: Point, text: &str, (size, anchor): (f64, Anchor), ink: Ink) {
        self.shapes.push(Shape::Words { at, text: text.to_owned(), size, ink, anchor });
    }

    /// Renders the picture in all formats.
    pub(crate) fn image(&self) -> Result<Image, DrawingFault> {
        Ok(Image { svg: self.svg()?, png: self.png()?, pdf: pdf::document(self)? })
    }

    /// Returns the picture as SVG.
    pub(crate) fn svg(&self) -> Result<String, DrawingFault> {
        let (width, height) = (pixels(self.width), pixels(self.height));
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (width.unsigned_abs(), height.unsigned_abs())).into_drawing_area();
        self.draw_shapes(&area)?;
        for shape in &self.shapes {
            if let Shape::Words { at, text, size, ink, anchor } = shape {
                // A control character would make the SVG invalid XML.
                area.draw(&Text::new(printable_line(text).into_owned(), pixel(*at), text_style(*size, *ink, *anchor)))?;
            }
        }
        area.present()?;
        drop(area);
        let drawn = format!("width=\"{width}\" height=\"{height}\"");
        Ok(svg.replacen(&drawn, &format!("width=\"{}\" height=\"{}\"", self.width, self.height), 1))
    }

    fn png(&self) -> Result<Vec<u8>, DrawingFault> {
        let (width, height) = (pixels(self.width).unsigned_abs(), pixels(self.height).unsigned_abs());
        let mut drawn = vec![0; 3 * width as usize * height as usize];
        let area = BitMapBackend::with_buffer(&mut drawn, (width, height)).into_drawing_area();
        self.draw_shapes(&area)?;
        drop(area);
        let mut bitmap = Bitmap { pixels: &mut drawn, width: width as usize };
        for shape in &self.shapes {
            if let Shape::Words { at, text, size, ink, anchor } = shape {
                let at = Point { x: at.x * SCALE, y: at.y * SCALE };
                bitmap.write(&Lettering { at, text, size: size * SCALE, ink: *ink, anchor: *anchor });
            }
        }
        encoded(&shrunk(&drawn, width as usize), (width, height))
    }

    /// Returns the characters that its PNG shows as boxes, because the embedded font lacks them.
    pub(crate) fn missing_glyphs(&self) -> impl Iterator<Item = char> {
        let texts = self.shapes.iter().filter_map(|shape| match shape {
            Shape::Words { text, .. } => Some(text),
            _ => None,
        });
        texts.flat_map(|text| printable_line(text).chars().filter(|c| !has_glyph(*c)).collect::<Vec<char>>())
    }

    /// Draws everything except words.
    fn draw_shapes<B>(&self, area: &DrawingArea<B, Shift>) -> Result<(), DrawingFault>
    where
        B: DrawingBackend,
        B::ErrorType: 'static,
    {
        area.fill(&plotters::style::WHITE)?;
        for shape in &self.shapes {
            match shape {
                Shape::Line { points, ink, width } => {
                    let stroke_width = pixels(*width).unsigned_abs();
                    let style = ShapeStyle { color: color(*ink).into(), filled: false, stroke_width };
                    area.draw(&PathElement::new(path(points), style))?;
                }
                Shape::Area { points, ink } => area.draw(&Polygon::new(path(points), color(*ink)))?,
                Shape::Disc { center, radius, ink } => {
                    let style = ShapeStyle { color: color(*ink).into(), filled: true, stroke_width: 0 };
                    area.draw(&Circle::new(pixel(*center), pixels(*radius), style))?;
                }
                Shape::Words { .. } => {}
            }
        }
        Ok(())
    }
}

/// Encodes an image as PNG. The size is that before shrinking.
fn encoded(shrunk: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, DrawingFault> {
    let factor = u32::try_from(SHRINK)?;
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, width / factor, height / factor);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(shrunk)?;
    writer.finish()?;
    Ok(png)
}

fn text_style(size: f64, ink: Ink, anchor: Anchor) -> TextStyle<'static> {
    let (horizontal, transform) = match anchor {
        Anchor::Start => (HPos::Left, FontTransform::None),
        Anchor::Middle => (HPos::Center, FontTransform::None),
        Anchor::End => (HPos::Right, FontTransform::None),
        Anchor::Upward => (HPos::Center, FontTransform::Rotate270),
        Anchor::UpwardEnd => (HPos::Right, FontTransform::Rotate270),
    };
    // The SVG backend divides the font size by 1.24.
    let font = (FONT, 1.24 * size * SCALE).into_font().transform(transform);
    TextStyle { font, color: color(ink).to_backend_color(), pos: Pos::new(horizontal, VPos::Center) }
}

fn color(ink: Ink) -> RGBColor {
    RGBColor(ink.0, ink.1, ink.2)
}

/// Converts a path to pixels. It drops repeated pixels, because they would leave a thick line without a direction.
fn path(points: &[Point]) -> Vec<(i32, i32)> {
    let mut pixels: Vec<(i32, i32)> = points.iter().map(|point| pixel(*point)).collect();
    pixels.dedup();
    pixels
}

fn pixel(point: Point) -> (i32, i32) {
    (pixels(point.x), pixels(point.y))
}

fn pixels(length: f64) -> i32 {
    (length * SCALE).round() as i32
}

/// Shrinks an image: each pixel is the mean of a square of drawn pixels.
fn shrunk(drawn: &[u8], width: usize) -> Vec<u8> {
    let height = drawn.len() / (3 * width);
    let mut out = Vec::with_capacity(drawn.len() / (SHRINK * SHRINK));
    for y in 0..height / SHRINK {
        for x in 0..width / SHRINK {
            for channel in 0..3 {
                let square = (0..SHRINK * SHRINK).map(|i| (x * SHRINK + i % SHRINK, y * SHRINK + i / SHRINK));
                let sum: usize = square.map(|(x, y)| usize::from(drawn[3 * (y * width + x) + channel])).sum();
                out.push((sum / (SHRINK * SHRINK)).min(255) as u8);
            }
        }
    }
    out
}
