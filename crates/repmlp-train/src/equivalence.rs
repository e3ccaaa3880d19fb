//! The gate that every run passes: the merged model is the trained one, on real test images.
//!
//! Two questions, each with a bound of its own. Is the merge right? Computed in f64, where rounding hides nothing, on some images. Does
//! f32 compute it well enough? On all test images.

use candle_core::{DType, Tensor};
use repmlp::models::Answer;

use crate::TrainError;
use crate::evaluate::EvaluationSplit;
use crate::objective::Embeddings;
use crate::throughput::Network;

/// Largest difference of both forms in f64, as a share of the largest number of that image's answer.
///
/// f64 has 53 bits (1.1e-16). A network may enlarge rounding errors: what strays by [`ENLARGED_SHARE`] in f32 (6e-8) enlarges by
/// 1.7e5, and strays by 2e-11 in f64; the bound is 50 times that. A merge that forgets eps (1e-5) in one batch norm strays by some
/// 2e-5 in the carried experiments, and by 3e-9 where that norm hardly matters to the answer.
const EXACT_SHARE: f64 = 1e-9;

/// What f32 makes of a right merge: 24 bits (6e-8); a sum of some 10^3 terms strays by about √10^3 · 6e-8 / 2 = 1e-6 of itself, and a
/// hundred such layers by ten times that; ten times as much again is nothing to speak of.
///
/// Within it another class can come out only in a tie: to be overtaken, the best must lead by at most twice the difference.
const ROUNDING_SHARE: f64 = 1e-4;

/// A network can enlarge these errors by more (non-local attention that is not scaled does). What strays further than this is of no
/// use in f32.
const ENLARGED_SHARE: f64 = 1e-2;

/// How both forms compare.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    /// Largest difference of two numbers of an answer.
    pub(crate) max_abs_diff: f64,
    /// Largest number of an answer of the trained form.
    pub(crate) largest: f64,
    /// Largest difference of an image as a share of the largest number of its answer.
    worst_share: f64,
    /// Images, pixels or probes that were answered.
    answered: usize,
    /// How many of them both forms answer alike.
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

    /// Counts answers; each item says whether both forms agree.
    fn count(&mut self, alike: impl Iterator<Item = bool>) {
        for alike in alike {
            self.answered += 1;
            self.alike += usize::from(alike);
        }
    }

    /// Takes in the answers to one image.
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

    /// Share of images, pixels or probes that both forms answer alike.
    pub(crate) fn agreement(&self) -> f64 {
        self.alike as f64 / self.answered.max(1) as f64
    }

    /// Fails unless the merge is right, by a comparison in f64.
    pub(crate) fn prove_merge(&self) -> Result<(), TrainError> {
        self.within("f64", EXACT_SHARE)
    }

    /// Fails unless f32 computes both forms alike; what a person should know where it does so only roughly.
    pub(crate) fn settle_rounding(&self) -> Result<Option<String>, TrainError> {
        self.within("f32", ENLARGED_SHARE)?;
        let others = self.answered - self.alike;
        Ok((self.worst_share > ROUNDING_SHARE).then(|| {
            format!(
                "both forms differ by up to {:.1e} of an answer's largest number, and {others} of {} are answered otherwise: in \
                 f64 the merge is right, but the network enlarges rounding errors",
                self.worst_share, self.answered
            )
        }))
    }

    fn within(&self, precision: &'static str, allowed: f64) -> Result<(), TrainError> {
        // Not `>`: what is no number is not within any bound.
        if self.worst_share <= allowed {
            return Ok(());
        }
        Err(TrainError::Equivalence { precision, share: self.worst_share, allowed })
    }
}

/// The larger of two numbers; a NaN counts as the largest, which `max` would hide.
fn larger(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

/// The numbers of each image's answer.
fn numbers(answer: &Tensor) -> candle_core::Result<Vec<Vec<f64>>> {
    answer.to_dtype(DType::F64)?.flatten_from(1)?.to_vec2()
}

/// The class with the largest number of each image, or of each pixel: of (N, classes) or (N, classes, H, W).
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
    fn each_image_is_held_to_its_own_largest_number() {
        let mut comparison = compared(&[1000.0, 1.0], &[1000.0, 1.0]);
        comparison.measure(&[0.1, 0.05], &[0.1, 0.05 + 2e-8]);
        let fault = comparison.prove_merge().unwrap_err().to_string();
        assert!(fault.contains("2.0e-7") && fault.contains("f64"), "{fault}");
        assert!(comparison.settle_rounding().unwrap().is_none());
        assert!(compared(&[0.0, 0.0], &[0.0, 0.0]).prove_merge().is_ok());
        assert!(compared(&[0.0, 0.0], &[0.0, 1e-30]).prove_merge().is_err());
    }

    #[test]
    fn rounding_passes_much_of_it_is_said_and_more_fails() {
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
    fn agreement_is_the_share_that_is_alike() {
        let mut comparison = Comparison::default();
        comparison.count([true, false, true, true].into_iter());
        assert!((comparison.agreement() - 0.75).abs() < 1e-12);
    }
}
