//! Prepares one image of a set and appends it to a batch.

use repmlp::stream::stream;

use crate::batch::{HostBatch, HostScene};
use crate::data::{Fit, Image, Mask, Preparation, Target};
use crate::transform::{
    Placement, Region, Scene, Shift, Tiling, auto_augment, random_resized_crop, resize, short_side_crop,
};

/// Key of the random draws of augmentation: seed, epoch and image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
    pub(crate) image: u32,
}

impl Preparation {
    /// Makes an empty batch with room for `images` images.
    pub(crate) fn batch(&self, images: usize) -> HostBatch {
        HostBatch::new((self.channels, self.side), images)
    }

    /// Appends an image, prepared for evaluation.
    pub(crate) fn append(&self, (image, target): (Image, Target), batch: &mut HostBatch) {
        match target {
            Target::Class(class) => self.append_image(&self.fitted(&image), class, Shift::NONE, batch),
            Target::Mask(mask) => self.append_scene(&Scene { image, mask }, Placement::WHOLE, batch),
        }
    }

    /// Appends an image, prepared and augmented for training.
    pub(crate) fn append_augmented(&self, (image, target): (Image, Target), draw: Draw, batch: &mut HostBatch) {
        let Draw { seed, epoch, image: index } = draw;
        match target {
            Target::Class(class) => {
                let image = self.recoloured(self.cropped(&image, draw), draw);
                self.append_image(&image, class, Shift::drawn(&self.augment, seed, epoch, index), batch);
            }
            Target::Mask(mask) => {
                let placement = Placement::drawn(&self.augment, seed, epoch, index);
                self.append_scene(&Scene { image, mask }, placement, batch);
            }
        }
    }

    fn cropped(&self, image: &Image, Draw { seed, epoch, image: index }: Draw) -> Image {
        match &self.augment.random_resized_crop {
            Some(config) => {
                let mut rng = stream(seed, "random_resized_crop", &[epoch, u64::from(index)]);
                let region = random_resized_crop((image.height, image.width), config, &mut rng);
                resize(image, region, (self.side, self.side))
            }
            None => self.fitted(image),
        }
    }

    fn recoloured(&self, image: Image, Draw { seed, epoch, image: index }: Draw) -> Image {
        match &self.augment.auto_augment {
            Some(_) => auto_augment(image, &mut stream(seed, "auto_augment", &[epoch, u64::from(index)])),
            None => image,
        }
    }

    /// Returns the square that the network sees.
    pub(crate) fn fitted(&self, image: &Image) -> Image {
        match self.fit {
            // Padded sets were already padded when they were read.
            Fit::Padded | Fit::Scene => image.clone(),
            Fit::ShortSide(short) => short_side_crop(image, short, self.side),
            Fit::Stretched => resize(image, Region::whole(image), (self.side, self.side)),
        }
    }

    fn append_image(&self, image: &Image, class: u32, shift: Shift, batch: &mut HostBatch) {
        shift.append(image, &self.normalization, &mut batch.numbers);
        batch.labels.push(class);
        batch.judged += 1;
        batch.images += 1;
    }

    /// Cuts a whole scene into tiles at distance `step`, in batches of `size` tiles.
    pub(crate) fn scene(&self, (image, mask): (Image, Mask), step: usize, size: usize) -> HostScene {
        let scene = Scene { image, mask };
        let tiling = Tiling::of((scene.image.height, scene.image.width), self.side, step);
        let scene = scene.padded_to(tiling.size(), &self.padding());
        let batch_of = |corners: &[(usize, usize)]| {
            let mut batch = self.batch(corners.len());
            corners.iter().for_each(|&corner| self.append_square(scene.square(corner, self.side), &mut batch));
            batch
        };
        let batches = tiling.corners.chunks(size).map(batch_of).collect();
        HostScene { batches, judged: judged(&scene.mask), ids: scene.mask.ids, tiling }
    }

    fn append_scene(&self, scene: &Scene, placement: Placement, batch: &mut HostBatch) {
        self.append_square(scene.placed(placement, self.side, &self.padding()), batch);
    }

    /// Returns the mean colour.
    fn padding(&self) -> Vec<u8> {
        self.normalization.mean.iter().map(|mean| mean.round() as u8).collect()
    }

    fn append_square(&self, scene: Scene, batch: &mut HostBatch) {
        Shift::NONE.append(&scene.image, &self.normalization, &mut batch.numbers);
        batch.judged += judged(&scene.mask);
        batch.labels.extend(scene.mask.ids.into_iter().map(u32::from));
        batch.images += 1;
    }
}

/// Returns the number of pixels that count.
fn judged(mask: &Mask) -> usize {
    mask.ids.iter().filter(|&&id| id != Mask::IGNORED).count()
}
