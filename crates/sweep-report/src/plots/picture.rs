//! A picture as a list of shapes, and how it becomes SVG and PNG. The only file that knows plotters.
//!
//! Words of the PNG are not left to plotters, which sets each letter without the blank at its left: see `letters.rs`.
//!
//! Plotters places everything on whole pixels, so both are drawn four times as large as they are shown: the SVG is
//! scaled by its view box, the PNG is averaged down to twice its shown size, which also smooths its edges.

use std::error::Error;

use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle};

use sweep_protocol::printable_line;

use super::letters::{Bitmap, Lettering};
use super::palette::Ink;

/// Width of a picture, in the unit of all its coordinates.
pub(super) const WIDTH: f64 = 600.0;
/// Height of a picture.
pub(super) const HEIGHT: f64 = 400.0;

/// Drawn pixels for each unit.
const SCALE: f64 = 4.0;
/// Drawn pixels, in each direction, that become one pixel of the PNG.
const SHRINK: usize = 2;

/// The font of `letters.rs`, and others of nearly its width, since an SVG is shown with what its reader has.
const FONT: FontFamily<'_> = FontFamily::Name("DejaVu Sans, Verdana, Arial, sans-serif");

/// A place, from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Where a text lies, seen from its point; it is always centred on the other direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
    /// Middle, read from below.
    Upward,
    /// Ends at the point, read from below.
    UpwardEnd,
}

/// One thing that is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// Joined points.
    Line { points: Vec<Point>, ink: Ink, width: f64 },
    /// A filled polygon.
    Area { points: Vec<Point>, ink: Ink },
    /// A filled circle.
    Disc { center: Point, radius: f64, ink: Ink },
    /// Words.
    Words { at: Point, text: String, size: f64, ink: Ink, anchor: Anchor },
}

/// Shapes, later ones above earlier ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Picture {
    pub(super) shapes: Vec<Shape>,
}

/// A picture in both formats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) svg: String,
    pub(crate) png: Vec<u8>,
}

type DrawingFault = Box<dyn Error + Send + Sync>;

impl Picture {
    /// Both formats of the picture.
    pub(super) fn image(&self) -> Result<Image, DrawingFault> {
        Ok(Image { svg: self.svg()?, png: self.png()? })
    }

    fn svg(&self) -> Result<String, DrawingFault> {
        let (width, height) = (pixels(WIDTH), pixels(HEIGHT));
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (width.unsigned_abs(), height.unsigned_abs())).into_drawing_area();
        self.draw_shapes(&area)?;
        for shape in &self.shapes {
            if let Shape::Words { at, text, size, ink, anchor } = shape {
                // A control character would make this no XML.
                area.draw(&Text::new(printable_line(text).into_owned(), pixel(*at), text_style(*size, *ink, *anchor)))?;
            }
        }
        area.present()?;
        drop(area);
        let drawn = format!("width=\"{width}\" height=\"{height}\"");
        Ok(svg.replacen(&drawn, &format!("width=\"{WIDTH}\" height=\"{HEIGHT}\""), 1))
    }

    fn png(&self) -> Result<Vec<u8>, DrawingFault> {
        let (width, height) = (pixels(WIDTH).unsigned_abs(), pixels(HEIGHT).unsigned_abs());
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

    /// Draws everything but words.
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

/// The PNG of an image that was drawn at this size and then shrunk.
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
    // The SVG backend divides the size by 1.24, for reasons of its own.
    let font = (FONT, 1.24 * size * SCALE).into_font().transform(transform);
    TextStyle { font, color: color(ink).to_backend_color(), pos: Pos::new(horizontal, VPos::Center) }
}

fn color(ink: Ink) -> RGBColor {
    RGBColor(ink.0, ink.1, ink.2)
}

/// The pixels of a path; a point on its predecessor's pixel would give a thick line no direction.
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

/// Each pixel the mean of a square of drawn ones.
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
