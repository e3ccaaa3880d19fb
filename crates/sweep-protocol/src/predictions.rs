//! The classes that a run predicted for the images of a split, beside the true ones.
//!
//! A report pairs the images of two runs by their place, so it can tell a difference between networks from the luck of
//! a test set. Both lists are texts with one to three letters per image: they can be read in a journal, a change of one
//! image changes one place, and reading them needs no more memory than they have. This module does not know images.

use serde::{Deserialize, Serialize};

use crate::{Form, Split};

/// The digits of a class to the base 64. Up to ten classes are written as they are usually numbered.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
/// The largest number of classes.
const MOST_CLASSES: u32 = 1 << 16;

/// The true and the predicted class of each image of a split, in the order of the set.
///
/// Only whole images have predictions. Segmentation classifies pixels, and a test set has hundreds of millions of them.
/// Verification of faces tells whether two images show the same person, and no image has a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Predictions {
    split: Split,
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<Form>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    classes: u32,
    truth: String,
    predicted: String,
}

/// Predictions that cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PredictionsError {
    /// The number of classes is 0 or too large.
    #[error("{classes} classes; there must be 1 to {MOST_CLASSES}")]
    Classes {
        /// The number of classes.
        classes: u32,
    },
    /// There are no images.
    #[error("no images")]
    Empty,
    /// Some images have only one of both classes.
    #[error("{truth} true and {predicted} predicted classes; each image needs one of both")]
    Lengths {
        /// Number of true classes.
        truth: usize,
        /// Number of predicted classes.
        predicted: usize,
    },
    /// A class is too large.
    #[error("image {image} has class {class}; with {classes} classes, the last is {}", classes.saturating_sub(1))]
    Class {
        /// Place of the image, counted from 0.
        image: usize,
        /// Its class.
        class: u32,
        /// Number of classes.
        classes: u32,
    },
    /// A text has letters that are no digits, or ends within a class.
    #[error("the classes are no text of digits to the base 64")]
    Text,
}

/// [`Predictions`] as they are stored, before they are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    split: Split,
    form: Option<Form>,
    epoch: Option<u32>,
    classes: u32,
    truth: String,
    predicted: String,
}

impl TryFrom<Stored> for Predictions {
    type Error = PredictionsError;

    fn try_from(stored: Stored) -> Result<Self, PredictionsError> {
        let Stored { split, form, epoch, classes, truth, predicted } = stored;
        Self::of_texts((split, form, epoch), classes, [truth, predicted])
    }
}

impl Predictions {
    /// Records the classes of images after an epoch: the true and the predicted ones, counted from 0.
    ///
    /// # Errors
    /// When there are no images, their numbers differ, or a class is not below `classes`.
    pub fn new(
        place: (Split, Option<Form>, Option<u32>),
        classes: u32,
        [truth, predicted]: [&[u32]; 2],
    ) -> Result<Self, PredictionsError> {
        check_classes(classes)?;
        let text = |all: &[u32]| {
            if let Some((image, &class)) = all.iter().enumerate().find(|(_, class)| **class >= classes) {
                return Err(PredictionsError::Class { image, class, classes });
            }
            Ok(written(all, width(classes)))
        };
        Self::of_texts(place, classes, [text(truth)?, text(predicted)?])
    }

    /// Takes the classes from texts that [`Self::truth_text`] and [`Self::predicted_text`] gave.
    ///
    /// # Errors
    /// As [`Self::new`], and when a text is not made of digits.
    pub fn of_texts(
        (split, form, epoch): (Split, Option<Form>, Option<u32>),
        classes: u32,
        [truth, predicted]: [String; 2],
    ) -> Result<Self, PredictionsError> {
        check_classes(classes)?;
        let width = width(classes);
        if truth.len() != predicted.len() {
            return Err(PredictionsError::Lengths { truth: truth.len() / width, predicted: predicted.len() / width });
        }
        if truth.is_empty() {
            return Err(PredictionsError::Empty);
        }
        for text in [&truth, &predicted] {
            if !text.len().is_multiple_of(width) {
                return Err(PredictionsError::Text);
            }
            for (image, digits) in text.as_bytes().chunks_exact(width).enumerate() {
                let class = class_of(digits).ok_or(PredictionsError::Text)?;
                if class >= classes {
                    return Err(PredictionsError::Class { image, class, classes });
                }
            }
        }
        Ok(Self { split, form, epoch, classes, truth, predicted })
    }

    /// Returns the split of the images.
    pub fn split(&self) -> Split {
        self.split
    }

    /// Returns the form that predicted. A command may have no forms.
    pub fn form(&self) -> Option<Form> {
        self.form
    }

    /// Returns the number of finished epochs. A command may report none.
    pub fn epoch(&self) -> Option<u32> {
        self.epoch
    }

    /// Returns the number of classes of the set.
    pub fn classes(&self) -> u32 {
        self.classes
    }

    /// Returns the number of images.
    pub fn images(&self) -> usize {
        self.truth.len() / width(self.classes)
    }

