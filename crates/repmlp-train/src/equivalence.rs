//! The check at the end of every run: the deployed form must compute the same as the training form, on real test
//! images.
//!
//! There are two checks with separate bounds. First, the merge must be right: it is checked in f64, where rounding is
//! negligible, on some images. Second, f32 must be precise enough: it is checked on all test images.

use candle_core::{DType, Tensor};
use repmlp::models::Answer;

use crate::TrainError;
use crate::evaluate::EvaluationSplit;
use crate::evaluate::Network;
use crate::objective::Embeddings;

/// Bound in f64: the largest difference of both forms, as a share of the largest number in the output for the same
/// image.
///
/// f64 has 53 bits (1.1e-16). A network may amplify rounding errors. One that reaches [`ENLARGED_SHARE`] in f32 (6e-8)
/// amplifies them by 1.7e5, so it differs by 2e-11 in f64. The bound is 50 times that. A merge that forgets eps (1e-5)
/// in one batch norm differs by about 2e-5 in the experiments of this repository. Where that norm hardly affects the
/// output, it still differs by 3e-9.
const EXACT_SHARE: f64 = 1e-9;

/// Bound in f32 for a right merge without a note. f32 has 24 bits (6e-8). A sum of about 10^3 terms has a relative
/// error of about √10^3 · 6e-8 / 2 = 1e-6, and a hundred such layers ten times that. The bound allows another factor of
/// ten.
///
/// Within this bound, the predicted class changes only if two classes almost tie: their logits differ by at most twice
/// the difference of both forms.
const ROUNDING_SHARE: f64 = 1e-4;

/// Bound in f32 above which a run fails. A network can amplify rounding errors by more than [`ROUNDING_SHARE`], for
/// example with unscaled non-local attention. Above this bound, f32 results are useless.
const ENLARGED_SHARE: f64 = 1e-2;

/// Result of comparing both forms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    /// Largest difference between two numbers of the outputs.
    pub(crate) max_abs_diff: f64,
    /// Largest absolute number in an output of the training form.
    pub(crate) largest: f64,
    /// Largest difference for an image, as a share of the largest number in its output.
    worst_share: f64,
    /// Number of compared images, pixels or probes.
    answered: usize,
    /// Number of those for which both forms agree.
    alike: usize,
}

