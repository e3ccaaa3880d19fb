//! Colour operations, as in Pillow's `ImageOps` and `ImageEnhance`.

use crate::data::{Image, luma};

/// Applies a function to every value.
fn map(image: &Image, f: impl Fn(u8) -> u8) -> Image {
    Image { pixels: image.pixels.iter().map(|&value| f(value)).collect(), ..*image }
}

/// Applies a lookup table to each channel. `table_of` makes it from the channel's histogram.
fn through_tables(image: &Image, table_of: impl Fn(&[u32; 256]) -> [u8; 256]) -> Image {
    image.map_planes((image.height, image.width), |plane, pixels| {
        let mut histogram = [0; 256];
        for &value in plane {
            histogram[usize::from(value)] += 1;
        }
        let table = table_of(&histogram);
        pixels.extend(plane.iter().map(|&value| table[usize::from(value)]));
    })
}

fn identity() -> [u8; 256] {
    std::array::from_fn(|value| value as u8)
}

/// Inverts all values.
pub(crate) fn invert(image: &Image) -> Image {
    map(image, |value| 255 - value)
}

/// Inverts values at or above `threshold`.
pub(crate) fn solarize(image: &Image, threshold: f32) -> Image {
    map(image, |value| if f32::from(value) < threshold { value } else { 255 - value })
}

/// Keeps the `bits` highest bits of each value.
pub(crate) fn posterize(image: &Image, bits: u32) -> Image {
    let kept = !(0xff_u16 >> bits) as u8;
    map(image, |value| value & kept)
}

/// Stretches each channel to the whole range of values.
pub(crate) fn auto_contrast(image: &Image) -> Image {
    through_tables(image, |histogram| {
        let lowest = histogram.iter().position(|&count| count > 0).unwrap_or(0);
        let highest = histogram.iter().rposition(|&count| count > 0).unwrap_or(0);
        if highest <= lowest {
            return identity();
        }
        let scale = 255.0 / (highest - lowest) as f64;
        let offset = -(lowest as f64) * scale;
        std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
    })
}

/// Flattens the histogram of each channel with a lookup table.
pub(crate) fn equalize(image: &Image) -> Image {
    through_tables(image, |histogram| {
        let total: u32 = histogram.iter().sum();
        let of_highest = histogram.iter().rev().find(|&&count| count > 0).copied().unwrap_or(0);
        let step = (total - of_highest) / 255;
        if step == 0 {
            return identity();
        }
        let mut below = step / 2;
        histogram.map(|count| {
            let value = (below / step).min(255) as u8;
            below += count;
            value
        })
    })
}

/// Interpolates from `plain` (factor 0) to `image` (factor 1) and beyond.
fn blend(plain: &Image, image: &Image, factor: f32) -> Image {
    let pairs = plain.pixels.iter().zip(&image.pixels);
    let blended = |(&p, &v): (&u8, &u8)| (f32::from(p) + factor * (f32::from(v) - f32::from(p))) as u8;
    Image { pixels: pairs.map(blended).collect(), ..*image }
}

/// Returns the brightness of each pixel of a colour image.
fn brightness(image: &Image) -> Vec<u8> {
    let plane = image.height * image.width;
    (0..plane).map(|i| luma([0, 1, 2].map(|channel| image.pixels[channel * plane + i]))).collect()
}

/// Changes the saturation of a colour image. Factor 1 changes nothing.
pub(crate) fn color(image: &Image, factor: f32) -> Image {
    let grey = Image { pixels: brightness(image).repeat(image.channels), ..*image };
    blend(&grey, image, factor)
}

/// Changes the contrast of a colour image around its mean brightness. Factor 1 changes nothing.
pub(crate) fn contrast(image: &Image, factor: f32) -> Image {
    let values = brightness(image);
    let sum: u64 = values.iter().map(|&value| u64::from(value)).sum();
    let mean = (sum as f64 / values.len() as f64 + 0.5) as u8;
    blend(&map(image, |_| mean), image, factor)
}

/// Changes the sharpness. Factor 1 changes nothing, factor 0 smooths with a 3x3 window. Border pixels do not change.
pub(crate) fn sharpness(image: &Image, factor: f32) -> Image {
    let (height, width) = (image.height, image.width);
    let smooth = image.map_planes((height, width), |plane, pixels| {
        for y in 0..height {
            for x in 0..width {
                let at = y * width + x;
                let border = y == 0 || x == 0 || y + 1 == height || x + 1 == width;
                pixels.push(if border { plane[at] } else { smoothed(plane, at, width) });
            }
        }
    });
    blend(&smooth, image, factor)
}

/// Returns the mean of a pixel, counted five times, and its eight neighbours.
fn smoothed(plane: &[u8], at: usize, width: usize) -> u8 {
    let rows = [at - width, at, at + width];
    let window: u32 = rows.iter().flat_map(|&row| &plane[row - 1..=row + 1]).map(|&value| u32::from(value)).sum();
    ((f64::from(window + 4 * u32::from(plane[at])) / 13.0) + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, pixels: &[u8]) -> Image {
        Image { channels: 1, height: pixels.len() / width, width, pixels: pixels.to_vec() }
    }

    #[test]
    fn single_values() {
        let image = grey(4, &[0, 100, 128, 255]);
        assert_eq!(invert(&image).pixels, [255, 155, 127, 0]);
        assert_eq!(solarize(&image, 128.0).pixels, [0, 100, 127, 0]);
        assert_eq!(posterize(&image, 4).pixels, [0, 96, 128, 240]);
        assert_eq!(posterize(&image, 8), image);
        assert_eq!(auto_contrast(&grey(3, &[50, 75, 101])).pixels, [0, 125, 255]);
        assert_eq!(auto_contrast(&grey(2, &[9, 9])).pixels, [9, 9]);
    }

    fn scene() -> Image {
        let pixels = (0..3 * 16 * 20usize).map(|i| ((i * i / 7 + 3 * (i / 20) + 40 * (i / 320)) % 199) as u8).collect();
        Image { channels: 3, height: 16, width: 20, pixels }
    }

    fn checksum(image: &Image) -> u64 {
        image.pixels.iter().enumerate().map(|(i, &value)| (i as u64 + 1) * u64::from(value)).sum()
    }

    #[test]
    fn whole_images_match_pillow() {
        // Expected sums of (i + 1)·value over all planes, from Pillow 13 on the same image.
        let image = scene();
        let ours = [
            checksum(&image),
            checksum(&auto_contrast(&image)),
            checksum(&equalize(&image)),
            checksum(&color(&image, 1.4)),
            checksum(&color(&image, 0.2)),
            checksum(&contrast(&image, 1.8)),
            checksum(&contrast(&image, 0.2)),
            checksum(&sharpness(&image, 1.7)),
            checksum(&sharpness(&image, 0.3)),
        ];
        assert_eq!(ours, [47722607, 61239979, 70356423, 48953546, 46520666, 52254860, 46262326, 48759254, 47610709]);
    }
}
