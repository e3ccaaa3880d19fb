//! Equivalence: is a difference certainly smaller than a margin? A test that finds no difference does not show that.

use serde::{Deserialize, Serialize};

use crate::interval::Interval;
use crate::pairs::Pairs;
use crate::student_t::{t_quantile, two_sided_p};
use crate::summary::Summary;

/// Level of each of the two one-sided tests.
const LEVEL: f64 = 0.05;

/// Verdict of a test of equivalence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EquivalenceVerdict {
    /// The difference is within the margin: the whole 90% interval is.
    Equivalent,
    /// The difference is outside: the whole 90% interval is.
    NotEquivalent,
    /// The values do not decide.
    Undecided,
}

impl EquivalenceVerdict {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equivalent => "equivalent",
            Self::NotEquivalent => "not_equivalent",
            Self::Undecided => "undecided",
        }
    }
}

/// Result of two one-sided t-tests (TOST) on paired values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Equivalence {
    /// Number of pairs.
    pub n: usize,
    /// Mean difference, or geometric mean of the ratios.
    pub mean: f64,
    /// The margin: differences or ratios inside count as equivalent.
    pub margin: Interval,
    /// The 90% t-interval. It is within the margin exactly if p < 0.05. Absent for one pair, and if the difference or
    /// ratio is the same for each pair up to rounding.
    pub interval: Option<Interval>,
    /// The larger p of the two one-sided tests. Absent without an interval.
    pub p: Option<f64>,
    /// The verdict. It is undecided without an interval.
    pub verdict: EquivalenceVerdict,
}

impl Equivalence {
    /// Tests whether the mean difference is within ±`margin`, in the unit of the values. Returns `None` unless `margin`
    /// is finite and above 0.
    ///
    /// Source: Schuirmann, 1987. Python: `scipy.stats.ttest_1samp` of the differences against −margin (greater) and
    /// +margin (less).
    pub fn of_difference(pairs: &Pairs, margin: f64) -> Option<Self> {
        Self::within(&pairs.differences(), pairs.size(), margin)
    }

    /// Tests whether the ratio value/baseline is between 1/`margin` and `margin`, for example 1.02 for 2%. Mean and
    /// ends are those of the logarithms, turned back into ratios.
    ///
    /// Returns `None` unless all values are above 0, and `margin` is finite and above 1.
    pub fn of_ratio(pairs: &Pairs, margin: f64) -> Option<Self> {
        if pairs.values().iter().chain(pairs.baseline()).any(|value| *value <= 0.0) {
            return None;
        }
        let logarithms: Vec<f64> = pairs.values().iter().zip(pairs.baseline()).map(|(v, b)| (v / b).ln()).collect();
        // A ratio has a relative rounding error, so its logarithm has one relative to 1.
        let found = Self::within(&logarithms, 1.0, margin.ln())?;
        let back = |ends: Interval| Interval { low: ends.low.exp(), high: ends.high.exp() };
        let margin = Interval { low: 1.0 / margin, high: margin };
        Some(Self { mean: found.mean.exp(), margin, interval: found.interval.map(back), ..found })
    }

    /// Tests whether the mean of differences of numbers up to `size` is within ±`margin`.
    fn within(differences: &[f64], size: f64, margin: f64) -> Option<Self> {
        if !(margin > 0.0 && margin.is_finite()) {
            return None;
        }
        let Summary { n, mean, sd, .. } = Summary::of_size(differences, size)?;
        let margin = Interval { low: -margin, high: margin };
        let Some(sd) = sd.filter(|sd| *sd > 0.0) else {
            return Some(Self { n, mean, margin, interval: None, p: None, verdict: EquivalenceVerdict::Undecided });
        };
        let (error, df) = (sd / (n as f64).sqrt(), (n - 1) as f64);
        let half = t_quantile(1.0 - LEVEL, df) * error;
        let interval = Interval { low: mean - half, high: mean + half };
        let p = one_sided_p((mean - margin.low) / error, df).max(one_sided_p((margin.high - mean) / error, df));
        let verdict = if p < LEVEL {
            EquivalenceVerdict::Equivalent
        } else if interval.low > margin.high || interval.high < margin.low {
            EquivalenceVerdict::NotEquivalent
        } else {
            EquivalenceVerdict::Undecided
        };
        Some(Self { n, mean, margin, interval: Some(interval), p: Some(p), verdict })
    }
}

/// Returns the probability of a statistic above `t`.
fn one_sided_p(t: f64, df: f64) -> f64 {
    let tail = 0.5 * two_sided_p(t, df);
    if t < 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_follows_the_margin() {
        let pairs = Pairs::new(vec![1.01, 1.98, 3.01, 4.02], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let verdict = |margin| Equivalence::of_difference(&pairs, margin).unwrap().verdict;
        assert_eq!([verdict(0.1), verdict(0.01)], [EquivalenceVerdict::Equivalent, EquivalenceVerdict::Undecided]);
        let far = Pairs::new(vec![2.01, 2.98, 4.01, 5.02], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(Equivalence::of_difference(&far, 0.1).unwrap().verdict, EquivalenceVerdict::NotEquivalent);
    }

    #[test]
    fn ratios_are_tested_on_their_logarithms() {
        let pairs = Pairs::new(vec![1.01, 1.98, 3.03], vec![1.0, 2.0, 3.0]).unwrap();
        let found = Equivalence::of_ratio(&pairs, 1.25).unwrap();
        assert!((found.mean - (1.01_f64 * 0.99 * 1.01).cbrt()).abs() < 1e-12);
        assert!((found.margin.low - 0.8).abs() < 1e-12 && found.verdict == EquivalenceVerdict::Equivalent);
        for margin in [1.0, 0.9, 0.0, -2.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Equivalence::of_ratio(&pairs, margin), None);
        }
        assert_eq!(Equivalence::of_ratio(&Pairs::new(vec![1.0, 0.0], vec![1.0, 1.0]).unwrap(), 1.1), None);
    }

    #[test]
    fn a_constant_difference_is_undecided() {
        let pairs = Pairs::new(vec![1.0; 3], vec![1.0; 3]).unwrap();
        let found = Equivalence::of_difference(&pairs, 0.1).unwrap();
        assert_eq!((found.p, found.interval, found.verdict), (None, None, EquivalenceVerdict::Undecided));
        for margin in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Equivalence::of_difference(&pairs, margin), None);
        }
    }
}