impl Comparison {
    /// Compares both forms on a split.
    pub(crate) fn on(
        split: EvaluationSplit<'_>,
        answer: Answer,
        [trained, deployed]: [Network<'_>; 2],
    ) -> Result<Self, TrainError> {
        let mut comparison = Self::default();
        let mut embeddings = [Embeddings::default(), Embeddings::default()];
        split.each_batch(|batch| {
            let answers = [trained(&batch.images_nchw)?, deployed(&batch.images_nchw)?];
            let [of_trained, of_deployed] = [numbers(&answers[0])?, numbers(&answers[1])?];
            of_trained.iter().zip(&of_deployed).for_each(|(trained, deployed)| comparison.measure(trained, deployed));
            match answer {
                Answer::Logits | Answer::Map => {
                    let [trained, deployed] = [best_classes(&answers[0])?, best_classes(&answers[1])?];
                    comparison.count(trained.iter().zip(&deployed).map(|(a, b)| a == b));
                }
                Answer::Embedding => {
                    for (embeddings, answer) in embeddings.iter_mut().zip(&answers) {
                        embeddings.add(&answer.to_dtype(DType::F32)?, &batch.labels)?;
                    }
                }
            }
            Ok(())
        })?;
        let [trained, deployed] = embeddings.map(|embeddings| embeddings.identifications());
        comparison.count(trained.iter().zip(&deployed).map(|(a, b)| a == b));
        Ok(comparison)
    }

    /// Counts answers. Each item says whether both forms agree.
    fn count(&mut self, alike: impl Iterator<Item = bool>) {
        for alike in alike {
            self.answered += 1;
            self.alike += usize::from(alike);
        }
    }

    /// Adds the outputs of both forms for one image.
    fn measure(&mut self, trained: &[f64], deployed: &[f64]) {
        let (mut apart, mut largest) = (0.0, 0.0_f64);
        for (&t, &d) in trained.iter().zip(deployed) {
            apart = larger(apart, (t - d).abs());
            largest = largest.max(t.abs());
        }
        self.max_abs_diff = larger(self.max_abs_diff, apart);
        self.largest = self.largest.max(largest);
        let share = if apart == 0.0 { 0.0 } else { apart / largest };
        self.worst_share = larger(self.worst_share, share);
    }

    /// Returns the share of images, pixels or probes for which both forms agree.
    pub(crate) fn agreement(&self) -> f64 {
        self.alike as f64 / self.answered.max(1) as f64
    }

    /// Fails unless the merge is right. Needs a comparison in f64.
    pub(crate) fn prove_merge(&self) -> Result<(), TrainError> {
        self.within("f64", EXACT_SHARE)
    }

    /// Fails if both forms differ too much in f32. Returns a note if the difference is larger than usual rounding.
    pub(crate) fn settle_rounding(&self) -> Result<Option<String>, TrainError> {
        self.within("f32", ENLARGED_SHARE)?;
        let others = self.answered - self.alike;
        Ok((self.worst_share > ROUNDING_SHARE).then(|| {
            format!(
                "both forms differ by up to {:.1e} of the largest number of an output, and {others} of {} predictions \
                 differ: the merge is right in f64, but the network amplifies rounding errors",
                self.worst_share, self.answered
            )
        }))
    }

    fn within(&self, precision: &'static str, allowed: f64) -> Result<(), TrainError> {
        // Not `>`: NaN must fail.
        if self.worst_share <= allowed {
            return Ok(());
        }
        Err(TrainError::Equivalence { precision, share: self.worst_share, allowed })
    }
}

/// Returns the larger of two numbers. Unlike `max`, it returns NaN if there is one.
fn larger(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

/// Returns the numbers of each image's output.
fn numbers(answer: &Tensor) -> candle_core::Result<Vec<Vec<f64>>> {
    answer.to_dtype(DType::F64)?.flatten_from(1)?.to_vec2()
}

/// Returns the class with the largest number for each image (N, classes) or each pixel (N, classes, H, W).
fn best_classes(answer: &Tensor) -> candle_core::Result<Vec<u32>> {
    answer.argmax(1)?.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(trained: &[f64], deployed: &[f64]) -> Comparison {
        let mut comparison = Comparison::default();
        comparison.measure(trained, deployed);
        comparison
    }

    #[test]
    fn differences_are_relative_to_the_largest_number_of_each_image() {
        let mut comparison = compared(&[1000.0, 1.0], &[1000.0, 1.0]);
        comparison.measure(&[0.1, 0.05], &[0.1, 0.05 + 2e-8]);
        let fault = comparison.prove_merge().unwrap_err().to_string();
        assert!(fault.contains("2.0e-7") && fault.contains("f64"), "{fault}");
        assert!(comparison.settle_rounding().unwrap().is_none());
        assert!(compared(&[0.0, 0.0], &[0.0, 0.0]).prove_merge().is_ok());
        assert!(compared(&[0.0, 0.0], &[0.0, 1e-30]).prove_merge().is_err());
    }

    #[test]
    fn usual_rounding_passes_more_gives_a_note_and_much_fails() {
        let trained = [10.0, 1.0, 2.0];
        assert!(compared(&trained, &[10.0005, 1.0, 2.0]).settle_rounding().unwrap().is_none());
        assert!(compared(&trained, &[10.01, 1.0, 2.0]).settle_rounding().unwrap().unwrap().contains("1.0e-3"));
        assert!(compared(&trained, &[10.2, 1.0, 2.0]).settle_rounding().is_err());
        for place in 0..3 {
            let mut deployed = trained;
            deployed[place] = f64::NAN;
            let comparison = compared(&trained, &deployed);
            assert!(comparison.settle_rounding().is_err() && comparison.prove_merge().is_err(), "NaN at {place}");
        }
    }

    #[test]
    fn agreement_is_the_share_of_equal_answers() {
        let mut comparison = Comparison::default();
        comparison.count([true, false, true, true].into_iter());
        assert!((comparison.agreement() - 0.75).abs() < 1e-12);
    }
}
