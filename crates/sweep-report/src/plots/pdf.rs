//! A picture as a PDF of one page, for papers: lines stay lines, and words stay words that can be searched and copied.
//!
//! The page holds the letters that it uses, from the embedded font. It has no date and no random id, and its streams
//! are not compressed. So the same picture gives the same bytes everywhere. This module knows shapes, but not plots.

use std::collections::BTreeMap;

use ab_glyph::{Font, FontRef, GlyphId};
use pdf_writer::types::{CidFontType, FontFlags, LineJoinStyle, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Name, Pdf, Rect, Ref, Str};
use subsetter::GlyphRemapper;
use sweep_protocol::printable_line;

use super::letters::{FONT, FOOT, Letter, font, set};
use super::palette::Ink;
use super::picture::{Anchor, DrawingFault, Picture, Point, Shape};

/// Points per unit of a picture. A unit is a pixel of CSS. An inch has 96 pixels or 72 points, so a PDF is as large as
/// the SVG.
const POINTS: f64 = 0.75;

/// Name of the font inside the file. Six letters and a plus sign say that the font is not whole.
const FONT_NAME: Name<'static> = Name(b"AAAAAA+DejaVuSans");
/// Name of the font on the page.
const ON_PAGE: Name<'static> = Name(b"F");
/// Codes of letters are our own numbers, so the font belongs to no collection of characters.
const SYSTEM: SystemInfo<'static> = SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };

const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const PAGE: Ref = Ref::new(3);
const CONTENT: Ref = Ref::new(4);
const TEXT_FONT: Ref = Ref::new(5);
const CID_FONT: Ref = Ref::new(6);
const DESCRIPTOR: Ref = Ref::new(7);
const FONT_FILE: Ref = Ref::new(8);
const GLYPHS: Ref = Ref::new(9);
const CHARACTERS: Ref = Ref::new(10);

/// The letters of a page. Each character has a code, also one that the font lacks: it is drawn as a box, but copied as
/// what it is.
#[derive(Default)]
struct Alphabet {
    codes: BTreeMap<char, (u16, GlyphId)>,
}

/// Returns the bytes of the PDF.
pub(super) fn document(picture: &Picture) -> Result<Vec<u8>, DrawingFault> {
    let mut alphabet = Alphabet::default();
    let content = alphabet.content(picture)?;
    let size = |length: f64| rounded(length * POINTS);
    let mut pdf = Pdf::new();
    pdf.catalog(CATALOG).pages(PAGES);
    pdf.pages(PAGES).kids([PAGE]).count(1);
    let mut page = pdf.page(PAGE);
    page.parent(PAGES).media_box(Rect::new(0.0, 0.0, size(picture.width), size(picture.height))).contents(CONTENT);
    page.resources().fonts().pair(ON_PAGE, TEXT_FONT);
    drop(page);
    pdf.stream(CONTENT, &content);
    alphabet.write(&mut pdf)?;
    Ok(pdf.finish())
}

impl Alphabet {
    /// Draws the shapes, and collects the letters.
    fn content(&mut self, picture: &Picture) -> Result<Vec<u8>, DrawingFault> {
        let mut content = Content::new();
        // A page is measured from its lower left corner, a picture from its upper left one.
        let scale = rounded(POINTS);
        content.transform([scale, 0.0, 0.0, -scale, 0.0, rounded(picture.height * POINTS)]);
        content.set_line_join(LineJoinStyle::RoundJoin);
        for shape in &picture.shapes {
            match shape {
                Shape::Line { points, ink, width } => {
                    let [r, g, b] = rgb(*ink);
                    content.set_stroke_rgb(r, g, b).set_line_width(rounded(*width));
                    add_path(&mut content, points);
                    content.stroke();
                }
                Shape::Area { points, ink } => {
                    let [r, g, b] = rgb(*ink);
                    content.set_fill_rgb(r, g, b);
                    add_path(&mut content, points);
                    content.close_path().fill_nonzero();
                }
                Shape::Disc { center, radius, ink } => {
                    let [r, g, b] = rgb(*ink);
                    content.set_fill_rgb(r, g, b);
                    add_circle(&mut content, *center, *radius);
                    content.close_path().fill_nonzero();
                }
                Shape::Words { at, text, size, ink, anchor } => {
                    let [r, g, b] = rgb(*ink);
                    content.set_fill_rgb(r, g, b);
                    self.add_words(&mut content, (*at, *anchor), (&printable_line(text), *size))?;
                }
            }
        }
        Ok(content.finish().into_vec())
    }

    fn add_words(
        &mut self,
        content: &mut Content,
        (at, anchor): (Point, Anchor),
        (text, size): (&str, f64),
    ) -> Result<(), DrawingFault> {
        let line = set(text, size);
        let (along, foot) = (line.start(anchor), FOOT * size);
        // The second vector points up, away from the line: the picture is measured downwards.
        let matrix = match anchor {
            Anchor::Start | Anchor::Middle | Anchor::End => [1.0, 0.0, 0.0, -1.0, at.x - along, at.y + foot],
            Anchor::Upward | Anchor::UpwardEnd => [0.0, -1.0, -1.0, 0.0, at.x + foot, at.y + along],
        };
        content.begin_text().set_font(ON_PAGE, rounded(size)).set_text_matrix(matrix.map(rounded));
        let mut shown = content.show_positioned();
        let mut items = shown.items();
        let mut expected = 0.0;
        for Letter { character, glyph, at, advance } in line.letters {
            // Kerning moves a letter off the place where the one before it ends.
            let kern = rounded(f64::from(expected - at) * 1000.0 / size);
            if kern != 0.0 {
                items.adjust(kern);
            }
            items.show(Str(&self.code(character, glyph)?.to_be_bytes()));
            expected = at + advance;
        }
        drop(items);
        drop(shown);
        content.end_text();
        Ok(())
    }

