//! The gate that every run passes: the merged model is the trained one, on real test images.

use candle_core::Tensor;
use repmlp::models::Answer;

use crate::TrainError;
use crate::evaluate::EvaluationSplit;
use crate::objective::Embeddings;
use crate::throughput::Network;

/// Largest difference that a merge may make, as a share of the largest logit: f32 has 24 bits (6e-8), and the longest sums
/// of a network here, some 10^3 terms in a dozen layers, keep a rounding walk below 1e-5.
const ALLOWED_SHARE: f64 = 1e-4;

/// How both forms compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) max_abs_diff: f64,
    /// Largest number of an answer of the trained form.
    pub(crate) largest: f64,
    /// What names a class or a person: images, pixels or probes.
    pub(crate) things: &'static str,
    pub(crate) compared: usize,
    /// How many both answer alike.
    pub(crate) agreeing: usize,
    /// How many they do not, although the trained form's two best answers are further apart than both can move.
    pub(crate) disagreements: usize,
}

/// How both forms answer one thing.
#[derive(Clone, Copy)]
enum Verdict {
    Same,
    /// Differently, where the trained form itself hardly prefers its answer.
    Tie,
    Different,
}

impl Comparison {
    fn of(things: &'static str) -> Self {
        Self { max_abs_diff: 0.0, largest: 0.0, things, compared: 0, agreeing: 0, disagreements: 0 }
    }

