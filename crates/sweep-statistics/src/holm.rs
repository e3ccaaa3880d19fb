//! Holm's adjustment of p-values for several comparisons.

/// Adjusts p-values for all comparisons of a family by Holm's method. The result has the order of the input. Each
/// adjusted p is at most that of Bonferroni, and the probability of any wrong finding at p < 0.05 is still at most 5%.
///
/// `comparisons` is the size of the family. If it is larger than the number of p-values, the others count as 1; this is
/// for comparisons that have no p. Returns `None` if a p-value is not between 0 and 1, or if `comparisons` is smaller
/// than their number.
///
/// Source: Holm, 1979. R: `p.adjust(p, "holm", comparisons)`.
pub fn holm(p: &[f64], comparisons: usize) -> Option<Vec<f64>> {
    if comparisons < p.len() || !p.iter().all(|p| (0.0..=1.0).contains(p)) {
        return None;
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut largest) = (vec![0.0; p.len()], 0.0_f64);
    for (rank, place) in order.into_iter().enumerate() {
        largest = largest.max(((comparisons - rank) as f64 * p[place]).min(1.0));
        adjusted[place] = largest;
    }
    Some(adjusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holm_matches_r() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") is 0.03 0.06 0.06 0.02; with n = 6: 0.05 0.12 0.12 0.03.
        let p = [0.01, 0.04, 0.03, 0.005];
        for (comparisons, expected) in [(4, [0.03, 0.06, 0.06, 0.02]), (6, [0.05, 0.12, 0.12, 0.03])] {
            let found = holm(&p, comparisons).unwrap();
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
        }
    }

    #[test]
    fn what_is_no_family_gives_none() {
        assert_eq!(holm(&[], 0), Some(vec![]));
        assert_eq!(holm(&[0.1, 0.2], 1), None);
        for p in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(holm(&[0.1, p], 2), None);
        }
    }
}
