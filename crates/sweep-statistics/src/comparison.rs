//! Comparison of several rows with their baselines, as one family.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::effect_size::EffectSize;
use crate::holm::holm;
use crate::paired_difference::PairedDifference;
use crate::pairs::Pairs;
use crate::superiority::{paired_superiority, superiority};
use crate::welch::Welch;

/// Comparison of one row with the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Difference on the seeds that both have, with an interval that is simultaneous for the family (Bonferroni), and a
    /// sign-flip test.
    pub difference: PairedDifference,
    /// p of the paired t-test, adjusted for the family by Holm's method. It is at most `difference.p_adjusted`, so it
    /// may be below 0.05 although the simultaneous interval contains 0. Absent if the difference has no p.
    pub p_holm: Option<f64>,
    /// The test that ignores pairs, on all seeds of both rows.
    pub welch: Option<Welch>,
    /// `d_z`: the mean difference over the deviation of the differences.
    pub effect_of_differences: Option<EffectSize>,
    /// `d_av`: the mean difference over the typical deviation of single values, on shared seeds.
    pub effect_of_pairs: Option<EffectSize>,
    /// `d_s`: the difference of the means over the pooled deviation, on all seeds of both rows.
    pub effect_of_samples: Option<EffectSize>,
    /// Share of the shared seeds on which the row has the larger value; equal values count half.
    pub paired_superiority: f64,
    /// Probability that the row has the larger value on any two seeds; equal values count half. On all seeds of both
    /// rows.
    pub superiority: Option<f64>,
}

/// Compares rows, each with its baseline. The family is all rows that are compared, also those without a p, so that its
/// size does not depend on the values. A row gives `None` if it shares no seed with its baseline, or if a value on a
/// shared seed is not finite.
pub fn compare_with_baseline<'a>(
    rows: impl IntoIterator<Item = (&'a BTreeMap<u64, f64>, &'a BTreeMap<u64, f64>)>,
) -> Vec<Option<Comparison>> {
    let mut comparisons: Vec<Option<Comparison>> =
        rows.into_iter().map(|(row, baseline)| alone(row, baseline)).collect();
    let tested: Vec<f64> = comparisons.iter().flatten().filter_map(|comparison| comparison.difference.p).collect();
    let family = comparisons.iter().flatten().count();
    let mut adjusted = holm(&tested, family).unwrap_or_default().into_iter();
    for comparison in comparisons.iter_mut().flatten() {
        comparison.difference = comparison.difference.among(family);
        comparison.p_holm = comparison.difference.p.and_then(|_| adjusted.next());
    }
    comparisons
}

/// Compares one row as the only one.
fn alone(row: &BTreeMap<u64, f64>, baseline: &BTreeMap<u64, f64>) -> Option<Comparison> {
    let pairs = Pairs::by_seed(row, baseline)?;
    let [values, others] = [row, baseline].map(|row| row.values().copied().collect::<Vec<f64>>());
    Some(Comparison {
        difference: PairedDifference::without_interval(row, baseline)?.with_sign_flip(row, baseline),
        p_holm: None,
        welch: Welch::of(&values, &others),
        effect_of_differences: EffectSize::of_differences(&pairs),
        effect_of_pairs: EffectSize::of_pairs(&pairs),
        effect_of_samples: EffectSize::of_samples(&values, &others),
        paired_superiority: paired_superiority(&pairs),
        superiority: superiority(&values, &others),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(values: &[f64]) -> BTreeMap<u64, f64> {
        (0..).zip(values.iter().copied()).collect()
    }

    #[test]
    fn the_family_is_all_rows_that_are_compared() {
        let baseline = seeds(&[0.90, 0.91, 0.93]);
        let rows = [
            seeds(&[0.95, 0.97, 0.98]),
            seeds(&[0.91, 0.92, 0.94]),
            BTreeMap::from([(7, 0.9)]),
            seeds(&[0.94, 0.90, 0.92]),
        ];
        let found = compare_with_baseline(rows.iter().map(|row| (row, &baseline)));
        let [Some(clear), Some(constant), None, Some(near)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((clear.difference.comparisons, near.difference.comparisons), (3, 3));
        assert_eq!((constant.difference.p, constant.p_holm, constant.effect_of_differences), (None, None, None));
        assert_eq!(clear.p_holm, clear.difference.p_adjusted);
        // The constant difference counts as the largest p.
        assert_eq!(near.p_holm, near.difference.p.map(|p| (2.0 * p).min(1.0)));
        assert_eq!((clear.paired_superiority, clear.superiority), (1.0, Some(1.0)));
        assert_eq!(clear.difference.sign_flip.map(|test| test.p), Some(0.25));
        assert_eq!(compare_with_baseline([]), []);
    }
}
