//! Generated image files for tests.

use std::path::Path;

use png::{BitDepth, ColorType};

use crate::data::config::CUSTOMARY_PIXELS;
use crate::data::files::{Depth, Reading};

/// Reads and decodes every file completely.
pub(crate) const WHOLE: Reading<'static> =
    Reading { pixel_limit: CUSTOMARY_PIXELS, depth: Depth::Pixels, digests: None };

/// Returns a JPEG of 16x8 pixels: (200, 100, 30) in the left half, (20, 60, 220) in the right half.
pub(crate) fn tiny_jpeg() -> Vec<u8> {
    include_bytes!("two-colors.jpg").to_vec()
}

/// Returns a PNG of `height` x `width` pixels with 1 or 3 interleaved channels.
pub(crate) fn png_of((height, width): (usize, usize), channels: usize, interleaved: &[u8]) -> Vec<u8> {
    let color = if channels == 1 { ColorType::Grayscale } else { ColorType::Rgb };
    packed_png((height, width), (color, BitDepth::Eight), interleaved)
}

/// Returns a PNG of `height` x `width` pixels of any kind. Each row of `rows` starts at a whole byte.
pub(crate) fn packed_png(
    (height, width): (usize, usize),
    (color, depth): (ColorType, BitDepth),
    rows: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        let colors = 3 << (depth as usize).min(8);
        encoder.set_palette((0..colors).map(|i| (255 - i / 3) as u8).collect::<Vec<u8>>());
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(rows).unwrap();
    writer.finish().unwrap();
    bytes
}

/// Returns a PNG with one grey value.
pub(crate) fn plain_png(size: (usize, usize), value: u8) -> Vec<u8> {
    png_of(size, 1, &vec![value; size.0 * size.1])
}

/// Makes a folder with these files.
pub(crate) fn folder_with(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write(folder.path(), name, bytes);
    }
    folder
}

/// Writes a file and the folders above it.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
