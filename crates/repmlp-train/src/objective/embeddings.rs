//! Evaluation of embeddings of people who are not in the training set. Verification: do two pictures show the same
//! person? Identification: which person does a picture show?

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};
use rand_chacha::rand_core::RngCore;
use repmlp::stream::stream;
use sweep_protocol::Metric;

use crate::objective::verification::unit_length;

/// The embeddings of a split.
#[derive(Default)]
pub(crate) struct Embeddings {
    rows: Vec<Vec<f32>>,
    people: Vec<u32>,
}

/// Two pictures: their cosine, and whether they show the same person.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pair {
    cosine: f32,
    same: bool,
}

/// Maximum number of pairs of the same person, as in the protocol of the LFW benchmark.
const MOST_PAIRS: usize = 3000;
const FOLDS: usize = 10;

impl Embeddings {
    /// Adds one batch with its embeddings (N, E).
    pub(crate) fn add(&mut self, embeddings: &Tensor, labels: &Tensor) -> Result<()> {
        self.rows.extend(unit_length(embeddings)?.to_vec2::<f32>()?);
        self.people.extend(labels.to_vec1::<u32>()?);
        Ok(())
    }

    /// Returns verification and identification accuracy. Returns nothing if no person has two pictures. This can happen
    /// in a small Validation split, never in Test.
    pub(crate) fn measurements(&self) -> Vec<(Metric, f64)> {
        let pairs = self.pairs();
        if pairs.is_empty() {
            return Vec::new();
        }
        vec![
            (Metric::VerificationAccuracy, verification_accuracy(&pairs)),
            (Metric::IdentificationAccuracy, self.identification_accuracy()),
        ]
    }

    fn cosine(&self, a: usize, b: usize) -> f32 {
        self.rows[a].iter().zip(&self.rows[b]).map(|(a, b)| a * b).sum()
    }

    /// Draws equally many pairs of the same person and of two people. The random stream is fixed, so every network gets
    /// the same pairs.
    fn pairs(&self) -> Vec<Pair> {
        let same = self.pairs_of_one();
        let other = PairsOfTwo::new(&self.people);
        let wanted = same.len().min(other.count()).min(MOST_PAIRS);
        let mut rng = stream(0, "verification pairs", &[]);
        let mut draw = |count| first_of_shuffled(wanted, count, || rng.next_u64());
        let same: Vec<_> = draw(same.len()).into_iter().map(|place| same[place]).collect();
        let other = draw(other.count()).into_iter().map(|place| other.pair(place));
        let pair = |(a, b): (usize, usize), same| Pair { cosine: self.cosine(a, b), same };
        same.into_iter().zip(other).flat_map(|(s, o)| [pair(s, true), pair(o, false)]).collect()
    }

    /// Returns all pairs of pictures of the same person, sorted by the first, then by the second picture.
    fn pairs_of_one(&self) -> Vec<(usize, usize)> {
        let mut pictures: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (place, &person) in self.people.iter().enumerate() {
            pictures.entry(person).or_default().push(place);
        }
        let later = |a: usize| pictures[&self.people[a]].iter().filter(move |&&b| b > a).map(move |&b| (a, b));
        (0..self.people.len()).flat_map(later).collect()
    }

    /// Returns the share of probes that are assigned to the correct person.
    fn identification_accuracy(&self) -> f64 {
        let found = self.identifications();
        let right = found.iter().filter(|found| self.people[found.known] == self.people[found.probe]).count();
        right as f64 / found.len().max(1) as f64
    }

    /// Finds the most similar known picture for each probe. The first picture of each person is known, the others are
    /// probes.
    pub(crate) fn identifications(&self) -> Vec<Identification> {
        let mut seen = std::collections::BTreeSet::new();
        let (known, probes): (Vec<usize>, Vec<usize>) =
            (0..self.people.len()).partition(|&place| seen.insert(self.people[place]));
        let nearest = |probe: usize| {
            let alike = |place: &usize| self.cosine(probe, *place);
            known.iter().copied().max_by(|a, b| alike(a).total_cmp(&alike(b)))
        };
        probes.into_iter().filter_map(|probe| Some(Identification { probe, known: nearest(probe)? })).collect()
    }
}

/// A probe and the known picture that is most similar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identification {
    probe: usize,
    /// The most similar known picture.
    known: usize,
}

/// All pairs of pictures of two different people, sorted by the first, then by the second picture. They are not stored:
/// there are too many.
struct PairsOfTwo<'a> {
    people: &'a [u32],
    /// Number of pairs before those that start with each picture. The last entry is the number of all pairs.
    before: Vec<usize>,
}

impl<'a> PairsOfTwo<'a> {
    fn new(people: &'a [u32]) -> Self {
        let mut left: BTreeMap<u32, usize> = BTreeMap::new();
        for &person in people {
            *left.entry(person).or_default() += 1;
        }
        let mut before = vec![0];
        let mut count = 0;
        for (a, person) in people.iter().enumerate() {
            left.entry(*person).and_modify(|left| *left -= 1);
            count += people.len() - a - 1 - left[person];
            before.push(count);
        }
        Self { people, before }
    }

