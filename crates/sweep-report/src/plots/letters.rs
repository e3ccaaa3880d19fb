//! Sets words as lines of letters, with a font that is embedded in the program, and draws them as pixels.
//!
//! It uses no font of the machine. So the same words give the same pixels, and the same PDF, everywhere.

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};

use super::palette::Ink;
use super::picture::{Anchor, Point};

/// The font `DejaVu Sans`, reduced to Latin and Greek letters and common signs. It was made with
/// `pyftsubset DejaVuSans.ttf --no-hinting --layout-features=kern --notdef-outline --unicodes=…`. The list of
/// characters is that of the earlier subset, extended by U+00A0-017F, U+0370-03FF and U+25A1.
pub(super) const FONT: &[u8] = include_bytes!("../../fonts/DejaVuSans-subset.ttf");

/// Distance from the middle of a text down to its baseline, relative to its size. It is half the height of small
/// letters, as in an SVG.
pub(super) const FOOT: f64 = 0.274;

/// Words to draw.
pub(super) struct Lettering<'a> {
    pub(super) at: Point,
    pub(super) text: &'a str,
    /// Height of the font's em square.
    pub(super) size: f64,
    pub(super) ink: Ink,
    pub(super) anchor: Anchor,
}

/// An image with three bytes per pixel.
pub(super) struct Bitmap<'a> {
    pub(super) pixels: &'a mut [u8],
    pub(super) width: usize,
}

/// Returns the width of a text.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    set(text, size).width
}

impl Bitmap<'_> {
    /// Draws words on top of the image.
    pub(super) fn write(&mut self, words: &Lettering<'_>) {
        let line = set(words.text, words.size);
        let start = line.start(words.anchor);
        let foot = FOOT * words.size;
        let font = font();
        let scale = scale_of(&font, words.size);
        let outline =
            |letter: &Letter| font.outline_glyph(letter.glyph.with_scale_and_position(scale, point(letter.at, 0.0)));
        for glyph in line.letters.iter().filter_map(outline) {
            let corner = glyph.px_bounds().min;
            glyph.draw(|x, y, share| {
                let along = f64::from(corner.x) + f64::from(x) - start;
                let down = f64::from(corner.y) + f64::from(y) + foot;
                let place = match words.anchor {
                    Anchor::Upward | Anchor::UpwardEnd => Point { x: words.at.x + down, y: words.at.y - along },
                    _ => Point { x: words.at.x + along, y: words.at.y + down },
                };
                self.blend(place, words.ink, share);
            });
        }
    }

    /// Blends a colour into a pixel. Pixels outside the bitmap are ignored.
    fn blend(&mut self, at: Point, ink: Ink, share: f32) {
        let (x, y) = (at.x.round(), at.y.round());
        if x < 0.0 || y < 0.0 || x >= self.width as f64 {
            return;
        }
        let first = 3 * (y as usize * self.width + x as usize);
        let channels = self.pixels.get_mut(first..first + 3).into_iter().flatten();
        for (channel, full) in channels.zip([ink.0, ink.1, ink.2]) {
            let (below, above) = (f32::from(*channel), f32::from(full));
            *channel = (below + (above - below) * share.clamp(0.0, 1.0)).round() as u8;
        }
    }
}

/// Shortens a text to a width of at most `room`. It removes the middle, because labels may differ at both ends.
pub(super) fn shortened(text: &str, size: f64, room: f64) -> String {
    if text_width(text, size) <= room {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let kept = |n: usize| -> String {
        let head = n - n / 3;
        let (start, end) = (&chars[..head], &chars[chars.len() - n / 3..]);
        let start: String = start.iter().collect();
        format!("{}…{}", start.trim_end(), end.iter().collect::<String>().trim_start())
    };
    (1..chars.len()).rev().map(kept).find(|text| text_width(text, size) <= room).unwrap_or_else(|| "…".to_owned())
}

/// Whether the font has a character. Characters that it lacks are drawn as boxes.
pub(super) fn has_glyph(c: char) -> bool {
    c.is_whitespace() || font().glyph_id(c).0 != 0
}

pub(super) fn font() -> FontRef<'static> {
    FontRef::try_from_slice(FONT).expect("the embedded file is a valid font")
}

/// The sign for characters that the font lacks: a white box.
const BOX: char = '□';

/// A text as one line of letters. The line starts at 0, and its baseline is at 0.
pub(super) struct Line {
    pub(super) letters: Vec<Letter>,
    pub(super) width: f64,
}

/// One letter of a line.
pub(super) struct Letter {
    /// The character of the text. If the font lacks it, the glyph is a box.
    pub(super) character: char,
    pub(super) glyph: GlyphId,
    /// Position at which the letter starts.
    pub(super) at: f32,
    /// Distance from there to the start of the next letter, without kerning.
    pub(super) advance: f32,
}

impl Line {
    /// Returns the distance from the start of the line to its anchor.
    pub(super) fn start(&self, anchor: Anchor) -> f64 {
        match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle | Anchor::Upward => self.width / 2.0,
            Anchor::End | Anchor::UpwardEnd => self.width,
        }
    }
}

/// Sets a text as one line.
pub(super) fn set(text: &str, size: f64) -> Line {
    let font = font();
    let scaled = font.as_scaled(scale_of(&font, size));
    let (mut at, mut previous, mut letters) = (0.0, None, Vec::new());
    for character in text.chars() {
        let glyph = scaled.glyph_id(if has_glyph(character) { character } else { BOX });
        at += previous.map_or(0.0, |previous| scaled.kern(previous, glyph));
        let advance = scaled.h_advance(glyph);
        letters.push(Letter { character, glyph, at, advance });
        at += advance;
        previous = Some(glyph);
    }
    Line { letters, width: f64::from(at) }
}

fn scale_of(font: &FontRef<'_>, size: f64) -> PxScale {
    let units = font.units_per_em().expect("the embedded font defines its units per em");
    PxScale::from(size as f32 * font.height_unscaled() / units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_of_a_report_is_in_the_font() {
        let font = font();
        let greek = ('Α'..='ω').filter(|c| c.is_alphabetic());
        for c in (' '..='~').chain("±−–—…·≤≥×Δäöüßéïμρ→←²□".chars()).chain(greek) {
            assert_ne!(font.glyph_id(c).0, 0, "{c}");
        }
    }

    #[test]
    fn a_long_text_keeps_both_ends_and_fits() {
        let long = "a label as somebody writes it who explains the whole method, and more";
        for room in [30.0, 100.0, 200.0] {
            let short = shortened(long, 11.0, room);
            assert!(text_width(&short, 11.0) <= room && short.contains('…') && short.starts_with('a'), "{short}");
        }
        assert!(shortened(long, 11.0, 200.0).ends_with("more"));
        assert_eq!(shortened("short", 11.0, 100.0), "short");
    }

    #[test]
    fn a_character_that_the_font_lacks_is_a_box() {
        assert!(!has_glyph('蜂') && has_glyph('Ω') && has_glyph('ï'));
        assert!((text_width("蜂", 10.0) - text_width("□", 10.0)).abs() < 1e-9);
    }

    #[test]
    fn width_grows_with_text_and_size() {
        let width = text_width("groups", 10.0);
        assert!(width > 30.0 && width < 45.0, "{width}");
        assert!((text_width("groups", 20.0) - 2.0 * width).abs() < 1e-3);
        assert!((text_width("", 10.0)).abs() < 1e-9);
    }
}
