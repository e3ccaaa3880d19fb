//! An image with its mask, brought into the square that the network sees: scaled, rotated, cut or padded, mirrored.

use rand_chacha::rand_core::RngCore;
use repmlp::stream::{stream, uniform};

use crate::data::{AugmentConfig, Image, Mask};
use crate::transform::warp::Warp;
use crate::transform::{Region, Shift, resize};

/// Where a scene comes to lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placement {
    /// Size, relative to the one at which the longer side fills the square.
    scale: f64,
    degrees: f64,
    flip: bool,
    /// Share of what sticks out of the square that is cut away above, and on the left.
    cut: [f64; 2],
}

impl Placement {
    /// The whole scene in the middle of the square: what an evaluation sees.
    pub(crate) const WHOLE: Self = Self { scale: 1.0, degrees: 0.0, flip: false, cut: [0.5, 0.5] };

    /// What is drawn for an image in an epoch. As in semseg, one image of two is rotated.
    pub(crate) fn drawn(config: &AugmentConfig, seed: u64, epoch: u64, image: u32) -> Self {
        let mut rng = stream(seed, "scene", &[epoch, u64::from(image)]);
        let [smallest, largest] = config.random_scale.unwrap_or([1.0, 1.0]);
        let scale = smallest + (largest - smallest) * f64::from(uniform(&mut rng));
        let rotated = f64::from(rng.next_u32() & 1);
        let degrees = rotated * config.rotate_degrees * f64::from(2.0 * uniform(&mut rng) - 1.0);
        let cut = [(); 2].map(|()| f64::from(uniform(&mut rng)));
        Self { scale, degrees, flip: Shift::drawn(config, seed, epoch, image).flip, cut }
    }
}

/// An image and what its pixels are.
pub(crate) struct Scene {
    pub(crate) image: Image,
    pub(crate) mask: Mask,
}

impl Scene {
    /// The scene in a square; what comes from outside has `padding` for its colour and counts for nothing.
    pub(crate) fn placed(&self, placement: Placement, side: usize, padding: &[u8]) -> Self {
        let (height, width) = (self.image.height, self.image.width);
        let factor = placement.scale * side as f64 / height.max(width) as f64;
        let scaled = |length: usize| ((length as f64 * factor).round() as usize).max(1);
        let size = (scaled(height), scaled(width));
        let image = resize(&self.image, Region::whole(&self.image), size);
        let view = View { size, side, sources: sources(size, side, placement) };
        Self { image: view.of_image(&image, padding), mask: view.of_mask(&self.mask) }
    }
}

/// For each place of a square, row by row, where it lies in a scaled scene of `size`: x and y, in pixels from the corner.
fn sources(size: (usize, usize), side: usize, placement: Placement) -> Vec<(f64, f64)> {
    // Scenes smaller than the square lie in its middle.
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

/// A square through which a scaled and rotated scene of `size` is seen.
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

/// The value between the four pixels around a place.
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
        // At half the size every pixel is an average of four, and a mask takes the one after the middle.
        let (pixels, ids) = placed(Placement::WHOLE, 2);
        assert_eq!((pixels, ids), (vec![37, 53, 99, 99], vec![5, 7, 255, 255]));
    }

    #[test]
    fn a_cut_takes_its_share_of_what_sticks_out() {
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
        // 2000 fair coins have a deviation of 22.
        for count in [all.iter().filter(|p| p.degrees == 0.0).count(), all.iter().filter(|p| p.flip).count()] {
            assert!((890..1110).contains(&count), "{count}");
        }
        assert_eq!(Placement::drawn(&config, 3, 1, 5), all[5]);
    }
}
