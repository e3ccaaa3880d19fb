//! The gate that every run passes: the merged model is the trained one, on real test images.

use candle_core::Tensor;
use repmlp::models::Answer;

use crate::TrainError;
use crate::evaluate::EvaluationSplit;
use crate::objective::Embeddings;
use crate::throughput::Network;

/// Largest difference that a merge may make, as a share of the largest number of an answer: f32 has 24 bits (6e-8): a sum of
/// some 10^3 terms strays by about √10^3 · 6e-8 / 2 = 1e-6 of itself, and a hundred such layers by ten times that; ten
/// times as much again is allowed.
///
/// Within it another class can come out only in a tie: to be overtaken, the best must lead by at most twice the difference.
const ALLOWED_SHARE: f64 = 1e-4;

/// A network can enlarge these errors by more (non-local attention that is not scaled does): what strays further, but not
/// beyond this, is judged again in f64, by the bound above.
const ENLARGED_SHARE: f64 = 1e-2;

/// How both forms compare.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    /// Largest difference of two numbers of an answer.
    pub(crate) max_abs_diff: f64,
    /// Largest number of an answer of the trained form.
    largest: f64,
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
            comparison.measure(&numbers(&answers[0])?, &numbers(&answers[1])?);
            match answer {
                Answer::Logits | Answer::Map => {
                    let [trained, deployed] = [best_classes(&answers[0])?, best_classes(&answers[1])?];
                    comparison.count(trained.iter().zip(&deployed).map(|(a, b)| a == b));
                }
                Answer::Embedding => {
                    for (embeddings, answer) in embeddings.iter_mut().zip(&answers) {
                        embeddings.add(answer, &batch.labels)?;
                    }
                }
            }
            Ok(())
        })?;
        let [trained, deployed] = embeddings.map(|embeddings| embeddings.identifications());
        comparison.count(trained.iter().zip(&deployed).map(|(a, b)| a == b));
        Ok(comparison)
    }

    /// Whether both forms answer each of some things alike.
    fn count(&mut self, alike: impl Iterator<Item = bool>) {
        for alike in alike {
            self.answered += 1;
            self.alike += usize::from(alike);
        }
    }

    /// Takes in the difference between the numbers of two answers.
    fn measure(&mut self, trained: &[f32], deployed: &[f32]) {
        for (&t, &d) in trained.iter().zip(deployed) {
            let apart = f64::from((t - d).abs());
            // A NaN must count as the largest difference, which `max` would hide.
            if apart > self.max_abs_diff || apart.is_nan() {
                self.max_abs_diff = apart;
            }
            self.largest = self.largest.max(f64::from(t.abs()));
        }
    }

    /// Share of images, pixels or probes that both forms answer alike.
    pub(crate) fn agreement(&self) -> f64 {
        self.alike as f64 / self.answered.max(1) as f64
    }

    /// Fails unless the merged model is the trained one. Where f32 is too coarse to tell, it is the comparison in f64 that
    /// tells, and that is returned.
    pub(crate) fn settle(self, in_f64: impl FnOnce() -> Result<Self, TrainError>) -> Result<Option<Self>, TrainError> {
        if self.within(ALLOWED_SHARE) {
            return Ok(None);
        }
        // What is far off in f32, or no number there, is of no use, whatever f64 says.
        let judge = if self.within(ENLARGED_SHARE) { in_f64()? } else { self };
        if judge.within(ALLOWED_SHARE) { Ok(Some(judge)) } else { Err(judge.fault()) }
    }

    fn within(&self, share: f64) -> bool {
        self.max_abs_diff <= share * self.largest
    }

    fn fault(&self) -> TrainError {
        TrainError::Equivalence { max_abs_diff: self.max_abs_diff, allowed: ALLOWED_SHARE * self.largest }
    }
}

fn numbers(answer: &Tensor) -> candle_core::Result<Vec<f32>> {
    answer.flatten_all()?.to_vec1()
}

/// The class with the largest number of each image, or of each pixel: of (N, classes) or (N, classes, H, W).
fn best_classes(answer: &Tensor) -> candle_core::Result<Vec<u32>> {
    answer.argmax(1)?.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(trained: &[f32], deployed: &[f32]) -> Comparison {
        let mut comparison = Comparison::default();
        comparison.measure(trained, deployed);
        comparison
    }

    fn settled(f32: &[f32], f64: &[f32]) -> Result<Option<Comparison>, TrainError> {
        let trained = [10.0, 1.0, 2.0];
        compared(&trained, f32).settle(|| Ok(compared(&trained, f64)))
    }

    #[test]
    fn rounding_passes_and_a_wrong_merge_does_not() {
        let (same, rounded, wrong) = ([10.0, 1.0, 2.0], [10.0005, 1.0, 2.0], [10.01, 1.0, 2.0]);
        assert!(settled(&rounded, &wrong).unwrap().is_none(), "f64 is not asked");
        assert!(settled(&wrong, &same).unwrap().unwrap().max_abs_diff < 1e-9, "f64 tells");
        assert!(settled(&[10.2, 1.0, 2.0], &same).is_err(), "f64 is not asked");
        assert!(settled(&wrong, &wrong).unwrap_err().to_string().contains("is not the trained one"));
        for place in 0..3 {
            let mut deployed = same;
            deployed[place] = f32::NAN;
            assert!(settled(&deployed, &same).is_err(), "NaN at {place}");
        }
    }

    #[test]
    fn agreement_is_the_share_that_is_alike() {
        let mut comparison = Comparison::default();
        comparison.count([true, false, true, true].into_iter());
        assert!((comparison.agreement() - 0.75).abs() < 1e-12);
    }
}
