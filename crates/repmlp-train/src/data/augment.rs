//! Configuration of augmentation and of the preparation for evaluation.

use repmlp::ConfigFault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Objective;

/// Augmentation of training images. Random numbers are drawn for each image and epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// Width in pixels of a black border around an image. A crop of the original size is then taken at a random place.
    /// 0: off.
    #[serde(default)]
    pub crop_padding: usize,
    /// Mirror an image left to right with probability 0.5.
    #[serde(default)]
    pub flip: bool,
    /// Cut out a part of random size, shape and place, and resize it to the square. `{}` uses the usual limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_resized_crop: Option<RandomResizedCropConfig>,
    /// Recolour and distort images with a policy that was found by search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_augment: Option<AutoAugmentConfig>,
    /// Parameter α of mixup: each batch is blended with a permutation of itself, images and targets. The share is drawn
    /// from Beta(α, α). 0: off; 0.2 is usual.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mixup_alpha: f64,
    /// Only for masks: limits of a random scale factor, for example `[0.5, 2.0]`. At factor 1 the longer side fills the
    /// square; with `random_crop`, the image has its own size. A square at a random place is then cut out, or padded
    /// with the mean colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_scale: Option<[f64; 2]>,
    /// Only for masks: rotate an image with probability 0.5, by at most this many degrees in either direction.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rotate_degrees: f64,
    /// Only for masks: cut the square out of the image at its own size. Without it, the image is first resized until
    /// its longer side fills the square.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub random_crop: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// Limits of a random resized crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomResizedCropConfig {
    /// Smallest and largest share of the image's area.
    #[serde(default = "customary_scale")]
    pub scale: [f64; 2],
    /// Smallest and largest ratio of width to height.
    #[serde(default = "customary_ratio")]
    pub ratio: [f64; 2],
}

fn customary_scale() -> [f64; 2] {
    [0.08, 1.0]
}

fn customary_ratio() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

impl Default for RandomResizedCropConfig {
    fn default() -> Self {
        Self { scale: customary_scale(), ratio: customary_ratio() }
    }
}

/// A policy of `AutoAugment`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", deny_unknown_fields)]
pub enum AutoAugmentConfig {
    /// The policy for ImageNet, with all its operations.
    #[serde(rename = "imagenet")]
    ImageNet {},
}

/// Preparation of an image for evaluation, in addition to what its set needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Length of the shorter side after resizing. The square in the middle is then cut out. Default: `image_size`. The
    /// usual value for ImageNet at 224 is 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Only for masks: evaluate whole images at their own size, through overlapping tiles with side `image_size`. Each
    /// pixel gets the mean logits of all tiles that contain it. `{}` uses the usual overlap. Without it, an image is
    /// resized until its longer side fills one square. Throughput is always measured on squares of `image_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<TilesConfig>,
}

/// Placement of tiles on an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TilesConfig {
    /// Distance from one tile to the next, as a share of their side. Default: two thirds.
    #[serde(default = "two_thirds")]
    pub stride: f64,
}

fn two_thirds() -> f64 {
    2.0 / 3.0
}

/// Allowed strides, as a share of the tile's side. Below, a pixel would lie in more than a hundred tiles.
const STRIDES: std::ops::RangeInclusive<f64> = 0.1..=1.0;

impl TilesConfig {
    /// Returns the distance from one tile of `side` to the next, in pixels.
    pub(crate) fn step(&self, side: usize) -> usize {
        ((side as f64 * self.stride).ceil() as usize).clamp(1, side)
    }
}

impl EvaluateConfig {
    /// Returns whether all settings have their default values.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits of mixup's α. Below, shares round to 0 or 1. Above, the sampler rejects most samples.
const MIXUP_ALPHAS: std::ops::RangeInclusive<f64> = 0.05..=1.0;

impl AugmentConfig {
    /// Returns the faults for a data set with this objective and number of channels.
    pub(crate) fn faults(&self, objective: Objective, channels: usize) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, key: &str, message: &str| {
            if !ok {
                faults.push(ConfigFault::new(format!("data.augment.{key}"), message));
            }
        };
        let classifies = objective == Objective::Classification;
        let segments = objective == Objective::Segmentation;
        check(self.crop_padding == 0 || !segments, "crop_padding", "cannot be used with masks: use random_scale");
        if let Some(RandomResizedCropConfig { scale, ratio }) = &self.random_resized_crop {
            let key = "random_resized_crop";
            check(classifies, key, "is only for classification");
            check(self.crop_padding == 0, key, "replaces crop_padding: remove one of them");
            let shares = scale[0] > 0.0 && scale[0] <= scale[1] && scale[1] <= 1.0;
            check(shares, "random_resized_crop.scale", "must be two rising shares in (0, 1]");
            let rising = ratio[0] > 0.0 && ratio[0] <= ratio[1] && ratio[1].is_finite();
            check(rising, "random_resized_crop.ratio", "must be two rising numbers above 0");
        }
        if self.auto_augment.is_some() {
            check(classifies && channels == 3, "auto_augment", "is only for the classification of colour images");
        }
        let alpha = self.mixup_alpha;
        check(alpha == 0.0 || MIXUP_ALPHAS.contains(&alpha), "mixup_alpha", "must be 0 (off) or in [0.05, 1]");
        check(alpha == 0.0 || classifies, "mixup_alpha", "is only for classification");
        if let Some([smallest, largest]) = self.random_scale {
            check(segments, "random_scale", "is only for masks");
            let rising = smallest >= 0.1 && smallest <= largest && largest <= 10.0;
            check(rising, "random_scale", "must be two rising numbers in [0.1, 10]");
        }
        let degrees = self.rotate_degrees;
        check((0.0..=180.0).contains(&degrees), "rotate_degrees", "must be in [0, 180]");
        check(degrees == 0.0 || segments, "rotate_degrees", "is only for masks");
        check(!self.random_crop || segments, "random_crop", "is only for masks: use random_resized_crop instead");
        faults
    }
}

impl EvaluateConfig {
    /// Returns the faults for a data set with this objective.
    pub(crate) fn faults(&self, objective: Objective, image_size: usize) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: String| {
            faults.push(ConfigFault::new(format!("data.evaluate.{key}"), message));
        };
        if let Some(resize) = self.resize {
            if objective != Objective::Classification {
                fault("resize", "is only for classification: people and scenes are evaluated whole".to_owned());
            } else if !(image_size..=4 * image_size).contains(&resize) {
                fault("resize", format!("must be between image_size ({image_size}) and four times image_size"));
            }
        }
        if let Some(tiles) = &self.tiles {
            if objective != Objective::Segmentation {
                fault("tiles", "is only for masks".to_owned());
            }
            if !STRIDES.contains(&tiles.stride) {
                let (least, most) = (STRIDES.start(), STRIDES.end());
                fault("tiles.stride", format!("must be in [{least}, {most}]: a share of the side of a tile"));
            }
        }
        faults
    }
}
