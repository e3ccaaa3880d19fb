//! Mean of some values, with an interval whose method depends on their number.

use serde::{Deserialize, Serialize};

use crate::bootstrap::Resampling;
use crate::interval::{CONFIDENCE, Interval};
use crate::summary::Summary;

/// The smallest number of values for which [`Estimate`] uses a bootstrap.
pub const FEWEST_FOR_BOOTSTRAP: usize = 20;

/// How an interval was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// Student's t. It assumes that values are about normal.
    StudentT,
    /// The BCa bootstrap. It assumes no distribution, but that the values show the shape of theirs.
    Bca(Resampling),
}

/// Mean of some values, with its uncertainty.
///
/// With fewer than [`FEWEST_FOR_BOOTSTRAP`] values the interval is Student's. From there on it is that of the BCa
/// bootstrap, which follows the skew of the values.
///
/// For fewer values the BCa interval is too narrow. In a simulation of 2,000 samples it contained the true mean in 88%
/// of the cases for eight normal values, 90% for ten, and 93% for twenty (exponential values: 84%, 89%, 92%). The
/// t-interval, [`Summary`], had 95% for normal values (exponential: 89%, 90%, 92%). So this crate judges differences by
/// t-intervals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Number of values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation. Absent for one value.
    pub sd: Option<f64>,
    /// The 95% interval of the mean. Absent for one value, and if all values are equal up to rounding.
    pub interval: Option<Interval>,
    /// How the interval was computed. Absent without an interval.
    pub method: Option<IntervalMethod>,
}

impl Estimate {
    /// Summarises values. Returns `None` without values, or if one is not finite.
    pub fn of(values: &[f64], resampling: Resampling) -> Option<Self> {
        let Summary { n, mean, sd, interval } = Summary::of(values)?;
        let (interval, method) = if n < FEWEST_FOR_BOOTSTRAP {
            let has_spread = sd.is_some_and(|sd| sd > 0.0);
            (interval.filter(|_| has_spread), IntervalMethod::StudentT)
        } else {
            (resampling.bca_interval_of_mean(values, CONFIDENCE), IntervalMethod::Bca(resampling))
        };
        Some(Self { n, mean, sd, interval, method: interval.map(|_| method) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_method_depends_on_the_number_of_values() {
        let values: Vec<f64> = (0..20).map(|i| 0.9 + 0.01 * f64::from(i * i % 7)).collect();
        let resampling = Resampling::default();
        let fewer = Estimate::of(&values[..19], resampling).unwrap();
        assert_eq!(fewer.method, Some(IntervalMethod::StudentT));
        assert_eq!(fewer.interval, Summary::of(&values[..19]).unwrap().interval);
        let enough = Estimate::of(&values, resampling).unwrap();
        assert_eq!(enough.method, Some(IntervalMethod::Bca(resampling)));
        assert!(enough.interval.is_some_and(|ends| ends.low < enough.mean && enough.mean < ends.high), "{enough:?}");
    }

    #[test]
    fn one_value_and_equal_values_have_no_interval() {
        for values in [&[0.5][..], &[0.5; 3], &[0.5; 20]] {
            let estimate = Estimate::of(values, Resampling::default()).unwrap();
            assert_eq!((estimate.interval, estimate.method), (None, None));
        }
        assert_eq!(Estimate::of(&[], Resampling::default()), None);
        assert_eq!(Estimate::of(&[f64::NAN; 9], Resampling::default()), None);
    }
}