    fn count(&self) -> usize {
        self.before[self.people.len()]
    }

    fn pair(&self, place: usize) -> (usize, usize) {
        let a = self.before.partition_point(|&before| before <= place) - 1;
        let mut others = (a + 1..self.people.len()).filter(|&b| self.people[b] != self.people[a]);
        // `nth` always finds an item: `before` counts the same pairs.
        (a, others.nth(place - self.before[a]).unwrap_or(a))
    }
}

/// Returns the first `wanted` items of a shuffle of 0 to `count` − 1 (Fisher–Yates). Only the items that it moves are
/// stored.
fn first_of_shuffled(wanted: usize, count: usize, mut random: impl FnMut() -> u64) -> Vec<usize> {
    let mut moved: BTreeMap<usize, usize> = BTreeMap::new();
    let mut chosen = Vec::with_capacity(wanted);
    for place in 0..wanted {
        let from = place + (random() % (count - place) as u64) as usize;
        let own = moved.get(&place).copied().unwrap_or(place);
        chosen.push(moved.insert(from, own).unwrap_or(from));
    }
    chosen
}

/// Returns the mean accuracy over ten folds. Each fold uses the threshold that is best for the other nine.
fn verification_accuracy(pairs: &[Pair]) -> f64 {
    let in_fold = |fold: usize, inside: bool| {
        // Pairs of the same person and of two people alternate. Two neighbours stay in one fold, so every fold is
        // balanced.
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

/// Returns the best threshold: pairs with at least this cosine count as the same person.
fn best_threshold(mut pairs: Vec<Pair>) -> f32 {
    pairs.sort_by(|a, b| b.cosine.total_cmp(&a.cosine));
    // Lowering the threshold past a pair gains one correct answer if it is the same person, and loses one otherwise.
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
    use candle_core::Device;

    use super::*;

    #[test]
    fn separated_embeddings_identify_people() -> Result<()> {
        let mut all = Embeddings::default();
        let rows = [[1f32, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [0.05, 1.0]];
        all.add(&Tensor::new(&rows, &Device::Cpu)?, &Tensor::new(&[7u32, 7, 9, 9, 9], &Device::Cpu)?)?;
        assert_eq!(all.measurements().iter().map(|m| m.1).collect::<Vec<_>>(), [1.0, 1.0]);
        // The second picture of the third person is nearest to the first person.
        all.add(&Tensor::new(&[[0.7f32, 0.7], [1.0, 0.0]], &Device::Cpu)?, &Tensor::new(&[8u32, 8], &Device::Cpu)?)?;
        assert!((all.identification_accuracy() - 3.0 / 4.0).abs() < 1e-12);
        Ok(())
    }

    #[test]
    fn the_threshold_maximises_correct_pairs() {
        let pair = |cosine, same| Pair { cosine, same };
        let pairs = vec![pair(0.9, true), pair(0.7, true), pair(0.8, false), pair(0.1, false), pair(0.6, true)];
        assert!((best_threshold(pairs) - 0.6).abs() < 1e-6);
    }

    #[test]
    fn pairs_match_those_from_a_full_list() {
        let people: Vec<u32> = (0..40u32).map(|i| i * i % 7).collect();
        let all = (0..40).flat_map(|a| (a + 1..40).map(move |b| (a, b)));
        let (same, other): (Vec<_>, Vec<_>) = all.partition(|&(a, b): &(usize, usize)| people[a] == people[b]);
        let embeddings = Embeddings { rows: Vec::new(), people: people.clone() };
        assert_eq!(embeddings.pairs_of_one(), same);
        let pairs = PairsOfTwo::new(&people);
        assert_eq!((0..pairs.count()).map(|place| pairs.pair(place)).collect::<Vec<_>>(), other);

        let numbers = || {
            let mut rng = stream(0, "test", &[]);
            move || rng.next_u64()
        };
        let mut random = numbers();
        let mut shuffled: Vec<usize> = (0..100).collect();
        for place in 0..60 {
            shuffled.swap(place, place + (random() % (100 - place) as u64) as usize);
        }
        assert_eq!(first_of_shuffled(60, 100, numbers()), shuffled[..60]);
    }

    #[test]
    fn a_large_set_is_evaluated_without_storing_all_pairs() {
        // 20,000 pictures of 200 people make 2·10^8 pairs, which would take 3 GB.
        let people: Vec<u32> = (0..20_000u32).map(|i| i % 200).collect();
        let pairs = Embeddings { rows: vec![vec![1.0]; people.len()], people }.pairs();
        assert_eq!((pairs.len(), pairs.iter().filter(|pair| pair.same).count()), (2 * MOST_PAIRS, MOST_PAIRS));
    }

    #[test]
    fn a_probe_matches_the_most_similar_known_picture() {
        let rows = vec![vec![1.0, 0.0], vec![0.0, 1.0], vec![0.8, 0.6], vec![0.6, 0.8]];
        let found = Embeddings { rows, people: vec![4, 5, 4, 4] }.identifications();
        assert_eq!(found, [Identification { probe: 2, known: 0 }, Identification { probe: 3, known: 1 }]);
    }
}
