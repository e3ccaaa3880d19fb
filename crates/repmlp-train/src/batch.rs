//! Batches of a data set: the order of each epoch, images as normalised numbers, and the copy to the device.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use repmlp::stream::stream;
use repmlp_kernels::Uploads;

use crate::data::{DataError, Dataset, Preparation, Subset, Target, shuffle};
use crate::mixup::{self, Mixed};
use crate::prepare::Draw;
use crate::transform::Tiling;

/// Images (N, C, H, W) and labels. Labels are (N), or (N, H, W) if every pixel has one.
pub(crate) struct Batch {
    pub(crate) images_nchw: Tensor,
    pub(crate) labels: Tensor,
    /// Labels and share of the images that were blended in by mixup.
    pub(crate) blend: Option<Blend>,
    /// Number of labels that count: images, or pixels that are not ignored.
    pub(crate) judged: usize,
}

/// The second targets of blended images.
pub(crate) struct Blend {
    /// Labels (N) of the images that were blended in.
    pub(crate) labels: Tensor,
    /// Share of the first target, at least 0.5.
    pub(crate) share: f64,
}

/// A batch in host memory, made by a loader thread.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostBatch {
    channels: usize,
    side: usize,
    pub(crate) images: usize,
    pub(crate) numbers: Vec<f32>,
    pub(crate) labels: Vec<u32>,
    pub(crate) judged: usize,
    mixed: Option<Mixed>,
}

impl HostBatch {
    /// Makes an empty batch with room for `images` images.
    pub(crate) fn new((channels, side): (usize, usize), images: usize) -> Self {
        let numbers = Vec::with_capacity(images * channels * side * side);
        Self { channels, side, images: 0, numbers, labels: Vec::new(), judged: 0, mixed: None }
    }

    /// Appends the first images of another batch, with their labels, until this batch has `images` images. `judged`
    /// does not change.
    pub(crate) fn fill_up(&mut self, images: usize, other: &Self) {
        let more = other.images.min(images.saturating_sub(self.images));
        let share = |all: usize| all / other.images.max(1) * more;
        self.numbers.extend_from_slice(&other.numbers[..share(other.numbers.len())]);
        self.labels.extend_from_slice(&other.labels[..share(other.labels.len())]);
        self.images += more;
    }

    /// Copies the batch to the device.
    pub(crate) fn onto(self, device: &Device) -> candle_core::Result<Batch> {
        self.copied(device, |numbers, shape| Tensor::from_vec(numbers, shape, device))
    }

    /// Copies the batch through the buffers of `uploads`.
    pub(crate) fn through(self, uploads: &mut Uploads) -> candle_core::Result<Batch> {
        let device = uploads.device().clone();
        self.copied(&device, |numbers, shape| uploads.tensor(numbers, shape))
    }

    fn copied(
        self,
        device: &Device,
        images_onto: impl FnOnce(Vec<f32>, (usize, usize, usize, usize)) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Batch> {
        let Self { channels, side, images, numbers, labels, judged, mixed } = self;
        let labels = match labels.len() == images {
            true => Tensor::from_vec(labels, images, device)?,
            false => Tensor::from_vec(labels, (images, side, side), device)?,
        };
        let images_nchw = images_onto(numbers, (images, channels, side, side))?;
        let blend = match mixed {
            None => None,
            Some(Mixed { labels, share }) => Some(Blend { labels: Tensor::from_vec(labels, images, device)?, share }),
        };
        Ok(Batch { images_nchw, labels, blend, judged })
    }
}

/// A whole scene in host memory, cut into tiles for evaluation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostScene {
    /// Its tiles, in their order.
    pub(crate) batches: Vec<HostBatch>,
    /// Positions of the tiles.
    pub(crate) tiling: Tiling,
    /// Class ids of its pixels, row by row.
    pub(crate) ids: Vec<u8>,
    /// Number of pixels that count.
    pub(crate) judged: usize,
}

/// Whole scenes, each cut into tiles.
pub(crate) struct Scenes {
    pub(crate) subset: Subset,
    pub(crate) preparation: Arc<Preparation>,
    /// Distance from one tile to the next, in pixels.
    pub(crate) step: usize,
    /// Maximum number of tiles in a batch.
    pub(crate) size: usize,
}

impl Scenes {
    /// Returns scene `index`.
    pub(crate) fn scene(&self, index: usize) -> Result<HostScene, DataError> {
        let (image, target) = self.subset.pool.item(self.subset.images[index])?;
        match target {
            Target::Mask(mask) => Ok(self.preparation.scene((image, mask), self.step, self.size)),
            Target::Class(_) => Err(DataError::Loader { message: "tiles need a data set with masks".to_owned() }),
        }
    }
}

/// The training images of one epoch, in its order. An incomplete last batch is left out.
pub(crate) struct TrainEpoch {
    subset: Subset,
    preparation: Arc<Preparation>,
    batch: usize,
    seed: u64,
    epoch: u64,
}

