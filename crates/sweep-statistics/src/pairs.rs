//! Values that belong together in pairs, for example two rows that were trained with the same seeds.

use std::collections::BTreeMap;

/// One or more pairs of finite values.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    values: Vec<f64>,
    baseline: Vec<f64>,
}

impl Pairs {
    /// Pairs the values of two rows on the seeds that both have. Returns `None` if they share no seed, or if a value on
    /// such a seed is not finite.
    pub fn by_seed(values: &BTreeMap<u64, f64>, baseline: &BTreeMap<u64, f64>) -> Option<Self> {
        let shared = values.iter().filter_map(|(seed, value)| Some((*value, *baseline.get(seed)?)));
        let (values, baseline) = shared.unzip();
        Self::new(values, baseline)
    }

    /// Pairs values in their order. Returns `None` without values, if the numbers of values differ, or if a value is
    /// not finite.
    pub fn new(values: Vec<f64>, baseline: Vec<f64>) -> Option<Self> {
        let is_finite = values.iter().chain(&baseline).all(|value| value.is_finite());
        (!values.is_empty() && values.len() == baseline.len() && is_finite).then_some(Self { values, baseline })
    }

    /// The first value of each pair.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The second value of each pair.
    pub fn baseline(&self) -> &[f64] {
        &self.baseline
    }

    /// Returns the difference of each pair: value minus baseline.
    pub fn differences(&self) -> Vec<f64> {
        self.values.iter().zip(&self.baseline).map(|(value, base)| value - base).collect()
    }

    /// Returns the largest absolute value. Differences have rounding errors of this size times 2⁻⁵³.
    pub(crate) fn size(&self) -> f64 {
        size_of(&self.values).max(size_of(&self.baseline))
    }
}

/// Returns the largest absolute value; 0 without values. NaN is passed over.
pub(crate) fn size_of(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |size: f64, value| size.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_those_of_shared_seeds() {
        let values = BTreeMap::from([(0, 1.0), (2, 5.0), (3, 4.0)]);
        let baseline = BTreeMap::from([(1, 7.0), (2, 3.0), (3, 1.0)]);
        let pairs = Pairs::by_seed(&values, &baseline).unwrap();
        assert_eq!((pairs.values(), pairs.baseline()), ([5.0, 4.0].as_slice(), [3.0, 1.0].as_slice()));
        assert_eq!((pairs.differences(), pairs.size()), (vec![2.0, 3.0], 5.0));
    }

    #[test]
    fn there_are_no_pairs_of_nothing_or_of_values_that_are_not_finite() {
        assert_eq!(Pairs::by_seed(&BTreeMap::from([(0, 1.0)]), &BTreeMap::from([(1, 1.0)])), None);
        assert_eq!(Pairs::new(vec![], vec![]), None);
        assert_eq!(Pairs::new(vec![1.0], vec![1.0, 2.0]), None);
        assert_eq!(Pairs::new(vec![1.0], vec![f64::NAN]), None);
    }
}
