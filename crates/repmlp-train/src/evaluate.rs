//! Iterates over a split for evaluation: in batches of images, or scene by scene with tiles.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::TrainError;
use crate::batch::{Batch, HostBatch, HostScene, PlainBatches, Scenes};
use crate::data::{Preparation, Subset};
use crate::loader::Loader;

/// A forward pass: images (N, C, H, W) → output.
pub(crate) type Network<'a> = &'a dyn Fn(&Tensor) -> candle_core::Result<Tensor>;

/// Pixels in an evaluation batch: as many as in 256 images of 32×32. The batch size depends only on the image size, so
/// no other setting changes the order of a sum.
const PIXELS: usize = 256 * 32 * 32;
const FEWEST_IMAGES: usize = 8;
const MOST_IMAGES: usize = 256;

/// A split and the settings for evaluating it.
#[derive(Clone, Copy)]
pub(crate) struct EvaluationSplit<'a> {
    pub(crate) subset: &'a Subset,
    pub(crate) preparation: &'a Arc<Preparation>,
    pub(crate) device: &'a Device,
    /// Number of threads that make batches.
    pub(crate) threads: usize,
}

/// Outputs for whole images and the correct labels.
pub(crate) struct Answered {
    /// Logits (N, classes, H, W).
    pub(crate) maps: Tensor,
    /// Labels (N, H, W).
    pub(crate) labels: Tensor,
    /// Number of pixels that count.
    pub(crate) judged: usize,
}

