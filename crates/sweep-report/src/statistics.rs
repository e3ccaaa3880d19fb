//! Means over seeds and paired differences: how sure a table may be of a number.
//!
//! Knows numbers only. Every function is checked against R or `scipy`; the recipe stands at its test.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::student_t::t_quantile;

/// The level of every interval that is shown.
const CONFIDENCE: f64 = 0.95;

/// Pairs up to which all sign flips are counted.
const MOST_SIGN_FLIPS: usize = 20;

/// Both ends of a 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// What is known of a mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation; absent for one value.
    pub sd: Option<f64>,
    /// The 95% t-interval of the mean; absent for one value.
    pub interval: Option<Interval>,
}

/// What is known of a difference to the baseline, seed by seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedDifference {
    /// Mean of the differences, and its interval.
    pub summary: Summary,
    /// Exact two-sided sign-flip p; absent below two and above twenty pairs, and for what does not vary (a count of
    /// parameters), where no chance is at work.
    pub p: Option<f64>,
    /// The same, adjusted for the comparisons of one column (Holm).
    pub p_holm: Option<f64>,
}

impl Summary {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Option<Self> {
        let first = *values.first()?;
        let n = values.len();
        // Seen from the first value, equal values have exactly their own mean and no deviation.
        let mean = first + values.iter().map(|value| value - first).sum::<f64>() / n as f64;
        let summary = Self { n, mean, sd: None, interval: None };
        if n == 1 {
            return Some(summary);
        }
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = (squares / (n - 1) as f64).sqrt();
        let half = t_quantile(f64::midpoint(1.0, CONFIDENCE), (n - 1) as f64) * sd / (n as f64).sqrt();
        Some(Self { sd: Some(sd), interval: Some(Interval { low: mean - half, high: mean + half }), ..summary })
    }
}

impl PairedDifference {
    /// Of the seeds that both have; `None` when they share none.
    pub fn of(values: &BTreeMap<u64, f64>, baseline: &BTreeMap<u64, f64>) -> Option<Self> {
        let pair = |(seed, value): (&u64, &f64)| Some(value - baseline.get(seed)?);
        let differences: Vec<f64> = values.iter().filter_map(pair).collect();
        let summary = Summary::of(&differences)?;
        let varies = summary.sd.is_some_and(|sd| sd > 0.0);
        let p = if varies { sign_flip_p(&differences) } else { None };
        Some(Self { summary, p, p_holm: None })
    }
}

/// The exact two-sided p that differences as far from zero arise when each sign is a coin flip.
pub fn sign_flip_p(differences: &[f64]) -> Option<f64> {
    let n = differences.len();
    if !(2..=MOST_SIGN_FLIPS).contains(&n) {
        return None;
    }
    // Sums that differ only by rounding are ties, and ties count.
    let rounding = 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let observed = differences.iter().sum::<f64>().abs() - rounding;
    let flipped = |mask: u32| -> f64 {
        let sign = |i: usize| if mask >> i & 1 == 1 { -1.0 } else { 1.0 };
        differences.iter().enumerate().map(|(i, d)| sign(i) * d).sum()
    };
    let all = 1_u32 << n;
    let as_far = (0..all).filter(|&mask| flipped(mask).abs() >= observed).count();
    Some(as_far as f64 / f64::from(all))
}

/// The smallest p that a sign-flip test of `n` pairs can give.
pub fn smallest_sign_flip_p(n: usize) -> f64 {
    2.0 * 0.5_f64.powf(n as f64)
}

/// Holm's adjustment: the chance of one false finding among all of them stays below the level.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max((p.len() - rank) as f64 * p[i]).min(1.0);
        adjusted[i] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn a_summary_is_that_of_scipy() {
        // x.mean(), x.std(ddof=1), scipy.stats.t.interval(0.95, 3, loc=x.mean(), scale=scipy.stats.sem(x))
        let summary = Summary::of(&[0.9102, 0.9131, 0.9088, 0.9117]).unwrap();
        let interval = summary.interval.unwrap();
        assert!(close(summary.mean, 0.91095));
        assert!(close(summary.sd.unwrap(), 0.0018592113023178935));
        assert!(close(interval.low, 0.9079915799300983) && close(interval.high, 0.9139084200699016));
    }

    #[test]
    fn one_value_has_no_deviation_and_equal_values_have_none_to_the_last_bit() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[0.1]), Some(Summary { n: 1, mean: 0.1, sd: None, interval: None }));
        let equal = Summary::of(&[0.1; 3]).unwrap();
        assert_eq!((equal.mean, equal.sd), (0.1, Some(0.0)));
    }

    #[test]
    fn a_paired_difference_is_that_of_scipy_and_leaves_unpaired_seeds_out() {
        // d = a - b; scipy.stats.t.interval(0.95, 4, loc=d.mean(), scale=scipy.stats.sem(d))
        // scipy.stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
        let seeds = |values: &[f64]| (0..).zip(values.iter().copied()).collect::<BTreeMap<u64, f64>>();
        let a = seeds(&[0.914, 0.908, 0.917, 0.911, 0.909, 0.5]);
        let b = seeds(&[0.910, 0.909, 0.911, 0.906, 0.907]);
        let difference = PairedDifference::of(&a, &b).unwrap();
        let interval = difference.summary.interval.unwrap();
        assert_eq!(difference.summary.n, 5);
        assert!(close(difference.summary.mean, 0.0032));
        assert!(close(interval.low, -0.0002454777651513373) && close(interval.high, 0.006645477765151343));
        assert_eq!(difference.p, Some(0.125));
        assert_eq!(PairedDifference::of(&a, &BTreeMap::new()), None);
    }

    #[test]
    fn few_pairs_cannot_be_significant() {
        assert_eq!(sign_flip_p(&[1.0]), None);
        for n in 2..8 {
            assert_eq!(sign_flip_p(&vec![0.3; n]), Some(smallest_sign_flip_p(n)));
        }
        assert_eq!(sign_flip_p(&[0.0; 4]), Some(1.0));
        assert!(smallest_sign_flip_p(5) > 0.05 && smallest_sign_flip_p(6) < 0.05);
    }

    #[test]
    fn holm_is_that_of_r() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005, 0.5), "holm")
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005, 0.5]);
        for (value, expected) in adjusted.into_iter().zip([0.04, 0.09, 0.09, 0.025, 0.5]) {
            assert!(close(value, expected));
        }
        assert_eq!(holm(&[0.75, 0.5]), [1.0, 1.0]);
    }

    proptest! {
        #[test]
        fn holm_never_lowers_a_p_and_keeps_their_order(p in proptest::collection::vec(0.0..1.0f64, 1..8)) {
            let adjusted = holm(&p);
            for i in 0..p.len() {
                prop_assert!(adjusted[i] >= p[i] && adjusted[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
                }
            }
        }
    }
}
