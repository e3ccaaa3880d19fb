//! Probability of superiority: how often is a value of one row above one of another?

use crate::pairs::Pairs;

/// Returns P(X > Y) + P(X = Y)/2 over all pairs of a value and another, which need not belong together. 0.5 means that
/// neither is superior. Returns `None` if a sample is empty or has a value that is not finite. Time: product of the
/// numbers of values.
///
/// Source: Vargha and Delaney, 2000 (A). It is the statistic U of Mann and Whitney over the number of pairs.
pub fn superiority(values: &[f64], others: &[f64]) -> Option<f64> {
    if values.is_empty() || others.is_empty() || values.iter().chain(others).any(|value| !value.is_finite()) {
        return None;
    }
    let points: f64 = values.iter().flat_map(|value| others.iter().map(|other| point(*value, *other))).sum();
    Some(points / (values.len() as f64 * others.len() as f64))
}

/// Returns P(X > Y) + P(X = Y)/2 over the given pairs, for example of the same seed.
pub fn paired_superiority(pairs: &Pairs) -> f64 {
    let points: f64 = pairs.values().iter().zip(pairs.baseline()).map(|(value, other)| point(*value, *other)).sum();
    points / pairs.values().len() as f64
}

/// Returns 1 if the first value is larger, 0 if it is smaller, one half if they are equal.
fn point(value: f64, other: f64) -> f64 {
    match value.partial_cmp(&other) {
        Some(std::cmp::Ordering::Greater) => 1.0,
        Some(std::cmp::Ordering::Equal) => 0.5,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half() {
        assert_eq!(superiority(&[1.0, 2.0], &[1.0, 1.0]), Some(0.75));
        assert_eq!(superiority(&[], &[1.0]), None);
        assert_eq!(superiority(&[f64::NAN], &[1.0]), None);
        let pairs = Pairs::new(vec![1.0, 5.0, 0.0, 9.0], vec![1.0, 4.0, 2.0, 3.0]).unwrap();
        assert!((paired_superiority(&pairs) - 0.625).abs() < 1e-15);
    }
}