    /// Compares both forms on a split.
    pub(crate) fn on(
        split: EvaluationSplit<'_>,
        answer: Answer,
        [trained, deployed]: [Network<'_>; 2],
    ) -> Result<Self, TrainError> {
        let mut comparison = Self::of(match answer {
            Answer::Logits => "images",
            Answer::Map => "pixels",
            Answer::Embedding => "probes",
        });
        let mut embeddings = [Embeddings::default(), Embeddings::default()];
        split.each_batch(|batch| {
            let answers = [trained(&batch.images_nchw)?, deployed(&batch.images_nchw)?];
            if answer == Answer::Embedding {
                for (embeddings, answer) in embeddings.iter_mut().zip(&answers) {
                    embeddings.add(answer, &batch.labels)?;
                }
                let [trained, deployed] = answers.map(|answer| numbers(&answer));
                comparison.measure(&trained?, &deployed?);
                return Ok(());
            }
            let [(trained, classes), (deployed, _)] = [class_rows(&answers[0])?, class_rows(&answers[1])?];
            for (trained, deployed) in trained.chunks_exact(classes).zip(deployed.chunks_exact(classes)) {
                comparison.add(trained, deployed);
            }
            Ok(())
        })?;
        if answer == Answer::Embedding {
            comparison.identify(&embeddings[0], &embeddings[1]);
        }
        Ok(comparison)
    }

    /// Both answers to one thing, a number for each class.
    fn add(&mut self, trained: &[f32], deployed: &[f32]) {
        let difference = self.measure(trained, deployed);
        let (best, runner_up) = two_best(trained);
        let lead = f64::from(trained[best] - trained[runner_up]);
        self.count(match best == two_best(deployed).0 {
            true => Verdict::Same,
            false if lead <= 2.0 * difference => Verdict::Tie,
            false => Verdict::Different,
        });
    }

    /// Who both forms take each probe for.
    fn identify(&mut self, trained: &Embeddings, deployed: &Embeddings) {
        for (trained, deployed) in trained.identifications().iter().zip(deployed.identifications()) {
            self.count(match trained.known == deployed.known {
                true => Verdict::Same,
                // Where unit vectors may move by d, each of two cosines may move by 2d.
                false if f64::from(trained.lead) <= 4.0 * ALLOWED_SHARE => Verdict::Tie,
                false => Verdict::Different,
            });
        }
    }

    fn count(&mut self, verdict: Verdict) {
        self.compared += 1;
        match verdict {
            Verdict::Same => self.agreeing += 1,
            Verdict::Tie => {}
            Verdict::Different => self.disagreements += 1,
        }
    }

    /// Takes in the largest difference between these numbers, and returns it.
    fn measure(&mut self, trained: &[f32], deployed: &[f32]) -> f64 {
        let mut difference = 0.0;
        for (&t, &d) in trained.iter().zip(deployed) {
            // A NaN must count as the largest difference, which `max` would hide.
            let apart = f64::from((t - d).abs());
            difference = if apart > difference || apart.is_nan() { apart } else { difference };
            self.largest = self.largest.max(f64::from(t.abs()));
        }
        if difference > self.max_abs_diff || difference.is_nan() {
            self.max_abs_diff = difference;
        }
        difference
    }

    /// Share of images, pixels or probes that both forms answer alike.
    pub(crate) fn agreement(&self) -> f64 {
        self.agreeing as f64 / self.compared.max(1) as f64
    }

    /// Fails unless the merged model is the trained one.
    pub(crate) fn gate(&self) -> Result<(), TrainError> {
        let Self { max_abs_diff, largest, things, compared, disagreements, .. } = *self;
        let allowed = ALLOWED_SHARE * largest;
        if max_abs_diff <= allowed && disagreements == 0 {
            return Ok(());
        }
        Err(TrainError::Equivalence { max_abs_diff, allowed, disagreements, compared, things })
    }
}

fn numbers(answer: &Tensor) -> candle_core::Result<Vec<f32>> {
    answer.flatten_all()?.to_vec1()
}

/// Logits (N, classes) or maps (N, classes, H, W) with the classes of each image or pixel side by side, and their number.
fn class_rows(answer: &Tensor) -> candle_core::Result<(Vec<f32>, usize)> {
    let classes = answer.dim(1)?;
    let rows = if answer.rank() == 4 { answer.permute((0, 2, 3, 1))?.contiguous()? } else { answer.clone() };
    Ok((numbers(&rows)?, classes))
}

/// Places of the largest and the second largest number; of equals the first.
fn two_best(numbers: &[f32]) -> (usize, usize) {
    let larger = |a: usize, b: usize| numbers[a].total_cmp(&numbers[b]).is_gt();
    let (mut best, mut runner_up) = (0, 0);
    for place in 1..numbers.len() {
        if larger(place, best) {
            (best, runner_up) = (place, best);
        } else if runner_up == best || larger(place, runner_up) {
            runner_up = place;
        }
    }
    (best, runner_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(trained: &[f32], deployed: &[f32]) -> Comparison {
        let mut comparison = Comparison::of("images");
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

    #[test]
    fn the_two_best_are_found_wherever_they_stand() {
        assert_eq!(two_best(&[3.0, 1.0, 2.0]), (0, 2));
        assert_eq!(two_best(&[1.0, 2.0, 3.0]), (2, 1));
        assert_eq!(two_best(&[2.0, 2.0, 1.0]), (0, 1));
        assert_eq!(two_best(&[5.0]), (0, 0));
        assert_eq!(two_best(&[1.0, f32::NAN, 3.0]), (1, 2));
    }

    fn embeddings(rows: &[[f32; 2]; 3]) -> Embeddings {
        let mut all = Embeddings::default();
        let labels = Tensor::new(&[0u32, 1, 0], &candle_core::Device::Cpu).unwrap();
        all.add(&Tensor::new(rows, &candle_core::Device::Cpu).unwrap(), &labels).unwrap();
        all
    }

    #[test]
    fn another_person_is_forgiven_only_in_a_tie() {
        let known = [[1.0, 0.0], [0.0, 1.0]];
        let identified = |trained: [f32; 2], deployed: [f32; 2]| {
            let mut comparison = Comparison::of("probes");
            let [trained, deployed] = [trained, deployed].map(|probe| embeddings(&[known[0], known[1], probe]));
            comparison.identify(&trained, &deployed);
            (comparison.compared, comparison.agreeing, comparison.disagreements)
        };
        assert_eq!(identified([0.9, 0.1], [0.9, 0.2]), (1, 1, 0));
        assert_eq!(identified([0.7, 0.7001], [0.7001, 0.7]), (1, 0, 0));
        assert_eq!(identified([0.9, 0.1], [0.1, 0.9]), (1, 0, 1));
    }

    #[test]
    fn pixels_of_a_map_are_compared_one_by_one() -> candle_core::Result<()> {
        let map = Tensor::arange(0f32, 12.0, &candle_core::Device::Cpu)?.reshape((1, 3, 2, 2))?;
        let (rows, classes) = class_rows(&map)?;
        assert_eq!((classes, &rows[..6]), (3, &[0.0, 4.0, 8.0, 1.0, 5.0, 9.0][..]));
        assert_eq!(class_rows(&map.reshape((4, 3))?)?.0[..3], [0.0, 1.0, 2.0]);
        Ok(())
    }
}
