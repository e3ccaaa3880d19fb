//! Tiles that cover a whole scene, and the output for the scene from the outputs for its tiles.
//!
//! The layout is that of semseg: tiles start at the first pixel, at distance `step`, and the last tile of a row ends at
//! the end of the row. The logits of overlapping tiles are averaged. Semseg averages probabilities instead, and also
//! those of the mirrored tiles.

use candle_core::{Result, Tensor, bail};

/// Layout of tiles on a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tiling {
    /// Height and width of the scene. Both are at least the side of the tiles.
    size: (usize, usize),
    side: usize,
    /// Row and column of the first pixel of each tile.
    pub(crate) corners: Vec<(usize, usize)>,
}

impl Tiling {
    /// Lays tiles of `side` at distance `step` (1 to `side`) on a scene of `size`. A scene that is smaller than a tile
    /// must be padded to the height and width that `size()` returns.
    pub(crate) fn of(size: (usize, usize), side: usize, step: usize) -> Self {
        let size = (size.0.max(side), size.1.max(side));
        let starts = |length: usize| {
            let last = length - side;
            (0..=last.div_ceil(step)).map(move |i| (i * step).min(last))
        };
        let corners = starts(size.0).flat_map(|top| starts(size.1).map(move |left| (top, left))).collect();
        Self { size, side, corners }
    }

    /// Returns height and width of the covered area.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Joins the outputs for the tiles into the output for the scene (1, classes, H, W). `answers` holds batches
    /// (tiles, classes, side, side) in the order of the tiles. Each pixel gets the mean of all tiles that contain it.
    ///
    /// # Errors
    /// When number or size of the outputs do not match the tiles.
    pub(crate) fn joined(&self, answers: &[Tensor]) -> Result<Tensor> {
        let (Some(first), (height, width)) = (answers.first(), self.size) else { bail!("there is no output") };
        let (side, classes) = (self.side, first.dim(1)?);
        let (mut sums, mut counts) = (vec![0f32; classes * height * width], vec![0f32; height * width]);
        let mut corners = self.corners.iter();
        for answer in answers {
            let (tiles, of_classes, h, w) = answer.dims4()?;
            if (of_classes, h, w) != (classes, side, side) {
                bail!("a tile of {side}x{side} has an output of shape {:?}", answer.dims());
            }
            let numbers = answer.flatten_all()?.to_vec1::<f32>()?;
            for tile in numbers.chunks_exact(numbers.len() / tiles) {
                let Some(&(top, left)) = corners.next() else { bail!("more outputs than tiles") };
                for (row, values) in tile.chunks_exact(side).enumerate() {
                    let (class, y) = (row / side, top + row % side);
                    let places = &mut sums[(class * height + y) * width + left..][..side];
                    places.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                }
                for y in top..top + side {
                    counts[y * width + left..][..side].iter_mut().for_each(|count| *count += 1.0);
                }
            }
        }
        if corners.next().is_some() {
            bail!("fewer outputs than tiles");
        }
        for plane in sums.chunks_exact_mut(height * width) {
            plane.iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= count);
        }
        Tensor::from_vec(sums, (1, classes, height, width), first.device())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;

    /// Returns one map for each tile. It holds the scene position of each pixel.
    fn seen_through(tiling: &Tiling) -> Vec<Tensor> {
        let side = tiling.side;
        let tile = |&(top, left): &(usize, usize)| {
            let place =
                |class: usize, y: usize, x: usize| if class == 0 { (top + y) as f32 } else { (left + x) as f32 };
            let values: Vec<f32> =
                (0..2 * side * side).map(|i| place(i / side / side, i / side % side, i % side)).collect();
            Tensor::from_vec(values, (1, 2, side, side), &Device::Cpu).unwrap()
        };
        tiling.corners.iter().map(tile).collect()
    }

    proptest! {
        #[test]
        fn every_pixel_is_covered_and_equal_values_keep_their_value(
            size in (1usize..40, 1usize..40), side in 1usize..20, share in 0.1..=1.0f64,
        ) {
            let step = ((side as f64 * share).ceil() as usize).clamp(1, side);
            let tiling = Tiling::of(size, side, step);
            let (height, width) = tiling.size();
            prop_assert_eq!((height, width), (size.0.max(side), size.1.max(side)));
            prop_assert!(tiling.corners.iter().all(|&(top, left)| top + side <= height && left + side <= width));
            // A pixel outside of all tiles would be 0/0. Sums of coordinates below 40 are exact.
            let joined =
                tiling.joined(&seen_through(&tiling)).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (i, value) in joined.into_iter().enumerate() {
                let (y, x) = (i / width % height, i % width);
                let expected = if i < height * width { y } else { x };
                prop_assert!((value - expected as f32).abs() < 1e-4, "{value} for {expected}");
            }
        }

        #[test]
        fn one_tile_is_the_plain_answer_to_the_bit(values in proptest::collection::vec(any::<f32>(), 18)) {
            let values: Vec<f32> =
                values.into_iter().map(|value| if value.is_finite() { value } else { 1.0 }).collect();
            let answer = Tensor::from_vec(values.clone(), (1, 2, 3, 3), &Device::Cpu).unwrap();
            let tiling = Tiling::of((3, 2), 3, 2);
            let joined = tiling.joined(&[answer]).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            // A sum that starts from 0 turns -0 into 0, which is the same number.
            prop_assert!(joined.iter().zip(&values).all(|(a, b)| (a + 0.0).to_bits() == (b + 0.0).to_bits()));
        }
    }

    #[test]
    fn tiles_of_cityscapes_match_semseg() {
        let tiling = Tiling::of((1024, 2048), 713, 476);
        let [rows, columns] = [[0, 311].as_slice(), &[0, 476, 952, 1335]];
        let expected: Vec<_> = rows.iter().flat_map(|&top| columns.iter().map(move |&left| (top, left))).collect();
        assert_eq!(tiling.corners, expected);
    }

    #[test]
    fn overlapping_tiles_are_averaged() -> Result<()> {
        let tiling = Tiling::of((1, 3), 1, 1);
        assert_eq!(tiling.corners.len(), 3);
        // Tiles of side 2 on a width of 3, at distance 1: both contain the middle column.
        let tiling = Tiling::of((2, 3), 2, 1);
        let answer = |value: f32| Tensor::full(value, (1, 1, 2, 2), &Device::Cpu);
        let joined = tiling.joined(&[answer(1.0)?, answer(3.0)?])?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(joined, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        // One batch gives the same result.
        let both = Tensor::cat(&[answer(1.0)?, answer(3.0)?], 0)?;
        assert_eq!(tiling.joined(&[both])?.flatten_all()?.to_vec1::<f32>()?, joined);
        for wrong in [vec![answer(1.0)?], vec![answer(1.0)?; 3], Vec::new()] {
            assert!(tiling.joined(&wrong).is_err());
        }
        Ok(())
    }
}
