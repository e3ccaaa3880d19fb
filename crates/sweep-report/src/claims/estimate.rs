//! An estimated quantity with its intervals: what a rule compares with its bounds.
//!
//! This module knows numbers. It does not know claims, rows or metrics.

use std::collections::BTreeMap;

use sweep_statistics::{CONFIDENCE, Goal, Interval, Pairs, Ratio, StudentT, Summary, Welch, pairs_needed};

use super::declared::Test;

/// A quantity and what is known of its uncertainty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Estimate {
    /// A count. It has no uncertainty.
    Exact(f64),
    /// A mean or a difference of means.
    Mean(Spread),
    /// A ratio of means. The spread is that of the logarithms of the ratios.
    Ratio(Spread),
    /// A ratio of throughputs: seconds per image of both networks in each round.
    Rounds(Vec<f64>, Vec<f64>),
}

/// Why there is no estimate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoEstimate {
    /// Values are missing.
    Missing(String),
    /// There are values, but the rule cannot be applied to them.
    Unsuited(String),
}

impl NoEstimate {
    /// Rows without a seed in common.
    pub(crate) fn nothing() -> Self {
        Self::Missing("no values to compare".to_owned())
    }

    /// Returns the reason in words.
    pub(crate) fn why(&self) -> &str {
        match self {
            Self::Missing(why) | Self::Unsuited(why) => why,
        }
    }
}

/// A mean with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Number of seeds, or of pairs of them.
    pub(crate) n: usize,
    /// The mean.
    pub(crate) mean: f64,
    /// Its standard error and the degrees of freedom. `None` if the values say nothing about chance: there is one, or
    /// all are equal.
    pub(crate) error: Option<(f64, f64)>,
}

/// Confidence of an interval, for one of several comparisons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    /// Confidence of a single interval.
    pub(crate) confidence: f64,
    /// Number of comparisons made together (Bonferroni).
    pub(crate) comparisons: usize,
}

impl Level {
    /// Returns the probability that is left outside of each interval.
    fn alpha(self) -> f64 {
        (1.0 - self.confidence) / self.comparisons.max(1) as f64
    }

    /// Returns the number of comparisons that widens a 95% interval to this level; at least as wide.
    fn of_usual(self) -> usize {
        // A difference of 1e-9 is rounding: 0.05/(1 - 0.95) is not exactly 1.
        (((1.0 - CONFIDENCE) / self.alpha() - 1e-9).ceil() as usize).max(1)
    }
}

/// Values by seed.
type Values = BTreeMap<u64, f64>;

impl Estimate {
    /// The mean of a row. Returns `None` without values.
    pub(crate) fn of_mean(values: &Values) -> Option<Self> {
        Some(Self::Mean(Spread::of(&Summary::of(&values.values().copied().collect::<Vec<_>>())?)))
    }

    /// The difference of two rows: the first minus the second. Returns `None` if they cannot be compared.
    pub(crate) fn of_difference(test: Test, values: &Values, baseline: &Values) -> Option<Self> {
        match test {
            Test::PairedT => Spread::of_pairs(&Pairs::by_seed(values, baseline)?.differences()),
            Test::Welch => Spread::of_groups(values, baseline),
        }
        .map(Self::Mean)
    }

    /// The ratio of two rows: the first over the second. Returns `None` if they cannot be compared, for example because
    /// a value is not above 0.
    pub(crate) fn of_ratio(test: Test, values: &Values, baseline: &Values) -> Option<Self> {
        let logarithms = |values: &Values| -> Option<Values> {
            values.iter().map(|(seed, value)| (*value > 0.0).then(|| (*seed, value.ln()))).collect()
        };
        match Self::of_difference(test, &logarithms(values)?, &logarithms(baseline)?)? {
            Self::Mean(spread) => Some(Self::Ratio(spread)),
            other => Some(other),
        }
    }

    /// Returns the estimated number; `None` for rounds that do not belong together.
    pub(crate) fn centre(&self) -> Option<f64> {
        match self {
            Self::Exact(value) => Some(*value),
            Self::Mean(spread) => Some(spread.mean),
            Self::Ratio(spread) => Some(spread.mean.exp()),
            Self::Rounds(own, base) => Some(Ratio::of(own, base, 1)?.median),
        }
    }

    /// Returns the number of seeds, pairs or rounds; `None` for a count.
    pub(crate) fn n(&self) -> Option<usize> {
        match self {
            Self::Exact(_) => None,
            Self::Mean(spread) | Self::Ratio(spread) => Some(spread.n),
            Self::Rounds(own, _) => Some(own.len()),
        }
    }

    /// Returns the number of seeds; `None` if the estimate does not depend on seeds.
    pub(crate) fn seeds(&self) -> Option<usize> {
        match self {
            Self::Mean(spread) | Self::Ratio(spread) => Some(spread.n),
            Self::Exact(_) | Self::Rounds(..) => None,
        }
    }

    /// Returns the interval of this level. `None` if the values say nothing about chance.
    pub(crate) fn interval(&self, level: Level) -> Option<Interval> {
        match self {
            Self::Exact(value) => Some(Interval { low: *value, high: *value }),
            Self::Mean(spread) => spread.interval(level),
            Self::Ratio(spread) => {
                let Interval { low, high } = spread.interval(level)?;
                Some(Interval { low: low.exp(), high: high.exp() })
            }
            Self::Rounds(own, base) if own == base => Some(Interval { low: 1.0, high: 1.0 }),
            Self::Rounds(own, base) => Ratio::of(own, base, level.of_usual())?.interval,
        }
    }

