//! Transforms an image and its mask into the square that the network sees: scaled, rotated, cropped or padded,
//! mirrored.

use rand_chacha::rand_core::RngCore;
use repmlp::stream::{stream, uniform};

use crate::data::{AugmentConfig, Image, Mask};
use crate::transform::warp::Warp;
use crate::transform::{Region, Shift, resize};

/// The size of a scene at scale 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// The longer side fills the square.
    Filling,
    /// The scene's own size.
    Own,
}

/// Placement of a scene in the square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placement {
    unit: Unit,
    scale: f64,
    degrees: f64,
    flip: bool,
    /// For scenes larger than the square: share of the excess that is cut off at the top and at the left.
    cut: [f64; 2],
}

impl Placement {
    /// The whole scene in the middle of the square, for evaluation.
    pub(crate) const WHOLE: Self = Self { unit: Unit::Filling, scale: 1.0, degrees: 0.0, flip: false, cut: [0.5, 0.5] };

    /// Draws the placement of an image in an epoch. As in semseg, an image is rotated with probability 0.5.
    pub(crate) fn drawn(config: &AugmentConfig, seed: u64, epoch: u64, image: u32) -> Self {
        let mut rng = stream(seed, "scene", &[epoch, u64::from(image)]);
        let [smallest, largest] = config.random_scale.unwrap_or([1.0, 1.0]);
        let scale = smallest + (largest - smallest) * f64::from(uniform(&mut rng));
        let rotated = f64::from(rng.next_u32() & 1);
        let degrees = rotated * config.rotate_degrees * f64::from(2.0 * uniform(&mut rng) - 1.0);
        let cut = [(); 2].map(|()| f64::from(uniform(&mut rng)));
        let unit = if config.random_crop { Unit::Own } else { Unit::Filling };
        Self { unit, scale, degrees, flip: Shift::drawn(config, seed, epoch, image).flip, cut }
    }
}

/// An image with its mask.
pub(crate) struct Scene {
    pub(crate) image: Image,
    pub(crate) mask: Mask,
}

impl Scene {
    /// Places the scene in a square. Pixels from outside have the colour `padding` and are ignored.
    pub(crate) fn placed(&self, placement: Placement, side: usize, padding: &[u8]) -> Self {
        let (height, width) = (self.image.height, self.image.width);
        let factor = match placement.unit {
            Unit::Filling => placement.scale * side as f64 / height.max(width) as f64,
            Unit::Own => placement.scale,
        };
        let scaled = |length: usize| ((length as f64 * factor).round() as usize).max(1);
        let size = (scaled(height), scaled(width));
        let image = resize(&self.image, Region::whole(&self.image), size);
        let view = View { size, side, sources: sources(size, side, placement) };
        Self { image: view.of_image(&image, padding), mask: view.of_mask(&self.mask) }
    }

    /// Pads the scene at its own size to `size`, which must not be smaller. Added pixels have the colour `padding` and
    /// are ignored.
    pub(crate) fn padded_to(&self, size: (usize, usize), padding: &[u8]) -> Self {
        let Image { channels, height, width, .. } = self.image;
        let (top, left) = ((size.0 - height) / 2, (size.1 - width) / 2);
        let around = |own: &[u8], outside: u8| {
            let mut all = vec![outside; size.0 * size.1];
            for (y, row) in own.chunks_exact(width).enumerate() {
                all[(top + y) * size.1 + left..][..width].copy_from_slice(row);
            }
            all
        };
        let planes = self.image.planes().zip(padding);
        let pixels = planes.flat_map(|(plane, &padding)| around(plane, padding)).collect();
        Self {
            image: Image { channels, height: size.0, width: size.1, pixels },
            mask: Mask { height: size.0, width: size.1, ids: around(&self.mask.ids, Mask::IGNORED) },
        }
    }

    /// Cuts out the square of `side` whose first pixel is `corner` (row, column). It must be inside the scene.
    pub(crate) fn square(&self, (top, left): (usize, usize), side: usize) -> Self {
        let width = self.image.width;
        let cut = |plane: &[u8]| -> Vec<u8> {
            (top..top + side).flat_map(|y| &plane[y * width + left..][..side]).copied().collect()
        };
        Self {
            image: self.image.map_planes((side, side), |plane, pixels| pixels.extend(cut(plane))),
            mask: Mask { height: side, width: side, ids: cut(&self.mask.ids) },
        }
    }
}