    /// Returns the code of a character. Codes are counted from 1 in the order of their first use.
    fn code(&mut self, character: char, glyph: GlyphId) -> Result<u16, DrawingFault> {
        let next = u16::try_from(self.codes.len() + 1)?;
        Ok(self.codes.entry(character).or_insert((next, glyph)).0)
    }

    /// Writes the font, reduced to the letters in use.
    fn write(&self, pdf: &mut Pdf) -> Result<(), DrawingFault> {
        let font = font();
        let units = f64::from(font.units_per_em().ok_or("the embedded font has no units")?);
        // Lengths in a PDF's font are thousandths of the em square.
        let thousandths = |length: f32| (f64::from(length) * 1000.0 / units).round() as f32;
        let mut by_code: Vec<(u16, char, GlyphId)> =
            self.codes.iter().map(|(character, (code, glyph))| (*code, *character, *glyph)).collect();
        by_code.sort_unstable();
        let mut kept = GlyphRemapper::new();
        // Code 0 is not used, and has the glyph 0 of every font.
        let mut glyphs = vec![0, 0];
        let mut characters = UnicodeCmap::new(Name(b"Characters"), SYSTEM);
        for (code, character, glyph) in &by_code {
            glyphs.extend(kept.remap(glyph.0).to_be_bytes());
            characters.pair(*code, *character);
        }
        pdf.type0_font(TEXT_FONT)
            .base_font(FONT_NAME)
            .encoding_predefined(Name(b"Identity-H"))
            .descendant_font(CID_FONT)
            .to_unicode(CHARACTERS);
        let mut cid_font = pdf.cid_font(CID_FONT);
        cid_font
            .subtype(CidFontType::Type2)
            .base_font(FONT_NAME)
            .system_info(SYSTEM)
            .font_descriptor(DESCRIPTOR)
            .default_width(0.0)
            .cid_to_gid_map_stream(GLYPHS);
        let widths = by_code.iter().map(|(_, _, glyph)| thousandths(font.h_advance_unscaled(*glyph)));
        cid_font.widths().consecutive(1, widths);
        drop(cid_font);
        write_descriptor(pdf, &font, thousandths);
        let subset = subsetter::subset(FONT, 0, &kept)?;
        pdf.stream(FONT_FILE, &subset).pair(Name(b"Length1"), i32::try_from(subset.len())?);
        pdf.stream(GLYPHS, &glyphs);
        pdf.stream(CHARACTERS, &characters.finish());
        Ok(())
    }
}

fn write_descriptor(pdf: &mut Pdf, font: &FontRef<'_>, thousandths: impl Fn(f32) -> f32) {
    let (ascent, descent) = (thousandths(font.ascent_unscaled()), thousandths(font.descent_unscaled()));
    pdf.font_descriptor(DESCRIPTOR)
        .name(FONT_NAME)
        .flags(FontFlags::NON_SYMBOLIC)
        .bbox(Rect::new(-1000.0, descent, 2000.0, ascent))
        .italic_angle(0.0)
        .ascent(ascent)
        .descent(descent)
        // Heights and stems only help to replace a font that is missing. This one is embedded.
        .cap_height(729.0)
        .stem_v(80.0)
        .font_file2(FONT_FILE);
}

fn add_path(content: &mut Content, points: &[Point]) {
    for (i, point) in points.iter().enumerate() {
        let (x, y) = (rounded(point.x), rounded(point.y));
        if i == 0 {
            content.move_to(x, y)
        } else {
            content.line_to(x, y)
        };
    }
}

/// Distance of the control points of a quarter of a circle with radius 1.
const QUARTER: f64 = 0.552_285;

fn add_circle(content: &mut Content, center: Point, radius: f64) {
    let on = |x: f64, y: f64| (rounded(center.x + radius * x), rounded(center.y + radius * y));
    let (x, y) = on(1.0, 0.0);
    content.move_to(x, y);
    for (x, y) in [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)] {
        // The next quarter ends a right angle further.
        let (next_x, next_y) = (-y, x);
        let (first_x, first_y) = on(x + QUARTER * next_x, y + QUARTER * next_y);
        let (second_x, second_y) = on(next_x + QUARTER * x, next_y + QUARTER * y);
        let (end_x, end_y) = on(next_x, next_y);
        content.cubic_to(first_x, first_y, second_x, second_y, end_x, end_y);
    }
}

/// Rounds to hundredths: finer places than a reader sees would only make the file longer.
fn rounded(length: f64) -> f32 {
    ((length * 100.0).round() / 100.0) as f32
}

fn rgb(ink: Ink) -> [f32; 3] {
    [ink.0, ink.1, ink.2].map(|channel| (f64::from(channel) / 255.0 * 1000.0).round() as f32 / 1000.0)
}
