//! Translation of tensor names. Our variables have the names of the official RepMLP release; torchvision has other
//! names.
//!
//! A name is translated in either direction without knowledge of its network. A name without a counterpart (in a RepMLP
//! block, for example) has no translation. EfficientNet is not in the official release. There, our names are
//! torchvision's, except that the numbers 0 and 1 of a convolution and its norm become `conv` and `bn`.

use std::str::FromStr;

use serde::Deserialize;

/// A naming scheme of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// Names of the official RepMLP release. Our variables have these names.
    Official,
    /// Names of ResNet and EfficientNet in torchvision.
    Torchvision,
}

impl Naming {
    /// Returns the name of this naming on the command line and in cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Official => "official",
            Self::Torchvision => "torchvision",
        }
    }

    /// Translates one of our names into this naming. Returns `None` if this naming has no such tensor.
    pub fn from_ours(self, name: &str) -> Option<String> {
        match self {
            Self::Official => Some(name.to_owned()),
            Self::Torchvision => to_torchvision(name),
        }
    }

    /// Translates a name of this naming into our name. Returns `None` for unknown names.
    pub fn to_ours(self, name: &str) -> Option<String> {
        match self {
            Self::Official => Some(name.to_owned()),
            Self::Torchvision => from_torchvision(name),
        }
    }
}

/// Error for a word that is not the name of a naming.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a known naming; use `official` or `torchvision`")]
pub struct UnknownNaming(String);

impl FromStr for Naming {
    type Err = UnknownNaming;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = [Self::Official, Self::Torchvision];
        known.into_iter().find(|naming| naming.name() == word).ok_or_else(|| UnknownNaming(word.to_owned()))
    }
}

fn to_torchvision(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    Some(match parts.as_slice() {
        ["linear", what] => format!("fc.{what}"),
        ["classifier", what] => format!("classifier.1.{what}"),
        ["features", path @ .., pair @ ("conv" | "bn"), what] if !path.is_empty() => {
            format!("features.{}.{}.{what}", path.join("."), place_in_pair(pair))
        }
        ["features", ..] => name.to_owned(),
        ["stage0", "0", pair @ ("conv" | "bn"), what] => format!("{pair}1.{what}"),
        [stage, block, "shortcut", pair @ ("conv" | "bn"), what] => {
            format!("layer{}.{block}.downsample.{}.{what}", digit(stage.strip_prefix("stage")?)?, place_in_pair(pair))
        }
        [stage, block, layer, pair @ ("conv" | "bn"), what] => {
            let stage = digit(stage.strip_prefix("stage")?)?;
            format!("layer{stage}.{block}.{pair}{}.{what}", digit(layer.strip_prefix("conv")?)?)
        }
        _ => return None,
    })
}

fn from_torchvision(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    Some(match parts.as_slice() {
        ["fc", what] => format!("linear.{what}"),
        ["classifier", "1", what] => format!("classifier.{what}"),
        ["features", path @ .., place @ ("0" | "1"), what] if !path.is_empty() => {
            format!("features.{}.{}.{what}", path.join("."), part_at(place))
        }
        ["features", _, ..] => name.to_owned(),
        ["conv1", what] => format!("stage0.0.conv.{what}"),
        ["bn1", what] => format!("stage0.0.bn.{what}"),
        [layer, block, "downsample", place @ ("0" | "1"), what] => {
            format!("stage{}.{block}.shortcut.{}.{what}", digit(layer.strip_prefix("layer")?)?, part_at(place))
        }
        [layer, block, part, what] => {
            let stage = digit(layer.strip_prefix("layer")?)?;
            let pair = if part.starts_with("bn") { "bn" } else { "conv" };
            format!("stage{stage}.{block}.conv{}.{pair}.{what}", digit(part.strip_prefix(pair)?)?)
        }
        _ => return None,
    })
}

/// Position of a convolution (`conv`) or its batch norm (`bn`) in torchvision's sequences.
fn place_in_pair(part: &str) -> u8 {
    u8::from(part == "bn")
}

/// Inverse of [`place_in_pair`].
fn part_at(place: &str) -> &'static str {
    if place == "0" { "conv" } else { "bn" }
}

fn digit(text: &str) -> Option<&str> {
    matches!(text.as_bytes(), [b'1'..=b'9']).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_each_kind_are_translated() {
        let pairs = [
            ("stage0.0.conv.weight", "conv1.weight"),
            ("stage0.0.bn.running_mean", "bn1.running_mean"),
            ("stage1.0.shortcut.conv.weight", "layer1.0.downsample.0.weight"),
            ("stage1.0.shortcut.bn.bias", "layer1.0.downsample.1.bias"),
            ("stage3.22.conv2.conv.weight", "layer3.22.conv2.weight"),
            ("stage3.22.conv3.bn.running_var", "layer3.22.bn3.running_var"),
            ("linear.bias", "fc.bias"),
            ("features.0.conv.weight", "features.0.0.weight"),
            ("features.0.bn.bias", "features.0.1.bias"),
            ("features.1.0.block.0.conv.weight", "features.1.0.block.0.0.weight"),
            ("features.1.0.block.1.fc1.weight", "features.1.0.block.1.fc1.weight"),
            ("features.2.1.block.3.bn.running_var", "features.2.1.block.3.1.running_var"),
            ("classifier.weight", "classifier.1.weight"),
        ];
        for (ours, theirs) in pairs {
            assert_eq!(Naming::Torchvision.from_ours(ours).as_deref(), Some(theirs));
            assert_eq!(Naming::Torchvision.to_ours(theirs).as_deref(), Some(ours));
        }
    }

    #[test]
    fn names_without_a_counterpart_are_not_translated() {
        for ours in ["stage2.1.btnk_conv1.conv.weight", "stage2.1.btnk_repmlp.fc3.weight", "stem.conv.weight", "fc1"] {
            assert_eq!(Naming::Torchvision.from_ours(ours), None, "{ours}");
        }
        for theirs in ["layer1.0.weight", "head.weight", "stage0.0.conv.weight", "features"] {
            assert_eq!(Naming::Torchvision.to_ours(theirs), None, "{theirs}");
        }
    }
}
