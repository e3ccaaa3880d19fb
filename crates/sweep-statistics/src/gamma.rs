//! The gamma function and the incomplete gamma function. The normal and the chi-square distribution are made of them.

/// Returns the logarithm of the gamma function for x > 0 (Lanczos, g = 7, nine coefficients).
pub(crate) fn ln_gamma(x: f64) -> f64 {
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

/// Returns ln Γ(a + b) − ln Γ(a) for a > 0 and b >= 0.
pub(crate) fn ln_gamma_step(a: f64, b: f64) -> f64 {
    // Both logarithms would be so large that their difference has too few digits. Stirling's formula (Abramowitz and
    // Stegun 6.1.41) gives it directly. The first term that is left out, 1/(1260·a⁵), is below 1e-18 from here on.
    const LARGE: f64 = 1000.0;
    if a < LARGE {
        return ln_gamma(a + b) - ln_gamma(a);
    }
    let correction = |x: f64| (1.0 / 12.0 - 1.0 / (360.0 * x * x)) / x;
    (a + b - 0.5) * (b / a).ln_1p() + b * a.ln() - b + correction(a + b) - correction(a)
}

/// The two parts of the incomplete gamma function; their sum is 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GammaParts {
    /// P(a, x), the part below x.
    pub(crate) lower: f64,
    /// Q(a, x), the part above x.
    pub(crate) upper: f64,
}

/// Returns the regularized incomplete gamma functions for a > 0 and x >= 0. The smaller part keeps its digits.
pub(crate) fn regularized_gamma(a: f64, x: f64) -> GammaParts {
    if x <= 0.0 {
        return GammaParts { lower: 0.0, upper: 1.0 };
    }
    if x == f64::INFINITY {
        return GammaParts { lower: 1.0, upper: 0.0 };
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    // The series converges fast only below the mean, the continued fraction only above it.
    if x < a + 1.0 {
        let lower = front * lower_series(a, x);
        GammaParts { lower, upper: 1.0 - lower }
    } else {
        let upper = front * upper_fraction(a, x);
        GammaParts { lower: 1.0 - upper, upper }
    }
}

/// Number of terms after which a sum is given up. About √a terms are needed near the mean.
const MOST_TERMS: u32 = 100_000;

/// Returns the series of P(a, x) without its front (Abramowitz and Stegun 6.5.29).
fn lower_series(a: f64, x: f64) -> f64 {
    let mut term = 1.0 / a;
    let mut sum = term;
    for i in 1..MOST_TERMS {
        term *= x / (a + f64::from(i));
        sum += term;
        if term <= 0.5 * f64::EPSILON * sum {
            break;
        }
    }
    sum
}

/// Returns the continued fraction of Q(a, x) without its front (Abramowitz and Stegun 6.5.31), by Lentz's method.
fn upper_fraction(a: f64, x: f64) -> f64 {
    let mut b = x + 1.0 - a;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for i in 1..MOST_TERMS {
        let i = f64::from(i);
        let an = -i * (i - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        let factor = c * d;
        fraction *= factor;
        // The tolerance is two roundings; a smaller change may never be reached.
        if (factor - 1.0).abs() <= 2.0 * f64::EPSILON {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_of_a_half_is_the_root_of_pi() {
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-12);
        assert!((ln_gamma(11.0) - 3_628_800_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn steps_of_large_arguments_continue_those_of_small_ones() {
        // Γ(a + 1) = a·Γ(a).
        for a in [3.5, 999.0, 1000.0, 5e4, 1e9] {
            assert!((ln_gamma_step(a, 1.0) - a.ln()).abs() < 1e-11, "{a}");
        }
    }

    #[test]
    fn the_incomplete_gamma_function_of_one_is_exponential() {
        for x in [0.0_f64, 1e-9, 0.3, 1.9, 2.1, 30.0, 700.0] {
            let parts = regularized_gamma(1.0, x);
            // An exponent of size x has a rounding error of up to x·2⁻⁵³, which is a relative error of its exponential.
            assert!((parts.upper - (-x).exp()).abs() <= 1e-14 * (1.0 + x) * (-x).exp(), "{x}");
            assert!((parts.lower + (-x).exp_m1()).abs() <= 1e-14, "{x}");
        }
    }
}