/// Returns the source of each pixel of a square, row by row: x and y in a scaled scene of `size`, in pixels from its
/// corner.
fn sources(size: (usize, usize), side: usize, placement: Placement) -> Vec<(f64, f64)> {
    // Scenes smaller than the square are centred.
    let offset = |length: usize, cut: f64| match length.checked_sub(side) {
        Some(room) => ((room + 1) as f64 * cut).floor().min(room as f64),
        None => -((side - length) as f64 / 2.0).floor(),
    };
    let (top, left) = (offset(size.0, placement.cut[0]), offset(size.1, placement.cut[1]));
    let warp = Warp::rotation(placement.degrees, size);
    let of_place = |place: usize| {
        let (y, x) = (place / side, place % side);
        let x = if placement.flip { side - 1 - x } else { x };
        warp.source((left + x as f64 + 0.5, top + y as f64 + 0.5))
    };
    (0..side * side).map(of_place).collect()
}

/// A square view of a scaled and rotated scene of `size`.
struct View {
    size: (usize, usize),
    side: usize,
    sources: Vec<(f64, f64)>,
}

impl View {
    fn of_image(&self, scaled: &Image, padding: &[u8]) -> Image {
        let mut pixels = Vec::with_capacity(scaled.channels * self.side * self.side);
        for (plane, &padding) in scaled.planes().zip(padding) {
            pixels.extend(self.sources.iter().map(|&source| interpolated(plane, self.size, source, padding)));
        }
        Image { channels: scaled.channels, height: self.side, width: self.side, pixels }
    }

    fn of_mask(&self, mask: &Mask) -> Mask {
        let (height, width) = self.size;
        let nearest = |&(x, y): &(f64, f64)| {
            let inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
            let at = |position: f64, scaled: usize, own: usize| (2 * position as usize + 1) * own / (2 * scaled);
            let place = || at(y, height, mask.height) * mask.width + at(x, width, mask.width);
            if inside { mask.ids[place()] } else { Mask::IGNORED }
        };
        Mask { height: self.side, width: self.side, ids: self.sources.iter().map(nearest).collect() }
    }
}