impl TrainEpoch {
    /// Makes epoch `epoch`, counted from 0.
    pub(crate) fn new(data: &Dataset, batch: usize, (seed, epoch): (u64, u64)) -> Self {
        let mut subset = data.train.clone();
        shuffle(&mut subset.images, &mut stream(seed, "order", &[epoch]));
        Self { subset, preparation: Arc::clone(&data.preparation), batch, seed, epoch }
    }

    /// Returns batch `index` of the epoch.
    pub(crate) fn batch(&self, index: usize) -> Result<HostBatch, DataError> {
        let Self { subset, preparation, seed, epoch, .. } = self;
        let mut batch = preparation.batch(self.batch);
        for &image in &subset.images[index * self.batch..(index + 1) * self.batch] {
            let draw = Draw { seed: *seed, epoch: *epoch, image };
            preparation.append_augmented(subset.pool.item(image)?, draw, &mut batch);
        }
        if preparation.augment.mixup_alpha > 0.0 {
            let mut rng = stream(*seed, "mixup", &[*epoch, index as u64]);
            let mixed = mixup::mix(&mut batch.numbers, &batch.labels, preparation.augment.mixup_alpha, &mut rng);
            batch.mixed = Some(mixed);
        }
        Ok(batch)
    }
}

/// Images prepared for evaluation, in batches.
pub(crate) struct PlainBatches {
    pub(crate) subset: Subset,
    pub(crate) preparation: Arc<Preparation>,
    /// Images in a batch. The last batch may have fewer.
    pub(crate) size: usize,
}

impl PlainBatches {
    /// Returns the number of batches.
    pub(crate) fn count(&self) -> usize {
        self.subset.images.len().div_ceil(self.size)
    }

    /// Returns batch `index`.
    pub(crate) fn batch(&self, index: usize) -> Result<HostBatch, DataError> {
        let images = &self.subset.images[index * self.size..];
        let images = &images[..images.len().min(self.size)];
        let mut batch = self.preparation.batch(images.len());
        for &image in images {
            self.preparation.append(self.subset.pool.item(image)?, &mut batch);
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataConfig;
    use crate::data::fixture::{png_of, write};
    use crate::loader::Loader;

    /// Ten training images of two classes with sides from 6 to 9 pixels, and two test images.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..12usize {
            let (height, width) = (6 + i % 4, 6 + i % 3);
            let pixels: Vec<u8> = (0..3 * height * width).map(|p| (p * p * (i + 1) % 251) as u8).collect();
            let part = if i < 10 { "train" } else { "val" };
            write(folder.path(), &format!("{part}/{}/{i}.png", i % 2), &png_of((height, width), 3, &pixels));
        }
        folder
    }

    const CONFIG: &str = "image_size = 8\nsource = { kind = 'image-folder', name = 'own', classes = 2 }\n\
         augment = { flip = true, random_resized_crop = {}, auto_augment = { kind = 'imagenet' }, mixup_alpha = 0.2 }";

    fn load(folder: &std::path::Path) -> Dataset {
        toml::from_str::<DataConfig>(CONFIG).unwrap().load(Some(folder), 5).unwrap()
    }

    fn epoch(data: &Dataset, seed: u64, epoch: u64, threads: usize) -> Vec<HostBatch> {
        let images = TrainEpoch::new(data, 3, (seed, epoch));
        Loader::new(0..3, threads, move |index| images.batch(index)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn an_epoch_does_not_depend_on_threads_and_epochs_differ() {
        let folder = folder();
        let data = load(folder.path());
        let first = epoch(&data, 5, 0, 1);
        for threads in [2, 3, 4] {
            assert_eq!(epoch(&data, 5, 0, threads), first);
        }
        assert_ne!(epoch(&data, 5, 1, 1), first);
        assert_ne!(epoch(&data, 6, 0, 1), first);
        assert_eq!(first.iter().map(|batch| (batch.images, batch.judged)).collect::<Vec<_>>(), [(3, 3); 3]);
        assert!(first.iter().flat_map(|batch| &batch.numbers).all(|number| number.abs() < 3.0));
    }

    #[test]
    fn an_evaluation_leaves_no_image_out() {
        let folder = folder();
        let data = load(folder.path());
        let batches = PlainBatches { subset: data.train.clone(), preparation: data.preparation, size: 4 };
        let sizes: Vec<usize> = (0..batches.count()).map(|index| batches.batch(index).unwrap().images).collect();
        assert_eq!(sizes, [4, 4, 2]);
        let batch = batches.batch(2).unwrap().onto(&Device::Cpu).unwrap();
        assert_eq!(batch.images_nchw.dims(), [2, 3, 8, 8]);
        assert_eq!((batch.labels.dims(), batch.blend.is_none()), (&[2][..], true));
    }

    #[test]
    fn a_deleted_file_ends_the_batches() {
        let folder = folder();
        let data = load(folder.path());
        std::fs::remove_dir_all(folder.path().join("train/1")).unwrap();
        let images = TrainEpoch::new(&data, 3, (0, 0));
        let fault = Loader::new(0..3, 2, move |index| images.batch(index)).unwrap().find_map(Result::err);
        assert!(fault.unwrap().to_string().ends_with(".png cannot be read"));
    }
}
