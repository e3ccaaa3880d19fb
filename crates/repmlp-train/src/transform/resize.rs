//! Bilinear resizing with antialiasing, as in Pillow and torchvision.

use crate::data::Image;
use crate::transform::Region;

/// Resizes a rectangle of an image.
pub(crate) fn resize(image: &Image, region: Region, (height, width): (usize, usize)) -> Image {
    let (columns, rows) = (taps(region.width, width), taps(region.height, height));
    image.map_planes((height, width), |plane, pixels| {
        let lines: Vec<f32> = (region.top..region.top + region.height)
            .flat_map(|y| shrunk_row(&plane[y * image.width + region.left..][..region.width], &columns))
            .collect();
        let mut sums = vec![0.0; width];
        for row in &rows {
            sums.fill(0.0);
            for (line, weight) in lines.chunks_exact(width).skip(row.first).zip(&row.weights) {
                for (sum, value) in sums.iter_mut().zip(line) {
                    *sum += weight * value;
                }
            }
            pixels.extend(sums.iter().map(|sum| (sum + 0.5) as u8));
        }
    })
}

fn shrunk_row(row: &[u8], columns: &[Taps]) -> impl Iterator<Item = f32> {
    columns.iter().map(|column| {
        let pairs = row[column.first..].iter().zip(&column.weights);
        pairs.map(|(&value, weight)| weight * f32::from(value)).sum()
    })
}

/// Input pixels of one output pixel, and their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// Returns the taps that resize a line from `from` to `to` pixels. Each has a triangle filter around its centre. When
/// shrinking, the triangle is wider by the same factor.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let of_place = |place: usize| {
        let centre = (place as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let last = ((centre + reach + 0.5) as usize).min(from);
        let triangle = |x: usize| (1.0 - ((x as f64 + 0.5 - centre) / reach).abs()).max(0.0);
        let sum: f64 = (first..last).map(triangle).sum();
        Taps { first, weights: (first..last).map(|x| (triangle(x) / sum) as f32).collect() }
    };
    (0..to).map(of_place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resized(height: usize, width: usize, pixels: &[u8], to: (usize, usize)) -> Vec<u8> {
        let image = Image { channels: 1, height, width, pixels: pixels.to_vec() };
        resize(&image, Region::whole(&image), to).pixels
    }

    #[test]
    fn halving_weighs_four_neighbours() {
        // Weights are 1/8, 3/8, 3/8, 1/8. At the border, one neighbour is outside, so they are 3/7, 3/7, 1/7.
        assert_eq!(resized(1, 4, &[0, 70, 140, 210], (1, 2)), [50, 160]);
        assert_eq!(resized(1, 6, &[0, 0, 80, 80, 0, 0], (1, 3))[1], 60);
    }

    #[test]
    fn growing_interpolates_between_centres() {
        assert_eq!(resized(1, 2, &[0, 100], (1, 4)), [0, 25, 75, 100]);
        assert_eq!(resized(2, 1, &[0, 100], (4, 1)), [0, 25, 75, 100]);
    }

    #[test]
    fn it_matches_pillow() {
        // `Image.resize` (BILINEAR) of Pillow 13 on (37·x + 101·y + x·y) mod 256, from 7x5 to 3x4 (width x height).
        let pixels: Vec<u8> =
            (0..35usize).map(|i| ((37 * (i % 7) + 101 * (i / 7) + (i % 7) * (i / 7)) % 256) as u8).collect();
        let ours = resized(5, 7, &pixels, (4, 3));
        let pillow = [58, 133, 166, 154, 149, 117, 123, 130, 155, 158, 109, 118];
        for (ours, pillow) in ours.iter().zip(pillow) {
            // Pillow also rounds between both passes, and its weights have 8 bits less.
            assert!(ours.abs_diff(pillow) <= 1, "{ours} {pillow}");
        }
    }

    #[test]
    fn a_region_does_not_see_its_surroundings() {
        let image = Image { channels: 1, height: 1, width: 6, pixels: vec![255, 0, 70, 140, 210, 255] };
        let region = Region { top: 0, left: 1, height: 1, width: 4 };
        assert_eq!(resize(&image, region, (1, 2)).pixels, [50, 160]);
    }
}