    /// Returns the true and the predicted class of each image.
    pub fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        self.digits().map(|(truth, predicted)| {
            // Every text was checked when it came in.
            (class_of(truth).unwrap_or_default(), class_of(predicted).unwrap_or_default())
        })
    }

    /// Returns whether each image was classified correctly.
    pub fn correct(&self) -> Vec<bool> {
        self.digits().map(|(truth, predicted)| truth == predicted).collect()
    }

    /// Returns the share of correct images. It equals the accuracy that the trainer measured, to the last bit.
    pub fn accuracy(&self) -> f64 {
        let hits = self.digits().filter(|(truth, predicted)| truth == predicted).count();
        hits as f64 / self.images() as f64
    }

    /// Returns the true classes as a text. Equal texts of equally many classes are equal sets of images.
    pub fn truth_text(&self) -> &str {
        &self.truth
    }

    /// Returns the predicted classes as a text.
    pub fn predicted_text(&self) -> &str {
        &self.predicted
    }

    fn digits(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let width = width(self.classes);
        self.truth.as_bytes().chunks_exact(width).zip(self.predicted.as_bytes().chunks_exact(width))
    }
}

fn check_classes(classes: u32) -> Result<(), PredictionsError> {
    if (1..=MOST_CLASSES).contains(&classes) { Ok(()) } else { Err(PredictionsError::Classes { classes }) }
}

/// Returns the number of digits of a class.
fn width(classes: u32) -> usize {
    match classes {
        0..=64 => 1,
        65..=4096 => 2,
        _ => 3,
    }
}

/// Writes classes with the same number of digits each, the highest first.
fn written(classes: &[u32], width: usize) -> String {
    let digit = |class: u32, place: usize| char::from(DIGITS[(class >> (6 * place)) as usize % DIGITS.len()]);
    classes.iter().flat_map(|&class| (0..width).rev().map(move |place| digit(class, place))).collect()
}

/// Returns the class with these digits; `None` if one of them is no digit.
fn class_of(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |class: u32, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        Some(class * 64 + u32::from(value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const PLACE: (Split, Option<Form>, Option<u32>) = (Split::Test, Some(Form::Deployed), Some(3));

    #[test]
    fn up_to_ten_classes_are_stored_as_their_numbers() {
        let predictions = Predictions::new(PLACE, 10, [&[7, 2, 1, 0], &[7, 2, 9, 0]]).unwrap();
        let stored = r#"{"split":"test","form":"deployed","epoch":3,"classes":10,"truth":"7210","predicted":"7290"}"#;
        assert_eq!(serde_json::to_string(&predictions).unwrap(), stored);
        assert_eq!((predictions.images(), predictions.accuracy()), (4, 0.75));
        assert_eq!(predictions.correct(), [true, true, false, true]);
        let last = |classes: u32| Predictions::new(PLACE, classes, [&[classes - 1], &[0]]).unwrap().truth;
        assert_eq!([10, 64, 65, 4096, 65536].map(last), ["9", "_", "10", "__", "F__"]);
    }

    #[test]
    fn impossible_predictions_are_refused() {
        let read = |classes: u32, truth: &str, predicted: &str| {
            let json = serde_json::json!({
                "split": "test", "classes": classes, "truth": truth, "predicted": predicted
            });
            serde_json::from_value::<Predictions>(json).unwrap_err().to_string()
        };
        for (found, expected) in [
            (read(0, "0", "0"), "0 classes; there must be 1 to 65536"),
            (read(65537, "000", "000"), "65537 classes"),
            (read(u32::MAX, "0", "0"), "classes; there must be"),
            (read(10, "", ""), "no images"),
            (read(10, "01", "0"), "2 true and 1 predicted classes"),
            (read(10, "01", "0A"), "image 1 has class 10; with 10 classes, the last is 9"),
            (read(10, "0=", "00"), "no text of digits"),
            (read(10, "é", "00"), "no text of digits"),
            (read(65, "0", "0"), "no text of digits"),
        ] {
            assert!(found.contains(expected), "{found}");
        }
        let extra = r#"{"split":"test","classes":1,"truth":"0","predicted":"0","more":1}"#;
        assert!(serde_json::from_str::<Predictions>(extra).is_err());
        let fault = Predictions::new(PLACE, 3, [&[0, 1], &[0]]).unwrap_err();
        assert_eq!(fault, PredictionsError::Lengths { truth: 2, predicted: 1 });
        let fault = Predictions::new(PLACE, 3, [&[0, 1], &[0, 3]]).unwrap_err();
        assert_eq!(fault, PredictionsError::Class { image: 1, class: 3, classes: 3 });
    }

    proptest! {
        #[test]
        fn classes_are_read_as_they_were_written(
            classes in 1..=MOST_CLASSES, drawn in proptest::collection::vec(any::<(u32, u32)>(), 1..40),
        ) {
            let pairs: Vec<(u32, u32)> = drawn.iter().map(|(a, b)| (a % classes, b % classes)).collect();
            let (truth, predicted): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
            let predictions = Predictions::new(PLACE, classes, [&truth, &predicted]).unwrap();
            let read: Predictions = serde_json::from_str(&serde_json::to_string(&predictions).unwrap()).unwrap();
            prop_assert_eq!(&read, &predictions);
            prop_assert_eq!(read.pairs().collect::<Vec<_>>(), pairs.clone());
            let hits = pairs.iter().filter(|(a, b)| a == b).count();
            prop_assert_eq!(read.accuracy().to_bits(), (hits as f64 / pairs.len() as f64).to_bits());
        }

        #[test]
        fn any_text_is_read_or_refused(classes in any::<u32>(), truth in ".{0,9}", predicted in ".{0,9}") {
            let read = Predictions::of_texts(PLACE, classes, [truth, predicted]);
            prop_assert!(read.is_err() || read.is_ok_and(|read| read.pairs().all(|(a, b)| a.max(b) < classes)));
        }
    }
}
