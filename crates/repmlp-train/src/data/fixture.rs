//! Image files of our own making, for tests.

use std::path::Path;

use png::{BitDepth, ColorType};

use crate::data::files::{Depth, Reading};

/// Every file to its end.
pub(crate) const WHOLE: Reading = Reading { pixel_limit: 1 << 26, depth: Depth::Pixels };

/// A JPEG of 16x8 pixels: (200, 100, 30) on the left half, (20, 60, 220) on the right.
pub(crate) fn tiny_jpeg() -> Vec<u8> {
    include_bytes!("two-colors.jpg").to_vec()
}

/// A PNG of `height` x `width` with 1 or 3 interleaved channels.
pub(crate) fn png_of((height, width): (usize, usize), channels: usize, interleaved: &[u8]) -> Vec<u8> {
    let color = if channels == 1 { ColorType::Grayscale } else { ColorType::Rgb };
    packed_png((height, width), (color, BitDepth::Eight), interleaved)
}

/// A PNG of `height` x `width` of any kind; its rows are whole bytes.
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

/// A PNG of one grey value.
pub(crate) fn plain_png(size: (usize, usize), value: u8) -> Vec<u8> {
    png_of(size, 1, &vec![value; size.0 * size.1])
}

/// A folder that holds these files.
pub(crate) fn folder_with(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        write(folder.path(), name, bytes);
    }
    folder
}

/// One more file.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
