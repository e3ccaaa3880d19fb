//! The Pareto front of cost and accuracy, where accuracy is known only up to chance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::paired_difference::PairedDifference;

/// What may be on the front.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its cost, which is exact, for example its number of parameters. Less is better.
    pub cost: f64,
    /// Its values by seed, for example accuracies. More is better.
    pub values: BTreeMap<u64, f64>,
}

/// Where a candidate stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// No other candidate is at least as good in cost and mean, and better in one of them.
    Front {
        /// Candidates that cost at most as much, and whose values are not told to be lower. With more seeds one of them
        /// might dominate. Without any, the place on the front is certain at the level of the family.
        challengers: Vec<usize>,
    },
    /// Others dominate it.
    Dominated {
        /// All of them, in their order.
        by: Vec<Dominance>,
    },
}

/// How one candidate dominates another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dominance {
    /// Place of the dominating candidate in the input.
    pub by: usize,
    /// Its values minus those of the dominated one, on shared seeds. The interval is simultaneous for all pairs of
    /// candidates. Absent if they share no seed.
    pub difference: Option<PairedDifference>,
    /// Whether the difference is told.
    pub certainty: Certainty,
}

/// Whether a difference is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The interval of the difference is above 0, or the difference is above 0 and the same on three or more seeds.
    Told,
    /// The interval contains 0, or there is none, as with a single seed.
    MayBeChance,
}

/// Returns where each candidate stands, by cost and mean. A candidate gives `None` if it has no values, or if its cost
/// or a value is not finite; it is then compared with nothing.
///
/// The intervals are simultaneous for all pairs of candidates (Bonferroni). Time: square of the number of candidates.
pub fn pareto_front(candidates: &[Candidate]) -> Vec<Option<Standing>> {
    let means: Vec<Option<f64>> = candidates.iter().map(mean).collect();
    let measured: Vec<usize> = (0..candidates.len()).filter(|place| means[*place].is_some()).collect();
    let comparisons = measured.len() * measured.len().saturating_sub(1) / 2;
    let standing = |place: usize| {
        let own = means[place]?;
        let rivals = measured
            .iter()
            .copied()
            .filter(|rival| *rival != place && candidates[*rival].cost <= candidates[place].cost);
        let (mut by, mut challengers) = (vec![], vec![]);
        for rival in rivals {
            let other = means[rival]?;
            let is_cheaper = candidates[rival].cost < candidates[place].cost;
            let difference = |first: usize, second: usize| {
                let found = PairedDifference::of(&candidates[first].values, &candidates[second].values);
                found.map(|found| found.among(comparisons))
            };
            if other > own || (is_cheaper && other >= own) {
                let difference = difference(rival, place);
                by.push(Dominance { by: rival, difference, certainty: certainty(difference) });
            } else if certainty(difference(place, rival)) == Certainty::MayBeChance {
                challengers.push(rival);
            }
        }
        Some(if by.is_empty() { Standing::Front { challengers } } else { Standing::Dominated { by } })
    };
    (0..candidates.len()).map(standing).collect()
}

fn mean(candidate: &Candidate) -> Option<f64> {
    let sum: f64 = candidate.values.values().sum();
    let mean = sum / candidate.values.len() as f64;
    (candidate.cost.is_finite() && mean.is_finite()).then_some(mean)
}

fn certainty(difference: Option<PairedDifference>) -> Certainty {
    let is_told = difference.is_some_and(|difference| match difference.summary.interval {
        Some(ends) => ends.low > 0.0,
        None => difference.is_constant() && difference.summary.mean > 0.0,
    });
    if is_told { Certainty::Told } else { Certainty::MayBeChance }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(cost: f64, values: &[f64]) -> Candidate {
        Candidate { cost, values: (0..).zip(values.iter().copied()).collect() }
    }

    #[test]
    fn dominance_is_told_only_with_a_clear_difference() {
        let candidates = [
            candidate(1.0, &[0.90, 0.91, 0.92, 0.93]),
            candidate(2.0, &[0.801, 0.812, 0.819, 0.83]),
            candidate(3.0, &[0.89, 0.92, 0.91, 0.935]),
            candidate(4.0, &[0.96, 0.969, 0.981, 0.99]),
            candidate(5.0, &[0.95, 0.99, 0.97, 0.995]),
            candidate(f64::NAN, &[0.9]),
            candidate(1.0, &[]),
        ];
        let found = pareto_front(&candidates);
        assert_eq!(found[0], Some(Standing::Front { challengers: vec![] }));
        let by = |place: usize| match found[place].as_ref().unwrap() {
            Standing::Dominated { by } => by.iter().map(|one| (one.by, one.certainty)).collect(),
            Standing::Front { .. } => vec![],
        };
        assert_eq!(by(1), [(0, Certainty::Told)]);
        assert_eq!(by(2), [(0, Certainty::MayBeChance)]);
        assert_eq!(found[3], Some(Standing::Front { challengers: vec![] }));
        assert_eq!(found[4], Some(Standing::Front { challengers: vec![3] }));
        assert_eq!((&found[5], &found[6]), (&None, &None));
        assert_eq!(pareto_front(&[]), []);
    }

    #[test]
    fn a_constant_difference_is_told_from_three_seeds_on() {
        let by_seeds = |better: &[f64], worse: &[f64]| {
            let found = pareto_front(&[candidate(1.0, worse), candidate(2.0, better)]);
            found[1].clone().unwrap()
        };
        let certain = Standing::Front { challengers: vec![] };
        assert_eq!(by_seeds(&[0.75, 0.5, 0.25], &[0.625, 0.375, 0.125]), certain);
        assert_eq!(by_seeds(&[0.75, 0.5], &[0.625, 0.375]), Standing::Front { challengers: vec![0] });
    }

    #[test]
    fn equal_candidates_do_not_dominate_each_other() {
        let candidates = [candidate(1.0, &[0.5, 0.6]), candidate(1.0, &[0.5, 0.6]), candidate(2.0, &[0.5, 0.6])];
        let found = pareto_front(&candidates);
        assert_eq!(found[0], Some(Standing::Front { challengers: vec![1] }));
        assert_eq!(found[1], Some(Standing::Front { challengers: vec![0] }));
        assert!(matches!(&found[2], Some(Standing::Dominated { by }) if by.len() == 2));
    }

    #[test]
    fn without_shared_seeds_dominance_may_be_chance() {
        let other = Candidate { cost: 2.0, values: BTreeMap::from([(9, 0.1)]) };
        let found = pareto_front(&[candidate(1.0, &[0.5, 0.6]), other]);
        let Some(Standing::Dominated { by }) = &found[1] else { panic!("{found:?}") };
        assert_eq!((by[0].difference, by[0].certainty), (None, Certainty::MayBeChance));
    }
}