    /// Returns the number of seeds with which this estimate would probably (80%) differ significantly from a bound, if
    /// mean and deviation stay as they are. `None` if it is not known, or impractically large.
    pub(crate) fn seeds_needed(&self, bound: f64, level: Level) -> Option<usize> {
        let (spread, bound) = match self {
            Self::Mean(spread) => (spread, bound),
            Self::Ratio(spread) => (spread, Some(bound.ln()).filter(|bound| bound.is_finite())?),
            Self::Exact(_) | Self::Rounds(..) => return None,
        };
        let sd = spread.error?.0 * (spread.n as f64).sqrt();
        pairs_needed(spread.mean - bound, sd, Goal { comparisons: level.of_usual(), power: 0.8 })
    }
}

impl Spread {
    fn of(summary: &Summary) -> Self {
        let Summary { n, mean, sd, .. } = *summary;
        let error = sd.filter(|sd| *sd > 0.0).map(|sd| (sd / (n as f64).sqrt(), (n - 1) as f64));
        Self { n, mean, error }
    }

    fn of_pairs(differences: &[f64]) -> Option<Self> {
        Some(Self::of(&Summary::of(differences)?))
    }

    fn of_groups(values: &Values, baseline: &Values) -> Option<Self> {
        let list = |values: &Values| values.values().copied().collect::<Vec<f64>>();
        let (own, base) = (list(values), list(baseline));
        let (first, second) = (Summary::of(&own)?, Summary::of(&base)?);
        let n = first.n.min(second.n);
        let mean = first.mean - second.mean;
        let error = Welch::of(&own, &base).and_then(|welch| {
            let square = |summary: &Summary| Some(summary.sd?.powi(2) / summary.n as f64);
            Some(((square(&first)? + square(&second)?).sqrt(), welch.df))
        });
        Some(Self { n, mean, error })
    }

    fn interval(&self, level: Level) -> Option<Interval> {
        let (error, df) = self.error?;
        // A far upper quantile keeps its digits only as a lower one.
        let half = -StudentT::new(df)?.quantile(level.alpha() / 2.0)? * error;
        Some(Interval { low: self.mean - half, high: self.mean + half })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Level = Level { confidence: 0.95, comparisons: 1 };

    fn seeds(values: &[f64]) -> Values {
        (0..).zip(values.iter().copied()).collect()
    }

    #[test]
    fn intervals_are_those_of_scipy() {
        let (a, b) = (seeds(&[0.921, 0.919, 0.925]), seeds(&[0.910, 0.909, 0.911]));
        let near = |found: Option<Interval>, low: f64, high: f64| {
            let found = found.unwrap();
            assert!((found.low - low).abs() < 1e-9 && (found.high - high).abs() < 1e-9, "{found:?}");
        };
        // scipy.stats.ttest_rel([.921, .919, .925], [.910, .909, .911]).confidence_interval(0.95)
        let paired = Estimate::of_difference(Test::PairedT, &a, &b).unwrap();
        near(paired.interval(USUAL), 0.006_495_521_654_124, 0.016_837_811_679_209);
        // scipy.stats.ttest_ind(..., equal_var=False).confidence_interval(0.95)
        let welch = Estimate::of_difference(Test::Welch, &a, &b).unwrap();
        near(welch.interval(USUAL), 0.004_880_564_670_417, 0.018_452_768_662_916);
        // scipy.stats.ttest_1samp(a, 0).confidence_interval(1 - 0.05 / 3)
        let mean = Estimate::of_mean(&a).unwrap();
        near(mean.interval(Level { confidence: 0.95, comparisons: 3 }), 0.908_175_444_635_456, 0.935_157_888_697_877);
    }

    #[test]
    fn values_that_say_nothing_about_chance_have_no_interval() {
        let one = Estimate::of_difference(Test::PairedT, &seeds(&[0.9]), &seeds(&[0.8])).unwrap();
        let constant = Estimate::of_difference(Test::PairedT, &seeds(&[0.5, 0.5]), &seeds(&[0.25, 0.25])).unwrap();
        assert_eq!([one.interval(USUAL), constant.interval(USUAL)], [None, None]);
        assert_eq!(Estimate::of_ratio(Test::PairedT, &seeds(&[-1.0, 1.0]), &seeds(&[1.0, 1.0])), None);
        assert_eq!(Estimate::of_mean(&Values::new()), None);
    }

    #[test]
    fn a_ratio_is_compared_by_logarithms() {
        let ratio = Estimate::of_ratio(Test::PairedT, &seeds(&[2.0, 8.0]), &seeds(&[1.0, 2.0])).unwrap();
        assert!((ratio.centre().unwrap() - 8_f64.sqrt()).abs() < 1e-12);
        let ends = ratio.interval(USUAL).unwrap();
        assert!((ends.low * ends.high - 8.0).abs() < 1e-9, "{ends:?}");
    }

    #[test]
    fn the_usual_level_is_one_comparison() {
        let usual = |confidence, comparisons| Level { confidence, comparisons }.of_usual();
        assert_eq!([usual(0.95, 1), usual(0.95, 3), usual(0.99, 1), usual(0.99, 2)], [1, 3, 5, 10]);
    }
}
