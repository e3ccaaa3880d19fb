//! Crops of an image.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use repmlp::stream::uniform;

use crate::data::{Image, RandomResizedCropConfig};
use crate::transform::resize;

/// A rectangle of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Region {
    /// Returns the whole image as a region.
    pub(crate) fn whole(image: &Image) -> Self {
        Self { top: 0, left: 0, height: image.height, width: image.width }
    }

    /// Returns a centred region. Half pixels are rounded to even numbers, as in torchvision.
    fn middle(of: (usize, usize), (height, width): (usize, usize)) -> Self {
        let before = |whole: usize, part: usize| ((whole - part) as f64 / 2.0).round_ties_even() as usize;
        Self { top: before(of.0, height), left: before(of.1, width), height, width }
    }
}

/// Attempts to draw a rectangle inside the image. After that, the middle is taken.
const ATTEMPTS: usize = 10;

/// Draws the rectangle of torchvision's `RandomResizedCrop`: random area, random ratio of width to height, random
/// place.
pub(crate) fn random_resized_crop(
    (height, width): (usize, usize),
    config: &RandomResizedCropConfig,
    rng: &mut ChaCha8Rng,
) -> Region {
    let ([smallest, largest], [narrowest, widest]) = (config.scale, config.ratio);
    let area = (height * width) as f64;
    let mut between = |low: f64, high: f64| low + (high - low) * f64::from(uniform(rng));
    let mut sizes = Vec::with_capacity(ATTEMPTS);
    for _ in 0..ATTEMPTS {
        let target = area * between(smallest, largest);
        let ratio = between(narrowest.ln(), widest.ln()).exp();
        sizes.push(((target / ratio).sqrt().round() as usize, (target * ratio).sqrt().round() as usize));
    }
    match sizes.into_iter().find(|&(h, w)| (1..=height).contains(&h) && (1..=width).contains(&w)) {
        Some((h, w)) => {
            let mut place = |room: usize| (rng.next_u64() % (room as u64 + 1)) as usize;
            Region { top: place(height - h), left: place(width - w), height: h, width: w }
        }
        None => {
            let ratio = width as f64 / height as f64;
            let narrowed = ((height as f64 * widest).round() as usize).clamp(1, width);
            let flattened = ((width as f64 / narrowest).round() as usize).clamp(1, height);
            let size = match ratio {
                r if r > widest => (height, narrowed),
                r if r < narrowest => (flattened, width),
                _ => (height, width),
            };
            Region::middle((height, width), size)
        }
    }
}

/// Resizes the image to a shorter side of `short` and cuts out the middle square of `side`.
pub(crate) fn short_side_crop(image: &Image, short: usize, side: usize) -> Image {
    let (height, width) = (image.height, image.width);
    let long = |of: usize, per: usize| short * of / per;
    let size = if height <= width { (short, long(width, height)) } else { (long(height, width), short) };
    let resized = resize(image, Region::whole(image), size);
    resize(&resized, Region::middle(size, (side, side)), (side, side))
}

#[cfg(test)]
mod tests {
    use repmlp::stream::stream;

    use super::*;

    fn drawn(size: (usize, usize), count: u64) -> Vec<Region> {
        let config = RandomResizedCropConfig::default();
        (0..count).map(|i| random_resized_crop(size, &config, &mut stream(0, "test", &[i]))).collect()
    }

    #[test]
    fn crops_are_inside_the_image_and_reach_every_size() {
        let all = drawn((64, 48), 4000);
        let area = |r: &Region| (r.height * r.width) as f64 / (64.0 * 48.0);
        for region in &all {
            assert!(region.top + region.height <= 64 && region.left + region.width <= 48);
            // Rounding changes a side by at most half a pixel. For the smallest crop, 16 x 12, that is 1/32 and 1/24.
            assert!(area(region) > 0.07 && area(region) <= 1.0, "{region:?}");
            let ratio = region.width as f64 / region.height as f64;
            assert!(ratio > 0.7 && ratio < 1.43, "{region:?}");
        }
        let smallest = all.iter().map(area).fold(1.0, f64::min);
        let largest = all.iter().map(area).fold(0.0, f64::max);
        assert!(smallest < 0.1 && largest > 0.95, "{smallest} {largest}");
        assert!(all.iter().any(|r| r.top == 0) && all.iter().any(|r| r.top + r.height == 64));
        // Areas are uniform in [0.08, 1], but large crops often do not fit. So the mean is below 0.54.
        let mean = all.iter().map(area).sum::<f64>() / 4000.0;
        assert!((0.42..0.54).contains(&mean), "{mean}");
    }

    #[test]
    fn a_strip_that_no_crop_fits_gives_its_middle() {
        let config = RandomResizedCropConfig { scale: [1.0, 1.0], ratio: [0.75, 4.0 / 3.0] };
        let region = random_resized_crop((9, 100), &config, &mut stream(0, "test", &[]));
        assert_eq!(region, Region { top: 0, left: 44, height: 9, width: 12 });
    }

    #[test]
    fn the_short_side_is_resized_and_the_middle_kept() {
        let image = Image { channels: 1, height: 2, width: 8, pixels: [0, 0, 0, 10, 20, 0, 0, 0].repeat(2) };
        let square = short_side_crop(&image, 2, 2);
        assert_eq!(square.pixels, [10, 20, 10, 20]);
        let smaller = short_side_crop(&Image { channels: 1, height: 6, width: 4, pixels: vec![9; 24] }, 2, 1);
        assert_eq!((smaller.height, smaller.width, smaller.pixels), (1, 1, vec![9]));
    }
}
