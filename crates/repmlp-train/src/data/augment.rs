//! What images undergo before a network sees them, as a configuration says it.

use repmlp::ConfigFault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Objective;

/// What a training image undergoes before each use. Randomness is drawn for each image and epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// Black pixels put around an image before a crop of the old size is taken at a random place; 0 for none.
    #[serde(default)]
    pub crop_padding: usize,
    /// Mirror every second image, by chance, left to right.
    #[serde(default)]
    pub flip: bool,
    /// Take a part of random size, shape and place and resize it to the square; `{}` takes the customary limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_resized_crop: Option<RandomResizedCropConfig>,
    /// Recolour and distort by a policy that was found by search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_augment: Option<AutoAugmentConfig>,
    /// Parameter α of mixup: each batch is blended with itself in another order, targets too, by a share from
    /// Beta(α, α). 0 for none, 0.2 is customary.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mixup_alpha: f64,
    /// For masks: limits of a random factor, `[0.5, 2.0]` say, on the size at which an evaluation sees the image (with `random_crop`, on
    /// its own size). A square at a random place is then cut out, or padded with the mean colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_scale: Option<[f64; 2]>,
    /// For masks: rotate every second image, by chance, by up to so many degrees to either side.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rotate_degrees: f64,
    /// For masks: cut the square out of the image at its own size, where it is otherwise first shrunk or enlarged until its longer side
    /// fills the square.
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
    /// The policy found on ImageNet, with all its operations.
    #[serde(rename = "imagenet")]
    ImageNet {},
}

/// What an image undergoes before an evaluation, besides what its set asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Length that the shorter side of an image is resized to before the square in the middle is cut out; `image_size` unless
    /// it is said here (ImageNet at 224 has 256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// For masks: look at whole images at their own size, through squares of `image_size` that overlap, and answer each pixel by the mean
    /// of the logits of all squares that show it; `{}` takes the customary overlap. Without it an image is shrunk or enlarged until its
    /// longer side fills one square. Throughput is that of squares either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<TilesConfig>,
}

/// How squares lie upon an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TilesConfig {
    /// From one square to the next, as a share of their side; two thirds unless it is said here.
    #[serde(default = "two_thirds")]
    pub stride: f64,
}

fn two_thirds() -> f64 {
    2.0 / 3.0
}

/// Shares of a side from one tile to the next: below, a pixel would be looked at more than a hundred times.
const STRIDES: std::ops::RangeInclusive<f64> = 0.1..=1.0;

impl TilesConfig {
    /// Pixels from one square of `side` to the next.
    pub(crate) fn step(&self, side: usize) -> usize {
        ((side as f64 * self.stride).ceil() as usize).clamp(1, side)
    }
}

impl EvaluateConfig {
    /// Whether nothing is said.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits of mixup's α: below, shares are 0 or 1 to the last digit; above, the sampler seldom accepts.
const MIXUP_ALPHAS: std::ops::RangeInclusive<f64> = 0.05..=1.0;

impl AugmentConfig {
    /// What cannot be done to images of a set that serves `objective` and has so many channels.
    pub(crate) fn faults(&self, objective: Objective, channels: usize) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut check = |ok: bool, key: &str, message: &str| {
            if !ok {
                faults.push(ConfigFault::new(format!("data.augment.{key}"), message));
            }
        };
        let classifies = objective == Objective::Classification;
        let segments = objective == Objective::Segmentation;
        check(self.crop_padding == 0 || !segments, "crop_padding", "is not for masks: use random_scale");
        if let Some(RandomResizedCropConfig { scale, ratio }) = &self.random_resized_crop {
            let key = "random_resized_crop";
            check(classifies, key, "is for classification alone");
            check(self.crop_padding == 0, key, "takes the place of crop_padding: leave one of them out");
            let shares = scale[0] > 0.0 && scale[0] <= scale[1] && scale[1] <= 1.0;
            check(shares, "random_resized_crop.scale", "must be two rising shares in (0, 1]");
            let rising = ratio[0] > 0.0 && ratio[0] <= ratio[1] && ratio[1].is_finite();
            check(rising, "random_resized_crop.ratio", "must be two rising numbers above 0");
        }
        if self.auto_augment.is_some() {
            check(classifies && channels == 3, "auto_augment", "is for the classification of colour images alone");
        }
        let alpha = self.mixup_alpha;
        check(alpha == 0.0 || MIXUP_ALPHAS.contains(&alpha), "mixup_alpha", "must be 0 (off) or in [0.05, 1]");
        check(alpha == 0.0 || classifies, "mixup_alpha", "is for classification alone");
        if let Some([smallest, largest]) = self.random_scale {
            check(segments, "random_scale", "is for masks alone");
            let rising = smallest >= 0.1 && smallest <= largest && largest <= 10.0;
            check(rising, "random_scale", "must be two rising numbers in [0.1, 10]");
        }
        let degrees = self.rotate_degrees;
        check((0.0..=180.0).contains(&degrees), "rotate_degrees", "must be in [0, 180]");
        check(degrees == 0.0 || segments, "rotate_degrees", "is for masks alone");
        check(!self.random_crop || segments, "random_crop", "is for masks alone: classes have random_resized_crop");
        faults
    }
}

impl EvaluateConfig {
    /// What cannot be done to images of a set that serves `objective`.
    pub(crate) fn faults(&self, objective: Objective, image_size: usize) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: String| {
            faults.push(ConfigFault::new(format!("data.evaluate.{key}"), message));
        };
        if let Some(resize) = self.resize {
            if objective != Objective::Classification {
                fault("resize", "is for classification alone: people and scenes are always seen whole".to_owned());
            } else if !(image_size..=4 * image_size).contains(&resize) {
                fault("resize", format!("must be between image_size ({image_size}) and four times as much"));
            }
        }
        if let Some(tiles) = &self.tiles {
            if objective != Objective::Segmentation {
                fault("tiles", "is for masks alone".to_owned());
            }
            if !STRIDES.contains(&tiles.stride) {
                let (least, most) = (STRIDES.start(), STRIDES.end());
                fault("tiles.stride", format!("must be in [{least}, {most}]: a share of the side of a tile"));
            }
        }
        faults
    }
}
