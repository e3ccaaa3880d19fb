//! Compares two rows: is one better, or may the difference be chance? Marks in tables and grey dots in plots depend on
//! it.
//!
//! This module knows samples. It does not know tables or plots.

use sweep_protocol::{Better, Metric};
use sweep_statistics::{CONFIDENCE, PairedDifference, Ratio};

use crate::samples::Sample;
use crate::unit::is_count;

/// Result of comparing two rows in one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The first row is better.
    Better,
    /// The first row is worse.
    Worse,
    /// The rows are equal.
    Equal,
    /// The difference may be chance, or the metric has no better direction.
    Untold,
}

/// Compares two rows, as one of several comparisons. Counts such as parameters are compared directly. Networks that
/// were timed in the same rounds are compared by the interval of their ratio. For all other metrics the interval of the
/// paired difference decides, so a single seed never gives a verdict.
pub(crate) fn compare(metric: Metric, (sample, other): (&Sample, &Sample), comparisons: usize) -> Verdict {
    let sign = match metric.better() {
        Better::Higher => 1.0,
        Better::Lower => -1.0,
        Better::Neither => return Verdict::Untold,
    };
    if let (Some(rounds), Some(others)) = (&sample.rounds, &other.rounds)
        && let Some(ratio) = Ratio::of(rounds, others, comparisons)
    {
        return match ratio.is_told() {
            true => verdict(sign * (ratio.median - 1.0)),
            false if rounds == others => Verdict::Equal,
            false => Verdict::Untold,
        };
    }
    let (values, others) = (&sample.values, &other.values);
    let constant = |sample: &Sample| {
        let first = *sample.values.values().next()?;
        sample.values.values().all(|value| value.total_cmp(&first).is_eq()).then_some(first)
    };
    if let (true, Some(value), Some(other)) = (is_count(metric), constant(sample), constant(other)) {
        return verdict(sign * (value - other));
    }
    let Some(difference) = PairedDifference::without_interval(values, others) else { return Verdict::Untold };
    let is_same = difference.summary.n > 1 && difference.p.is_none() && difference.summary.mean.abs() <= f64::EPSILON;
    if is_same {
        return Verdict::Equal;
    }
    // This holds exactly if the simultaneous interval for all comparisons excludes 0.
    let is_told = match difference.p {
        Some(p) => comparisons as f64 * p < 1.0 - CONFIDENCE,
        None => difference.is_constant(),
    };
    if is_told { verdict(sign * difference.summary.mean) } else { Verdict::Untold }
}

fn verdict(gain: f64) -> Verdict {
    if gain > 0.0 {
        Verdict::Better
    } else if gain < 0.0 {
        Verdict::Worse
    } else {
        Verdict::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(values: &[f64]) -> Sample {
        Sample::of_values(values)
    }

    #[test]
    fn networks_of_the_same_rounds_are_compared_by_their_ratio() {
        let timed = |rounds: &[f64]| Sample { rounds: Some(rounds.to_vec()), ..Sample::of_values(&[1.0]) };
        let (fast, slow) = (timed(&[1.0; 9]), timed(&[1.1; 9]));
        let judge = |a: &Sample, b: &Sample| compare(Metric::Throughput, (a, b), 1);
        assert_eq!([judge(&fast, &slow), judge(&slow, &fast)], [Verdict::Better, Verdict::Worse]);
        assert_eq!(judge(&fast, &fast.clone()), Verdict::Equal);
        let mixed = timed(&[0.9, 1.2, 0.9, 1.2, 0.9, 1.2, 0.9, 1.2, 1.0]);
        assert_eq!(judge(&fast, &mixed), Verdict::Untold);
    }

    #[test]
    fn a_difference_that_may_be_chance_gives_no_verdict() {
        let noisy = (seeds(&[0.90, 0.92, 0.91]), seeds(&[0.89, 0.93, 0.90]));
        let clear = (seeds(&[0.90, 0.92, 0.91]), seeds(&[0.801, 0.82, 0.812]));
        let one = (seeds(&[0.9]), seeds(&[0.1]));
        let judge = |metric, pair: &(Sample, Sample), comparisons| {
            (compare(metric, (&pair.0, &pair.1), comparisons), compare(metric, (&pair.1, &pair.0), comparisons))
        };
        assert_eq!(judge(Metric::Accuracy, &noisy, 1), (Verdict::Untold, Verdict::Untold));
        assert_eq!(judge(Metric::Accuracy, &clear, 1), (Verdict::Better, Verdict::Worse));
        assert_eq!(judge(Metric::Loss, &clear, 1), (Verdict::Worse, Verdict::Better));
        // With more comparisons, a difference must be larger.
        assert_eq!(judge(Metric::Accuracy, &clear, 1_000_000), (Verdict::Untold, Verdict::Untold));
        assert_eq!(judge(Metric::Accuracy, &one, 1), (Verdict::Untold, Verdict::Untold));
        assert_eq!(judge(Metric::LearningRate, &clear, 1), (Verdict::Untold, Verdict::Untold));
        let constant = |n: usize| (seeds(&[0.75, 0.5, 0.25][..n]), seeds(&[0.625, 0.375, 0.125][..n]));
        assert_eq!(judge(Metric::Accuracy, &constant(3), 1000), (Verdict::Better, Verdict::Worse));
        assert_eq!(judge(Metric::Accuracy, &constant(2), 1), (Verdict::Untold, Verdict::Untold));
    }

    #[test]
    fn counts_are_compared_directly() {
        let (large, small) = (seeds(&[2e7]), seeds(&[1e7]));
        assert_eq!(compare(Metric::Params, (&small, &large), 3), Verdict::Better);
        assert_eq!(compare(Metric::Flops, (&large, &large), 3), Verdict::Equal);
        assert_eq!(compare(Metric::Accuracy, (&seeds(&[0.5; 3]), &seeds(&[0.5; 3])), 3), Verdict::Equal);
    }
}
