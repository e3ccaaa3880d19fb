//! The binomial distribution with probability one half, for tests that count signs.

use crate::gamma::ln_gamma;

/// Returns the probability that at most `k` of `n` fair coins show heads. Small probabilities keep their digits.
///
/// R: `pbinom(k, n, 0.5)`. Python: `scipy.stats.binom.cdf(k, n, 0.5)`.
pub(crate) fn half_binomial_cdf(k: u64, n: u64) -> f64 {
    if k >= n {
        return 1.0;
    }
    // The shorter side is summed, from its largest term downwards. The other side follows from it.
    if 2 * k + 1 > n {
        return 1.0 - half_binomial_cdf(n - k - 1, n);
    }
    let (mut term, mut sum, mut heads) = (probability(k, n), 0.0, k);
    while term > 0.25 * f64::EPSILON * sum {
        sum += term;
        if heads == 0 {
            break;
        }
        term *= heads as f64 / (n - heads + 1) as f64;
        heads -= 1;
    }
    sum
}

/// Returns the probability of exactly `k` heads, for 2k < n, from the saddle point (Loader, 2000): Stirling's formula
/// takes the large parts of the factorials away before they could cost digits.
fn probability(k: u64, n: u64) -> f64 {
    if k == 0 {
        return (-(n as f64) * std::f64::consts::LN_2).exp();
    }
    let (heads, tails, all) = (k as f64, (n - k) as f64, n as f64);
    let excess = (heads - tails) / all;
    let deviance = heads * excess.ln_1p() + tails * (-excess).ln_1p();
    let correction = stirling_error(all) - stirling_error(heads) - stirling_error(tails);
    (correction - deviance).exp() * (all / (std::f64::consts::TAU * heads * tails)).sqrt()
}

/// Returns ln n! minus Stirling's formula for it.
fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        return ln_gamma(n + 1.0) - (n + 0.5) * n.ln() + n - 0.5 * std::f64::consts::TAU.ln();
    }
    let square = n * n;
    // Abramowitz and Stegun 6.1.41. The next term is below 1e-15 from 16 on.
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_counts_have_their_fractions() {
        let expected = [1.0, 5.0, 11.0, 15.0, 16.0].map(|count| count / 16.0);
        for (k, expected) in (0..).zip(expected) {
            assert!((half_binomial_cdf(k, 4) - expected).abs() < 1e-14, "{k}");
        }
        assert!((half_binomial_cdf(0, 0) - 1.0).abs() < 1e-15);
    }
}