impl EvaluationSplit<'_> {
    /// Calls `f` with each batch of network inputs: images, or tiles of images.
    pub(crate) fn each_batch(self, mut f: impl FnMut(&Batch) -> candle_core::Result<()>) -> Result<(), TrainError> {
        if let Some(scenes) = self.scenes()? {
            for scene in scenes {
                for batch in scene?.batches {
                    f(&batch.onto(self.device)?)?;
                }
            }
            return Ok(());
        }
        for batch in self.batches(self.subset.clone(), self.batch_size())? {
            f(&batch?.onto(self.device)?)?;
        }
        Ok(())
    }

    /// Calls `f` with the network's maps for each batch of images. With tiles, calls it once for each whole image.
    pub(crate) fn each_answer(
        self,
        network: Network<'_>,
        mut f: impl FnMut(&Answered) -> candle_core::Result<()>,
    ) -> Result<(), TrainError> {
        let Some(scenes) = self.scenes()? else {
            return self.each_batch(|batch| {
                let maps = network(&batch.images_nchw)?;
                f(&Answered { maps, labels: batch.labels.clone(), judged: batch.judged })
            });
        };
        for scene in scenes {
            let HostScene { batches, tiling, ids, judged } = scene?;
            let answer = |batch: HostBatch| network(&batch.onto(self.device)?.images_nchw);
            let answers = batches.into_iter().map(answer).collect::<candle_core::Result<Vec<_>>>()?;
            let (height, width) = tiling.size();
            let ids: Vec<u32> = ids.into_iter().map(u32::from).collect();
            let labels = Tensor::from_vec(ids, (1, height, width), self.device)?;
            f(&Answered { maps: tiling.joined(&answers)?, labels, judged })?;
        }
        Ok(())
    }

    /// Returns the number of images, or tiles, in a batch.
    pub(crate) fn batch_size(self) -> usize {
        (PIXELS / self.preparation.side.pow(2)).clamp(FEWEST_IMAGES, MOST_IMAGES)
    }

    /// Returns a batch with the given number of images or tiles. They are repeated if the split has fewer.
    pub(crate) fn sample(self, size: usize) -> Result<Option<Batch>, TrainError> {
        if self.preparation.tiles.is_some() {
            return self.sample_of_tiles(size);
        }
        let images = self.subset.images.iter().copied().cycle().take(size).collect();
        let sample = self.batches(Subset { images, ..self.subset.clone() }, size)?.next().transpose()?;
        Ok(sample.map(|batch| batch.onto(self.device)).transpose()?)
    }

    fn sample_of_tiles(self, size: usize) -> Result<Option<Batch>, TrainError> {
        if self.subset.images.is_empty() {
            return Ok(None);
        }
        let mut sample = self.preparation.batch(size);
        while sample.images < size {
            // Every scene has at least one tile, so this loop ends.
            for scene in self.scenes()?.into_iter().flatten() {
                scene?.batches.iter().for_each(|batch| sample.fill_up(size, batch));
                if sample.images == size {
                    break;
                }
            }
        }
        Ok(Some(sample.onto(self.device)?))
    }

    fn batches(self, subset: Subset, size: usize) -> Result<Loader<HostBatch>, TrainError> {
        let batches = PlainBatches { subset, preparation: Arc::clone(self.preparation), size };
        Ok(Loader::new(0..batches.count(), self.threads, move |index| batches.batch(index))?)
    }

    /// Returns the images of the split as tiles, if tiles are configured.
    fn scenes(self) -> Result<Option<Loader<HostScene>>, TrainError> {
        let Some(tiles) = &self.preparation.tiles else { return Ok(None) };
        let (step, size, count) = (tiles.step(self.preparation.side), self.batch_size(), self.subset.images.len());
        let (subset, preparation) = (self.subset.clone(), Arc::clone(self.preparation));
        let scenes = Scenes { subset, preparation, step, size };
        Ok(Some(Loader::new(0..count, self.threads, move |index| scenes.scene(index))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixture::{folder_with, png_of};
    use crate::data::{DataConfig, Dataset};

    /// Writes three scenes of 5 rows and 7 columns, one for training and two for testing. The colour of a pixel gives
    /// its position. There are two classes, and the first pixel is ignored.
    fn scenes() -> tempfile::TempDir {
        let image: Vec<u8> = (0..35).flat_map(|i| [10 * (i / 7), 10 * (i % 7), 0]).collect();
        let mask: Vec<u8> = (0..35).map(|i| if i == 0 { 255 } else { u8::from(i % 7 > 3) }).collect();
        let files = ["train/a", "trainannot/a", "test/b", "testannot/b", "test/c", "testannot/c"].map(|place| {
            let bytes = if place.contains("annot") { png_of((5, 7), 1, &mask) } else { png_of((5, 7), 3, &image) };
            (format!("{place}.png"), bytes)
        });
        folder_with(&files.each_ref().map(|(name, bytes)| (name.as_str(), bytes.clone())))
    }

    fn load(folder: &tempfile::TempDir, side: usize, tiles: &str) -> Dataset {
        let text = format!("image_size = {side}\nsource = {{ kind = 'masks', name = 'own', classes = 2 }}\n{tiles}");
        toml::from_str::<DataConfig>(&text).unwrap().load(Some(folder.path()), 0).unwrap()
    }

    fn split<'a>(data: &'a Dataset, device: &'a Device) -> EvaluationSplit<'a> {
        EvaluationSplit { subset: &data.test, preparation: &data.preparation, device, threads: 2 }
    }

    /// Numbers of the maps, labels, and number of labels that count.
    type Said = (Vec<f32>, Vec<u32>, usize);

    /// Returns the outputs of an identity network and the labels, for each batch or scene.
    fn answers(data: &Dataset) -> Vec<Said> {
        // The network returns its input: the three colours of a pixel are its logits.
        let mut all = Vec::new();
        let as_it_is = |x: &Tensor| Ok(x.clone());
        split(data, &Device::Cpu)
            .each_answer(&as_it_is, |Answered { maps, labels, judged }| {
                all.push((maps.flatten_all()?.to_vec1()?, labels.flatten_all()?.to_vec1()?, *judged));
                Ok(())
            })
            .unwrap();
        all
    }

    #[test]
    fn tiles_cover_whole_images_at_their_own_size() {
        let folder = scenes();
        // The distance is 2 in both cases, so tiles overlap. With side 4, the last tiles overlap more.
        for (side, tiles) in [(3, "evaluate.tiles = {}"), (4, "evaluate.tiles = { stride = 0.5 }")] {
            let data = load(&folder, side, tiles);
            let all = answers(&data);
            assert_eq!(all.len(), 2);
            for (maps, labels, judged) in &all {
                assert_eq!((maps.len(), labels.len(), *judged), (3 * 35, 35, 34));
                assert_eq!(labels[..7], [255, 0, 0, 0, 1, 1, 1]);
                let step = maps[7] - maps[0];
                // The colour of each pixel is the same in all tiles. Sums of a few numbers near 1 have rounding errors
                // below 1e-6.
                let expected = |i: usize| maps[0] + step * (i / 7) as f32;
                assert!(step > 0.0 && (0..35).all(|i| (maps[i] - expected(i)).abs() < 1e-5));
            }
            let mut tiles = 0;
            split(&data, &Device::Cpu)
                .each_batch(|batch| {
                    assert_eq!(batch.images_nchw.dims()[1..], [3, side, side]);
                    tiles += batch.images_nchw.dim(0)?;
                    Ok(())
                })
                .unwrap();
            // Tiles of side 3 at distance 2, and tiles of side 4 at distance 2: both give 2 rows of 3 tiles per scene.
            assert_eq!(tiles, 2 * 2 * 3);
        }
    }

    #[test]
    fn one_tile_gives_the_same_output_as_no_tiles() {
        let folder = scenes();
        // The image is as wide as the square, so both ways only add padding.
        let [tiled, plain] = ["evaluate.tiles = {}", ""].map(|tiles| answers(&load(&folder, 7, tiles)));
        // Without tiles, both images are in one batch.
        assert_eq!((tiled.len(), plain.len()), (2, 1));
        let bits = |all: &[Said]| -> Vec<u32> {
            // A sum that starts from 0 turns -0 into 0, which is the same number.
            all.iter().flat_map(|(maps, ..)| maps.iter().map(|value| (value + 0.0).to_bits())).collect()
        };
        assert_eq!(bits(&tiled), bits(&plain));
        let labels = |all: &[Said]| -> Vec<u32> { all.iter().flat_map(|(_, labels, _)| labels.clone()).collect() };
        assert_eq!(labels(&tiled), labels(&plain));
        assert_eq!(tiled.iter().map(|(.., judged)| judged).sum::<usize>(), plain[0].2);
    }

    #[test]
    fn a_sample_of_tiles_has_the_requested_size() {
        let folder = scenes();
        let data = load(&folder, 3, "evaluate.tiles = {}");
        for size in [1, 5, 40] {
            let sample = split(&data, &Device::Cpu).sample(size).unwrap().unwrap();
            assert_eq!((sample.images_nchw.dims(), sample.labels.dims()), (&[size, 3, 3, 3][..], &[size, 3, 3][..]));
        }
    }
}
