//! Bootstrap intervals: values are drawn again with replacement, from a recorded seed.

use serde::{Deserialize, Serialize};

use crate::interval::Interval;
use crate::normal::{below, normal_quantile};
use crate::pairs::size_of;
use crate::split_mix::SplitMix64;
use crate::summary::ROUNDING;

/// How values are drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resampling {
    /// Number of resamples. Each has as many values as there are.
    pub resamples: u32,
    /// Seed of the random generator.
    pub seed: u64,
}

impl Default for Resampling {
    /// 10,000 resamples: the ends of a 95% interval then vary by about 1% of its width between seeds.
    fn default() -> Self {
        Self { resamples: 10_000, seed: 20_210_505 }
    }
}

impl Resampling {
    /// Returns the BCa interval of the mean: bias-corrected and accelerated, which corrects for the skew of the values.
    ///
    /// Returns `None` if a value is not finite, if all values are equal, if `confidence` is not between 0 and 1, or if
    /// there are too few resamples to place the mean among theirs. Time: resamples × values.
    ///
    /// Source: Efron, 1987; Efron and Tibshirani, 1993, section 14.3. Python:
    /// `scipy.stats.bootstrap((values,), np.mean, method="BCa")`.
    pub fn bca_interval_of_mean(self, values: &[f64], confidence: f64) -> Option<Interval> {
        let centred = Centred::of(values)?;
        let means = self.means(&centred.deviations);
        // Means that differ from the mean of the values only by rounding are ties; half of them count as below.
        let rounding = ROUNDING * centred.size;
        let smaller = means.iter().filter(|mean| **mean < -rounding).count();
        let not_larger = means.iter().filter(|mean| **mean <= rounding).count();
        let share = (smaller + not_larger) as f64 / (2.0 * means.len() as f64);
        let bias = normal_quantile(share)?;
        // The acceleration is a sixth of the skewness of the jackknife's means. For a mean they are the deviations.
        let sum = |power: i32| centred.deviations.iter().map(|d| (d / centred.spread).powi(power)).sum::<f64>();
        let acceleration = sum(3) / (6.0 * sum(2).powf(1.5));
        let end = |probability: f64| {
            let z = bias + normal_quantile(probability)?;
            let shrunk = 1.0 - acceleration * z;
            (shrunk > 0.0).then(|| centred.mean + quantile_of_sorted(&means, below(bias + z / shrunk)))
        };
        let tail = tail_of(confidence)?;
        Some(Interval { low: end(tail)?, high: end(1.0 - tail)? })
    }

    /// Returns the percentile interval of any statistic, for example of a median, for which BCa has no acceleration.
    ///
    /// Returns `None` without values or resamples, if a value or statistic is not finite, or if `confidence` is not
    /// between 0 and 1. Time: resamples × that of the statistic.
    ///
    /// Source: Efron and Tibshirani, 1993, section 13.3. Python:
    /// `scipy.stats.bootstrap((values,), statistic, method="percentile")`.
    pub fn percentile_interval(
        self,
        values: &[f64],
        confidence: f64,
        statistic: impl Fn(&[f64]) -> Option<f64>,
    ) -> Option<Interval> {
        if values.is_empty() || self.resamples == 0 || !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let mut random = SplitMix64::new(self.seed);
        let mut resample = vec![0.0; values.len()];
        let mut draw = || {
            resample.fill_with(|| values[random.below(values.len())]);
            statistic(&resample).filter(|found| found.is_finite())
        };
        let mut found = (0..self.resamples).map(|_| draw()).collect::<Option<Vec<f64>>>()?;
        found.sort_by(f64::total_cmp);
        let tail = tail_of(confidence)?;
        Some(Interval { low: quantile_of_sorted(&found, tail), high: quantile_of_sorted(&found, 1.0 - tail) })
    }

    /// Returns the sorted means of the resamples.
    fn means(self, values: &[f64]) -> Vec<f64> {
        let mut random = SplitMix64::new(self.seed);
        let n = values.len();
        let mut mean = || (0..n).map(|_| values[random.below(n)]).sum::<f64>() / n as f64;
        let mut means: Vec<f64> = (0..self.resamples).map(|_| mean()).collect();
        means.sort_by(f64::total_cmp);
        means
    }
}

/// Values relative to their mean. Computing with deviations gives the same result wherever zero is.
struct Centred {
    mean: f64,
    deviations: Vec<f64>,
    /// The largest absolute value: rounding errors are relative to it.
    size: f64,
    /// The largest absolute deviation.
    spread: f64,
}

impl Centred {
    /// Returns `None` if a value is not finite, if their sum overflows, or if all are equal up to rounding.
    fn of(values: &[f64]) -> Option<Self> {
        let first = values.first()?;
        let mean = first + values.iter().map(|value| value - first).sum::<f64>() / values.len() as f64;
        let deviations: Vec<f64> = values.iter().map(|value| value - mean).collect();
        let (size, spread) = (size_of(values), size_of(&deviations));
        (spread.is_finite() && size.is_finite() && spread > ROUNDING * size).then_some(Self {
            mean,
            deviations,
            size,
            spread,
        })
    }
}

/// Returns the probability on each side of an interval. `None` if `confidence` is not between 0 and 1.
fn tail_of(confidence: f64) -> Option<f64> {
    (confidence > 0.0 && confidence < 1.0).then_some((1.0 - confidence) / 2.0)
}

/// Returns a quantile of sorted values, interpolated linearly between neighbours (R type 7, the default of
/// `numpy.quantile`).
fn quantile_of_sorted(sorted: &[f64], probability: f64) -> f64 {
    let place = probability * (sorted.len() - 1) as f64;
    let (lower, upper) = (place.floor() as usize, place.ceil() as usize);
    sorted[lower] + (sorted[upper] - sorted[lower]) * (place - place.floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_interpolated_between_neighbours() {
        let sorted = [1.0, 2.0, 4.0];
        let found = [0.0, 0.25, 0.5, 0.75, 1.0].map(|p| quantile_of_sorted(&sorted, p));
        assert!(found.iter().zip([1.0, 1.5, 2.0, 3.0, 4.0]).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
    }

    #[test]
    fn what_cannot_be_drawn_again_gives_none() {
        let resampling = Resampling { resamples: 100, seed: 1 };
        for values in [&[][..], &[1.0; 9], &[1.0, f64::NAN], &[1.0, f64::INFINITY], &[f64::MAX, -f64::MAX]] {
            assert_eq!(resampling.bca_interval_of_mean(values, 0.95), None);
        }
        for confidence in [0.0, 1.0, f64::NAN] {
            assert_eq!(resampling.bca_interval_of_mean(&[1.0, 2.0, 3.0], confidence), None);
        }
        let none = Resampling { resamples: 0, seed: 1 };
        assert_eq!(none.bca_interval_of_mean(&[1.0, 2.0, 3.0], 0.95), None);
        assert_eq!(none.percentile_interval(&[1.0, 2.0], 0.95, |_| Some(1.0)), None);
        assert_eq!(resampling.percentile_interval(&[], 0.95, |_| Some(1.0)), None);
        assert_eq!(resampling.percentile_interval(&[1.0, 2.0], 0.95, |_| None), None);
    }
}
