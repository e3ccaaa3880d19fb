//! Student's t distribution, for intervals of means.
//!
//! It is implemented here because only two functions of a statistics library are needed. It is checked against R's `pt`
//! and `qt`.

/// Returns the `p`-quantile for `df` degrees of freedom (0 < p < 1). It uses Newton's method between bounds that
/// narrow.
///
/// R: `qt(p, df)`. Python: `scipy.stats.t.ppf(p, df)`.
pub fn t_quantile(p: f64, df: f64) -> f64 {
    if p < 0.5 {
        return -t_quantile(1.0 - p, df);
    }
    let (mut low, mut high) = (0.0, 1.0);
    while t_cdf(high, df) < p {
        (low, high) = (high, 2.0 * high);
    }
    let log_scale = ln_gamma((df + 1.0) / 2.0) - ln_gamma(df / 2.0) - 0.5 * (df * std::f64::consts::PI).ln();
    let density = |t: f64| (log_scale - (df + 1.0) / 2.0 * (t * t / df).ln_1p()).exp();
    let mut t = f64::midpoint(low, high);
    // Near the solution each Newton step doubles the digits. If a step leaves the bounds, they are bisected instead.
    for _ in 0..100 {
        let above = t_cdf(t, df) - p;
        if above < 0.0 {
            low = t;
        } else {
            high = t;
        }
        let newton = t - above / density(t);
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        let is_settled = (next - t).abs() <= 4.0 * f64::EPSILON * t.abs();
        t = next;
        if is_settled {
            break;
        }
    }
    t
}

/// Returns the probability of a value below `t >= 0`.
fn t_cdf(t: f64, df: f64) -> f64 {
    1.0 - 0.5 * regularized_beta(df / (df + t * t), df / 2.0, 0.5)
}

/// Returns the probability of a value at least as far from zero as `t`, in both directions.
///
/// R: `2 * pt(-abs(t), df)`. It is not computed as a difference from 1, so small probabilities keep their digits.
pub fn two_sided_p(t: f64, df: f64) -> f64 {
    regularized_beta(df / (df + t * t), df / 2.0, 0.5)
}

/// Returns the regularized incomplete beta function `I_x(a, b)`.
fn regularized_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    // The continued fraction converges fast only on one side of the mean. The other side follows by symmetry.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

/// Returns the continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz's method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for coefficient in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + coefficient * d);
            c = away_from_zero(1.0 + coefficient / c);
            fraction *= c * d;
        }
        // The tolerance is two roundings; a smaller change may never be reached.
        if (fraction / before - 1.0).abs() <= 2.0 * f64::EPSILON {
            break;
        }
    }
    fraction
}

/// Returns the logarithm of the gamma function for x > 0 (Lanczos, g = 7, nine coefficients).
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let t = x + 7.5;
    let series = (1_u32..).zip(&COEFFICIENTS[1..]).map(|(i, coefficient)| coefficient / (x + f64::from(i)));
    let sum = COEFFICIENTS[0] + series.sum::<f64>();
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_match_scipy() {
        // python: [scipy.stats.t.ppf(p, df) for p, df in ...]
        for (p, df, expected) in [
            (0.975, 1.0, 12.706204736174694),
            (0.975, 2.0, 4.302652729749462),
            (0.975, 4.0, 2.7764451051977934),
            (0.975, 9.0, 2.262157162798205),
            (0.975, 29.0, 2.045229642132703),
            (0.9, 3.0, 1.637744353696209),
            (0.05, 5.0, -2.015048373333024),
            (0.995, 2.5, 7.163728138948783),
            (0.975, 1000.0, 1.9623390808264083),
        ] {
            let quantile = t_quantile(p, df);
            assert!((quantile - expected).abs() < 1e-9 * expected.abs(), "{p} {df}: {quantile}");
        }
    }

    #[test]
    fn small_and_large_probabilities_match_scipy() {
        // python: [2 * scipy.stats.t.sf(t, df) for t, df in ...]
        for (t, df, expected) in [
            (2.576, 4.0, 0.06158702500636261),
            (0.5, 2.0, 0.6666666666666667),
            (50.0, 2.0, 0.00039976015988808057),
            (-1e6, 2.0, 9.999999999985001e-13),
            (12.0, 19.0, 2.5908946372221965e-10),
            (1e5, 9.0, 5.0917940554669804e-42),
            (0.0, 3.0, 1.0),
        ] {
            let p = two_sided_p(t, df);
            assert!((p - expected).abs() < 1e-10 * expected, "{t} {df}: {p}");
        }
    }

    #[test]
    fn gamma_of_a_half_is_the_root_of_pi() {
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-12);
        assert!((ln_gamma(11.0) - 3_628_800_f64.ln()).abs() < 1e-12);
    }
}
