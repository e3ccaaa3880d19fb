//! Keys of a case with one value for the whole network, or one value per stage.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A stage of a ResNet, named as in the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    C2,
    C3,
    C4,
    C5,
}

/// Value of a key: `8` for all stages, `{"c3": 8, "c4": 16}`, or `[8, 16]` in the order of the case's stages.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ByStage<T> {
    Same(T),
    Each(BTreeMap<Stage, T>),
    InOrder(Vec<T>),
}

impl<T: Clone> ByStage<T> {
    /// Returns the value for `stage`. `place` is its position in the case's list of stages.
    pub(crate) fn of(&self, stage: Stage, place: usize) -> Option<T> {
        match self {
            Self::Same(value) => Some(value.clone()),
            Self::Each(values) => values.get(&stage).cloned(),
            Self::InOrder(values) => values.get(place).cloned(),
        }
    }
}

fn parsed<'de, T: DeserializeOwned, D: Deserializer<'de>>(value: Value) -> Result<T, D::Error> {
    T::deserialize(value).map_err(D::Error::custom)
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for ByStage<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value {
            Value::Object(_) => parsed::<_, D>(value).map(Self::Each),
            // A list may be the value itself: `[1, 3, 5]` for kernels.
            Value::Array(_) => match T::deserialize(value.clone()) {
                Ok(same) => Ok(Self::Same(same)),
                Err(_) => parsed::<_, D>(value).map(Self::InOrder),
            },
            value => parsed::<_, D>(value).map(Self::Same),
        }
    }
}

/// Height and width: `7` or `[7, 7]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sides(pub(crate) usize, pub(crate) usize);

impl<'de> Deserialize<'de> for Sides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_array() {
            let [height, width] = parsed::<_, D>(value)?;
            return Ok(Self(height, width));
        }
        parsed::<_, D>(value).map(|side| Self(side, side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        serde_json::from_str(text).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_key_has_one_value_or_one_per_stage() {
        let of_c4 = |text| read::<ByStage<usize>>(text).unwrap().of(Stage::C4, 1);
        assert_eq!((of_c4("8"), of_c4(r#"{"c3": 8, "c4": 16}"#), of_c4("[8, 16]")), (Some(8), Some(16), Some(16)));
        assert_eq!((of_c4(r#"{"c3": 8}"#), of_c4("[8]")), (None, None));
        let kernels = |text| read::<ByStage<Vec<usize>>>(text).unwrap().of(Stage::C4, 1);
        assert_eq!(
            (kernels("[1, 3]"), kernels("[[1], [3]]"), kernels("[]")),
            (Some(vec![1, 3]), Some(vec![3]), Some(vec![]))
        );
        let sides = |text| read::<ByStage<Sides>>(text).unwrap().of(Stage::C4, 1);
        assert_eq!(
            (sides("7"), sides("[7, 8]"), sides("[[7, 7], 10]")),
            (Some(Sides(7, 7)), Some(Sides(7, 8)), Some(Sides(10, 10)))
        );
        assert!(read::<ByStage<usize>>(r#"{"c9": 8}"#).unwrap_err().contains("c9"));
        assert!(read::<ByStage<usize>>("\"eight\"").is_err() && read::<Sides>("[7, 7, 7]").is_err());
    }
}
