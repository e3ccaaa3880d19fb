//! AutoAugment (arXiv 1805.09501) with the policy for ImageNet. One of 25 pairs of operations is drawn, and each
//! operation is applied with its own probability.
//!
//! All ten operations of the policy are implemented, with the magnitudes of torchvision, nearest-neighbour sampling and
//! black corners.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use repmlp::stream::uniform;

use crate::data::Image;
use crate::transform::color;
use crate::transform::warp::Warp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    AutoContrast,
    Color,
    Contrast,
    Equalize,
    Invert,
    Posterize,
    Rotate,
    Sharpness,
    ShearX,
    Solarize,
}

use Operation::{AutoContrast, Color, Contrast, Equalize, Invert, Posterize, Rotate, Sharpness, ShearX, Solarize};

/// Operation, probability, magnitude from 0 to 9 (0 where the operation has none).
type Step = (Operation, f32, u8);

/// Table 9 of the paper.
const IMAGENET: [[Step; 2]; 25] = [
    [(Posterize, 0.4, 8), (Rotate, 0.6, 9)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
    [(Posterize, 0.6, 7), (Posterize, 0.6, 6)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
    [(Equalize, 0.4, 0), (Rotate, 0.8, 8)],
    [(Solarize, 0.6, 3), (Equalize, 0.6, 0)],
    [(Posterize, 0.8, 5), (Equalize, 1.0, 0)],
    [(Rotate, 0.2, 3), (Solarize, 0.6, 8)],
    [(Equalize, 0.6, 0), (Posterize, 0.4, 6)],
    [(Rotate, 0.8, 8), (Color, 0.4, 0)],
    [(Rotate, 0.4, 9), (Equalize, 0.6, 0)],
    [(Equalize, 0.0, 0), (Equalize, 0.8, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Rotate, 0.8, 8), (Color, 1.0, 2)],
    [(Color, 0.8, 8), (Solarize, 0.8, 7)],
    [(Sharpness, 0.4, 7), (Invert, 0.6, 0)],
    [(ShearX, 0.6, 5), (Equalize, 1.0, 0)],
    [(Color, 0.4, 0), (Equalize, 0.6, 0)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
];

/// Returns a colour image after a randomly drawn pair of operations.
pub(crate) fn auto_augment(image: Image, rng: &mut ChaCha8Rng) -> Image {
    let pair = &IMAGENET[(rng.next_u64() % IMAGENET.len() as u64) as usize];
    let mut image = image;
    for &(operation, probability, magnitude) in pair {
        // Both random numbers are drawn for every operation, so that skipping one does not change the draws of the
        // next.
        let (chance, sign) = (uniform(rng), if rng.next_u32() & 1 == 1 { -1.0 } else { 1.0 });
        if chance < probability {
            image = operation.applied(&image, f32::from(magnitude) / 9.0, sign);
        }
    }
    image
}

impl Operation {
    /// Applies the operation. `share` is relative to the largest magnitude, `sign` is the direction.
    fn applied(self, image: &Image, share: f32, sign: f32) -> Image {
        let factor = 1.0 + sign * 0.9 * share;
        match self {
            AutoContrast => color::auto_contrast(image),
            Color => color::color(image, factor),
            Contrast => color::contrast(image, factor),
            Equalize => color::equalize(image),
            Invert => color::invert(image),
            Posterize => color::posterize(image, 8 - (4.0 * share).round_ties_even() as u32),
            Rotate => Warp::rotation(f64::from(30.0 * share * sign), (image.height, image.width)).nearest(image),
            Sharpness => color::sharpness(image, factor),
            ShearX => Warp::shear_x(f64::from(0.3 * share * sign)).nearest(image),
            Solarize => color::solarize(image, 255.0 * (1.0 - share)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use repmlp::stream::stream;

    use super::*;

    fn image() -> Image {
        let pixels = (0..3 * 32 * 32usize).map(|i| (i * i % 251) as u8).collect();
        Image { channels: 3, height: 32, width: 32, pixels }
    }

    #[test]
    fn magnitudes_match_torchvision() {
        let image = image();
        // 8 - round(m / 2.25) bits, 255·(1 - m / 9), 1 ± 0.1·m, 30°·m / 9.
        assert_eq!(Posterize.applied(&image, 8.0 / 9.0, 1.0), color::posterize(&image, 4));
        assert_eq!(Posterize.applied(&image, 5.0 / 9.0, 1.0), color::posterize(&image, 6));
        assert_eq!(Solarize.applied(&image, 5.0 / 9.0, 1.0), color::solarize(&image, 113.33));
        assert_eq!(Color.applied(&image, 4.0 / 9.0, -1.0), color::color(&image, 0.6));
        assert_eq!(Rotate.applied(&image, 1.0, -1.0), Warp::rotation(-30.0, (32, 32)).nearest(&image));
    }

    #[test]
    fn draws_reach_every_pair_and_leave_some_images_unchanged() {
        let image = image();
        let results: Vec<Image> = (0..600).map(|i| auto_augment(image.clone(), &mut stream(0, "test", &[i]))).collect();
        let distinct: BTreeSet<&[u8]> = results.iter().map(|r| &r.pixels[..]).collect();
        assert!(distinct.len() > 40, "{}", distinct.len());
        // The product of (1 - p) over each pair, averaged over all 25, is 0.16 (colour at magnitude 0 changes nothing).
        // That is 96 of 600, with a standard deviation of 9.
        let alone = results.iter().filter(|result| **result == image).count();
        assert!((60..=132).contains(&alone), "{alone}");
        assert_eq!(results[0], auto_augment(image.clone(), &mut stream(0, "test", &[0])));
    }
}
