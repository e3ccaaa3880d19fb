//! The gate that every run passes: the merged model is the trained one, on real test images.

use candle_core::Tensor;
use repmlp::models::Answer;

use crate::TrainError;
use crate::evaluate::EvaluationSplit;

/// Largest difference that a merge may make, as a share of the largest logit: f32 has 24 bits (6e-8), and the longest sums
/// of a network here, some 10^3 terms in a dozen layers, keep a rounding walk below 1e-5.
const ALLOWED_SHARE: f64 = 1e-4;

/// How both forms compare.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) max_abs_diff: f64,
    pub(crate) largest_logit: f64,
    pub(crate) images: usize,
    /// Images on which both name the same class.
    pub(crate) agreeing: usize,
    /// Images on which they do not although the trained form's two best logits are further apart than both can move.
    pub(crate) disagreements: usize,
}

impl Comparison {
    /// Compares both forms on a split.
    pub(crate) fn on(
        split: EvaluationSplit<'_>,
        answer: Answer,
        trained: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
        deployed: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Self, TrainError> {
        let mut comparison = Self::default();
        split.each_batch(|batch| {
            let images = &batch.images_nchw;
            let (trained, deployed) = (rows(answer, &trained(images)?)?, rows(answer, &deployed(images)?)?);
            for (trained, deployed) in trained.iter().zip(&deployed) {
                comparison.add(trained, deployed);
            }
            Ok(())
        })?;
        Ok(comparison)
    }

    fn add(&mut self, trained: &[f32], deployed: &[f32]) {
        let mut difference = 0.0;
        for (&t, &d) in trained.iter().zip(deployed) {
            // A NaN must count as the largest difference, which `max` would hide.
            let apart = f64::from((t - d).abs());
            difference = if apart > difference || apart.is_nan() { apart } else { difference };
            self.largest_logit = self.largest_logit.max(f64::from(t.abs()));
        }
        if difference > self.max_abs_diff || difference.is_nan() {
            self.max_abs_diff = difference;
        }
        self.images += 1;
        let (best, runner_up) = two_best(trained);
        let tied = f64::from(trained[best] - trained[runner_up]) <= 2.0 * difference;
        let same = best == two_best(deployed).0;
        self.agreeing += usize::from(same);
        self.disagreements += usize::from(!same && !tied);
    }

    /// Share of images on which both name the same class.
    pub(crate) fn agreement(&self) -> f64 {
        self.agreeing as f64 / self.images as f64
    }

    /// Fails unless the merged model is the trained one.
    pub(crate) fn gate(&self) -> Result<(), TrainError> {
        let Self { max_abs_diff, largest_logit, images, disagreements, .. } = *self;
        let allowed = ALLOWED_SHARE * largest_logit;
        if max_abs_diff <= allowed && disagreements == 0 {
            return Ok(());
        }
        Err(TrainError::Equivalence { max_abs_diff, allowed, disagreements, images })
    }
}

/// An answer as rows that each name a class by their largest number: of an image, or of a pixel. An embedding names none; its
/// numbers stand alone and only their difference counts.
fn rows(answer: Answer, tensor: &Tensor) -> candle_core::Result<Vec<Vec<f32>>> {
    match answer {
        Answer::Logits => tensor.to_vec2(),
        Answer::Embedding => tensor.flatten_all()?.unsqueeze(1)?.to_vec2(),
        Answer::Map => {
            let (n, classes, h, w) = tensor.dims4()?;
            tensor.permute((0, 2, 3, 1))?.reshape((n * h * w, classes))?.to_vec2()
        }
    }
}

/// Places of the largest and the second largest logit.
fn two_best(logits: &[f32]) -> (usize, usize) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    (order[0], *order.get(1).unwrap_or(&order[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(trained: &[f32], deployed: &[f32]) -> Comparison {
        let mut comparison = Comparison::default();
        comparison.add(trained, deployed);
        comparison
    }

    #[test]
    fn rounding_passes_and_a_wrong_merge_does_not() {
        assert!(compared(&[10.0, 1.0], &[10.0005, 1.0]).gate().is_ok());
        assert!(compared(&[10.0, 1.0], &[10.01, 1.0]).gate().is_err());
        assert!(compared(&[10.0, 1.0], &[f32::NAN, 1.0]).gate().is_err());
    }

    #[test]
    fn another_class_is_forgiven_only_in_a_tie() {
        let tie = compared(&[5.0, 5.0001], &[5.0001, 5.0]);
        assert_eq!((tie.agreeing, tie.disagreements), (0, 0));
        assert!(tie.gate().is_ok());
        let apart = Comparison { disagreements: 1, ..tie };
        assert!(apart.gate().unwrap_err().to_string().contains("1 of 1 images"));
    }
}
