//! Who is it: embeddings, learned with AM-Softmax (Wang et al. 2018; paper section 4.3) and judged on people who were never
//! trained on.

use candle_core::{Result, Tensor};
use rand_chacha::rand_core::RngCore;
use repmlp::stream::stream;
use repmlp::vars::{Init, Scope};
use sweep_protocol::Metric;

use crate::loss::{correct, cross_entropy};
use crate::objective::Judgement;

/// The head that training ends in: a direction for each person.
pub(crate) struct AmSoftmax {
    /// (classes, E).
    weight: Tensor,
    scale: f64,
    margin: f64,
}

/// Keeps the length of a zero vector away from zero.
const TINY: f64 = 1e-12;

impl AmSoftmax {
    pub(super) fn new(
        (scale, margin): (f64, f64),
        (classes, numbers): (usize, usize),
        scope: &Scope<'_>,
    ) -> Result<Self> {
        Ok(Self { weight: scope.parameter("weight", (classes, numbers), Init::FanIn(numbers))?, scale, margin })
    }

    /// Loss and hits of embeddings (N, E): cross-entropy of s·(cos θ − m·[own person]).
    pub(super) fn judge(&self, embeddings: &Tensor, labels: &Tensor) -> Result<Judgement> {
        let cosines = unit_length(embeddings)?.matmul(&unit_length(&self.weight)?.t()?)?;
        let (images, classes) = cosines.dims2()?;
        let people = Tensor::arange(0u32, classes as u32, labels.device())?.unsqueeze(0)?;
        let own = labels.unsqueeze(1)?.broadcast_eq(&people)?.to_dtype(cosines.dtype())?;
        debug_assert_eq!(own.dims(), [images, classes]);
        let logits = ((&cosines - (own * self.margin)?)? * self.scale)?;
        Ok(Judgement { loss: cross_entropy(&logits, labels, 0.0)?, hits: correct(&cosines.detach(), labels)? })
    }
}

/// Rows of length one.
fn unit_length(rows: &Tensor) -> Result<Tensor> {
    rows.broadcast_div(&(rows.sqr()?.sum_keepdim(1)? + TINY)?.sqrt()?)
}

/// The embeddings of a split.
#[derive(Default)]
pub(super) struct Embeddings {
    rows: Vec<Vec<f32>>,
    people: Vec<u32>,
}

/// Two pictures: how alike they are, and whether they are of one person.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pair {
    cosine: f32,
    same: bool,
}

/// Pairs of one person, at most: as many as the common benchmark (LFW) has, whose protocol is followed.
const MOST_PAIRS: usize = 3000;
const FOLDS: usize = 10;

impl Embeddings {
    /// One batch with its embeddings (N, E).
    pub(super) fn add(&mut self, embeddings: &Tensor, labels: &Tensor) -> Result<()> {
        self.rows.extend(unit_length(embeddings)?.to_vec2::<f32>()?);
        self.people.extend(labels.to_vec1::<u32>()?);
        Ok(())
    }

    /// Accuracy of telling pairs of one person from pairs of two, and of finding a person among all.
    pub(super) fn measurements(&self) -> Vec<(Metric, f64)> {
        vec![
            (Metric::VerificationAccuracy, verification_accuracy(&self.pairs())),
            (Metric::IdentificationAccuracy, self.identification_accuracy()),
        ]
    }

    fn cosine(&self, a: usize, b: usize) -> f32 {
        self.rows[a].iter().zip(&self.rows[b]).map(|(a, b)| a * b).sum()
    }

    /// As many pairs of two people as of one, drawn by a stream of their own: the same for every network.
    fn pairs(&self) -> Vec<Pair> {
        let count = self.people.len();
        let all = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        let (mut same, mut other): (Vec<_>, Vec<_>) = all.partition(|&(a, b)| self.people[a] == self.people[b]);
        let mut rng = stream(0, "verification pairs", &[]);
        let wanted = same.len().min(other.len()).min(MOST_PAIRS);
        for pairs in [&mut same, &mut other] {
            for place in 0..wanted {
                let from = place + (rng.next_u64() % (pairs.len() - place) as u64) as usize;
                pairs.swap(place, from);
            }
            pairs.truncate(wanted);
        }
        let pair = |(a, b): &(usize, usize), same| Pair { cosine: self.cosine(*a, *b), same };
        same.iter().zip(&other).flat_map(|(s, o)| [pair(s, true), pair(o, false)]).collect()
    }