/// Returns the bilinear interpolation of the four pixels around a position.
fn interpolated(plane: &[u8], (height, width): (usize, usize), (x, y): (f64, f64), padding: u8) -> u8 {
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let pixel = |down: f64, right: f64| {
        let (y, x) = (top + down, left + right);
        let inside = x >= 0.0 && y >= 0.0 && x < width as f64 && y < height as f64;
        f64::from(if inside { plane[y as usize * width + x as usize] } else { padding })
    };
    let (right, down) = (x - left, y - top);
    let row = |y: f64| pixel(y, 0.0) * (1.0 - right) + pixel(y, 1.0) * right;
    (row(0.0) * (1.0 - down) + row(1.0) * down + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scene() -> Scene {
        Scene {
            image: Image { channels: 1, height: 2, width: 4, pixels: vec![10, 20, 30, 40, 50, 60, 70, 80] },
            mask: Mask { height: 2, width: 4, ids: vec![0, 1, 2, 3, 4, 5, 6, 7] },
        }
    }

    fn placed(placement: Placement, side: usize) -> (Vec<u8>, Vec<u8>) {
        let placed = scene().placed(placement, side, &[99]);
        (placed.image.pixels, placed.mask.ids)
    }

    #[test]
    fn an_evaluation_sees_the_whole_scene_between_padding() {
        let (pixels, ids) = placed(Placement::WHOLE, 4);
        assert_eq!(pixels, [99, 99, 99, 99, 10, 20, 30, 40, 50, 60, 70, 80, 99, 99, 99, 99]);
        assert_eq!(ids, [255, 255, 255, 255, 0, 1, 2, 3, 4, 5, 6, 7, 255, 255, 255, 255]);
        let flipped = placed(Placement { flip: true, ..Placement::WHOLE }, 4);
        assert_eq!(&flipped.1[4..12], [3, 2, 1, 0, 7, 6, 5, 4]);
        // At half the size, every pixel is an average of four. The mask takes the pixel below and to the right of the
        // centre.
        let (pixels, ids) = placed(Placement::WHOLE, 2);
        assert_eq!((pixels, ids), (vec![37, 53, 99, 99], vec![5, 7, 255, 255]));
    }

    #[test]
    fn a_cut_takes_its_share_of_the_excess() {
        let twice = |cut| placed(Placement { scale: 2.0, cut, ..Placement::WHOLE }, 4).1;
        assert_eq!(twice([0.0, 0.0]), [0, 0, 1, 1, 0, 0, 1, 1, 4, 4, 5, 5, 4, 4, 5, 5]);
        assert_eq!(twice([0.0, 1.0])[..4], [2, 2, 3, 3]);
    }

    #[test]
    fn a_rotation_turns_image_and_mask_alike() {
        let (pixels, ids) = placed(Placement { degrees: 180.0, ..Placement::WHOLE }, 4);
        assert_eq!(pixels[4..12], [80, 70, 60, 50, 40, 30, 20, 10]);
        assert_eq!(ids[4..12], [7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn draws_reach_their_limits_and_rotate_every_second_image() {
        let config = AugmentConfig {
            random_scale: Some([0.5, 2.0]),
            rotate_degrees: 10.0,
            flip: true,
            ..AugmentConfig::default()
        };
        let all: Vec<Placement> = (0..2000).map(|i| Placement::drawn(&config, 3, 1, i)).collect();
        let limits = |f: fn(&Placement) -> f64| {
            let values = all.iter().map(f);
            (values.clone().fold(f64::MAX, f64::min), values.fold(f64::MIN, f64::max))
        };
        for ((low, high), (least, most)) in [
            (limits(|p| p.scale), (0.5, 2.0)),
            (limits(|p| p.degrees), (-10.0, 10.0)),
            (limits(|p| p.cut[0]), (0.0, 1.0)),
        ] {
            let margin = 0.01 * (most - least);
            assert!(low >= least && low < least + margin && high <= most && high > most - margin, "{low} {high}");
        }
        // 2000 fair coin flips have a standard deviation of 22.
        for count in [all.iter().filter(|p| p.degrees == 0.0).count(), all.iter().filter(|p| p.flip).count()] {
            assert!((890..1110).contains(&count), "{count}");
        }
        assert_eq!(Placement::drawn(&config, 3, 1, 5), all[5]);
    }

    /// A scene in which neighbouring pixels differ. The mask has the same values as the image.
    fn alike((height, width): (usize, usize)) -> Scene {
        let pixels: Vec<u8> = (0..height * width).map(|i| (i * 7 % 251) as u8).collect();
        let ids = pixels.clone();
        Scene { image: Image { channels: 1, height, width, pixels }, mask: Mask { height, width, ids } }
    }

    proptest! {
        #[test]
        fn a_crop_at_scale_one_is_a_piece_of_image_and_mask(
            size in (1usize..40, 1usize..40), side in 1usize..40, flip: bool, cut in [0.0..1.0f64, 0.0..1.0f64],
        ) {
            let scene = alike(size);
            let placement = Placement { unit: Unit::Own, scale: 1.0, degrees: 0.0, flip, cut };
            let Scene { image, mask } = scene.placed(placement, side, &[Mask::IGNORED]);
            // Pixels from outside of the scene have the fill colour and the id 255. No pixel of the scene has either.
            prop_assert_eq!(&image.pixels, &mask.ids);
            let seen = image.pixels.iter().filter(|&&pixel| pixel != Mask::IGNORED).count();
            prop_assert_eq!(seen, size.0.min(side) * size.1.min(side));
            // The piece must occur in the scene, padded to at least the side of the square.
            let whole = scene.padded_to((size.0.max(side), size.1.max(side)), &[Mask::IGNORED]);
            let mirrored = |rows: &[u8]| -> Vec<u8> {
                let row = |row: &[u8]| -> Vec<u8> {
                    if flip { row.iter().rev().copied().collect() } else { row.to_vec() }
                };
                rows.chunks_exact(side).flat_map(row).collect()
            };
            let room = (whole.image.height - side, whole.image.width - side);
            let corners = (0..=room.0).flat_map(|top| (0..=room.1).map(move |left| (top, left)));
            let found = corners.into_iter().any(|corner| mirrored(&whole.square(corner, side).mask.ids) == mask.ids);
            prop_assert!(found);
        }

        #[test]
        fn every_crop_keeps_image_and_mask_together(
            scale in 0.5..2.0f64, degrees in -10.0..10.0f64, flip: bool, cut in [0.0..1.0f64, 0.0..1.0f64],
        ) {
            // Each half has one colour and one class. The padding colour is between both colours. So a class and its
            // colour must match, except within half a pixel of an edge, where nearest-neighbour and interpolation
            // differ.
            let (height, width) = (24, 30);
            let of = |left: u8, right: u8| -> Vec<u8> {
                (0..height * width).map(|i| if i % width < width / 2 { left } else { right }).collect()
            };
            let image = Image { channels: 1, height, width, pixels: of(40, 200) };
            let scene = Scene { image, mask: Mask { height, width, ids: of(1, 2) } };
            let placement = Placement { unit: Unit::Own, scale, degrees, flip, cut };
            let Scene { image, mask } = scene.placed(placement, 16, &[120]);
            for (&pixel, &id) in image.pixels.iter().zip(&mask.ids) {
                match id {
                    1 => prop_assert!(pixel <= 160, "{pixel}"),
                    2 => prop_assert!(pixel >= 80, "{pixel}"),
                    _ => prop_assert!(id == Mask::IGNORED),
                }
            }
        }
    }

    #[test]
    fn crops_reach_every_place_of_an_image_that_is_larger() {
        let config = AugmentConfig { random_crop: true, ..AugmentConfig::default() };
        let scene = alike((6, 9));
        let corners: std::collections::BTreeSet<u8> =
            (0..500).map(|image| scene.placed(Placement::drawn(&config, 3, 0, image), 4, &[255]).mask.ids[0]).collect();
        assert_eq!(corners.len(), 3 * 6);
    }
}
