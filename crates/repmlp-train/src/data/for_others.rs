//! What code outside this project needs to give a network the same images: the normalisation, the names of the classes,
//! and the test images as the network sees them before normalisation.

use std::path::Path;

use crate::data::config::DataConfig;
use crate::data::data_folder::DataFolder;
use crate::data::dataset::Dataset;
use crate::data::image::Target;
use crate::data::{DataError, Normalization, Objective, SourceConfig};

/// The preparation of a data set, for code outside this project.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparing {
    /// Name of the set and digest of its images.
    pub fingerprint: String,
    /// The normalisation.
    pub normalization: Normalization,
    /// Names of the classes in the order of their numbers, if the set has names.
    pub classes: Option<Vec<String>>,
}

/// Test images as the network sees them before normalisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestImages {
    /// Number, channels, height and width.
    pub shape: [usize; 4],
    /// The pixels (N, C, H, W).
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u32>,
}

/// Names of the classes of Fashion-MNIST, from its description by Xiao et al. 2017.
const FASHION: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

impl DataConfig {
    /// Reads what code outside this project needs to prepare images. `seed` is that of the run.
    ///
    /// # Errors
    /// When the set is missing, damaged or does not match the configuration.
    pub fn preparing(&self, folder: Option<&Path>, seed: u64) -> Result<Preparing, DataError> {
        let data = self.load(folder, seed)?;
        let normalization = data.preparation.normalization.clone();
        Ok(Preparing { fingerprint: data.fingerprint, normalization, classes: self.class_names(folder) })
    }

    /// Reads the test images; `None` if images do not have one class each.
    ///
    /// # Errors
    /// When the set is missing, damaged or does not match the configuration.
    pub fn test_images(&self, folder: Option<&Path>, seed: u64) -> Result<Option<TestImages>, DataError> {
        if self.objective() != Objective::Classification {
            return Ok(None);
        }
        let Dataset { test, preparation, .. } = self.load(folder, seed)?;
        let shape = [test.images.len(), preparation.channels, preparation.side, preparation.side];
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for &index in &test.images {
            let (image, target) = test.pool.item(index)?;
            let Target::Class(class) = target else { return Ok(None) };
            pixels.extend(preparation.fitted(&image).pixels);
            labels.push(class);
        }
        Ok(Some(TestImages { shape, pixels, labels }))
    }

    /// Returns the names of the classes in the order of their numbers, if the set has names.
    fn class_names(&self, folder: Option<&Path>) -> Option<Vec<String>> {
        let names = match &self.source {
            SourceConfig::FashionMnist5k {} => FASHION.map(str::to_owned).to_vec(),
            SourceConfig::ImageFolder(config) => {
                DataFolder::find(folder, &config.name, "").ok()?.folders("train").ok()?
            }
            _ => return None,
        };
        (names.len() == self.source.shape().classes).then_some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixture::{folder_with, plain_png};

    #[test]
    fn test_images_are_those_of_an_evaluation_before_normalisation() {
        let config: DataConfig =
            toml::from_str("image_size = 32\nsource.kind = 'fashion-mnist-5k'\ntest_limit = 3").unwrap();
        let images = config.test_images(None, 0).unwrap().unwrap();
        assert_eq!((images.shape, images.pixels.len()), ([3, 1, 32, 32], 3 * 32 * 32));
        let data = config.load(None, 0).unwrap();
        let mut batch = data.preparation.batch(3);
        data.test.images.iter().for_each(|&i| data.preparation.append(data.test.pool.item(i).unwrap(), &mut batch));
        let Preparing { normalization: Normalization { mean, deviation }, classes, .. } =
            config.preparing(None, 0).unwrap();
        let normalised: Vec<f32> =
            images.pixels.iter().map(|&pixel| (f32::from(pixel) - mean[0]) / deviation[0]).collect();
        assert!(normalised.iter().zip(&batch.numbers).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_eq!(images.labels, batch.labels);
        assert_eq!(classes.unwrap()[9], "Ankle boot");
    }

    #[test]
    fn the_classes_of_an_image_folder_are_named() {
        let files = ["own/train/cat/a.png", "own/train/dog/a.png", "own/val/cat/b.png", "own/val/dog/b.png"];
        let folder = folder_with(&files.map(|file| (file.strip_prefix("own/").unwrap(), plain_png((4, 4), 9))));
        let text = "image_size = 4\nsource = { kind = 'image-folder', name = 'own', classes = 2 }";
        let config: DataConfig = toml::from_str(text).unwrap();
        assert_eq!(config.preparing(Some(folder.path()), 0).unwrap().classes.unwrap(), ["cat", "dog"]);
        assert_eq!(config.test_images(Some(folder.path()), 0).unwrap().unwrap().shape, [2, 3, 4, 4]);
    }
}