    /// The first picture of each person is known; the others are looked for.
    fn identification_accuracy(&self) -> f64 {
        let is_first = |&place: &usize| !self.people[..place].contains(&self.people[place]);
        let (known, probes): (Vec<usize>, Vec<usize>) = (0..self.people.len()).partition(is_first);
        let found = probes.iter().filter(|&&probe| {
            let nearest = known.iter().max_by(|&&a, &&b| self.cosine(probe, a).total_cmp(&self.cosine(probe, b)));
            nearest.is_some_and(|&nearest| self.people[nearest] == self.people[probe])
        });
        found.count() as f64 / probes.len().max(1) as f64
    }
}

/// Mean over ten folds of the accuracy with the threshold that is best for the other nine.
fn verification_accuracy(pairs: &[Pair]) -> f64 {
    let in_fold = |fold: usize, inside: bool| {
        // A pair of one person and the pair of two beside it stay together: every fold is balanced.
        let chosen = pairs.iter().enumerate().filter(move |(i, _)| (i / 2 % FOLDS == fold) == inside);
        chosen.map(|(_, pair)| *pair).collect::<Vec<Pair>>()
    };
    let accuracy = |fold: usize| {
        let threshold = best_threshold(in_fold(fold, false));
        let tested = in_fold(fold, true);
        let right = tested.iter().filter(|pair| (pair.cosine >= threshold) == pair.same).count();
        (!tested.is_empty()).then(|| right as f64 / tested.len() as f64)
    };
    let folds: Vec<f64> = (0..FOLDS).filter_map(accuracy).collect();
    folds.iter().sum::<f64>() / folds.len().max(1) as f64
}

/// The cosine from which on pairs are best called one person.
fn best_threshold(mut pairs: Vec<Pair>) -> f32 {
    pairs.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
    // Lowering the threshold past a pair gains one of the same person and loses one of two.
    let (mut gain, mut best) = (0i64, (0, f32::INFINITY));
    for pair in &pairs {
        gain += if pair.same { 1 } else { -1 };
        if gain > best.0 {
            best = (gain, pair.cosine);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use repmlp::vars::Vars;

    use super::*;

    #[test]
    fn the_margin_is_taken_from_the_own_persons_cosine() -> Result<()> {
        let vars = Vars::new(0, DType::F64, &Device::Cpu);
        let head = AmSoftmax::new((30.0, 0.35), (2, 2), &vars.root())?;
        vars.all()[0].1.set(&Tensor::new(&[[2f64, 0.0], [0.0, 5.0]], &Device::Cpu)?)?;
        let embeddings = Tensor::new(&[[3f64, 4.0]], &Device::Cpu)?;
        let judged = head.judge(&embeddings, &Tensor::new(&[0u32], &Device::Cpu)?)?;
        // cos = 0.6 and 0.8: logits 30·(0.6 − 0.35) = 7.5 and 24; loss = ln(1 + e^16.5)
        let expected = (1.0 + 16.5f64.exp()).ln();
        assert!((judged.loss.to_scalar::<f64>()? - expected).abs() < 1e-9);
        assert!(judged.hits.to_scalar::<f32>()?.abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn people_who_lie_apart_are_told_apart() -> Result<()> {
        let mut all = Embeddings::default();
        let rows = [[1f32, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [0.05, 1.0]];
        all.add(&Tensor::new(&rows, &Device::Cpu)?, &Tensor::new(&[7u32, 7, 9, 9, 9], &Device::Cpu)?)?;
        assert_eq!(all.measurements().iter().map(|m| m.1).collect::<Vec<_>>(), [1.0, 1.0]);
        // The third person's pictures lie nearer to the first's.
        all.add(&Tensor::new(&[[0.7f32, 0.7], [1.0, 0.0]], &Device::Cpu)?, &Tensor::new(&[8u32, 8], &Device::Cpu)?)?;
        assert!((all.identification_accuracy() - 3.0 / 4.0).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn the_threshold_is_where_most_are_right() {
        let pair = |cosine, same| Pair { cosine, same };
        let pairs = vec![pair(0.9, true), pair(0.7, true), pair(0.8, false), pair(0.1, false), pair(0.6, true)];
        assert!((best_threshold(pairs) - 0.6).abs() < 1e-6);
    }
}
