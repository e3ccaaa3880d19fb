//! Distribution functions and quantiles.

use sweep_statistics::{ChiSquare, NoncentralT, StudentT, normal_cdf, normal_quantile};

use crate::reference::{cases, check, check_digits, number};

#[test]
fn students_t_matches_scipy() {
    for case in cases("/student_t/cdf") {
        let distribution = StudentT::new(number(&case, "df")).unwrap();
        check_digits(distribution.cdf(number(&case, "t")).unwrap(), "cdf", &case);
        check_digits(distribution.two_sided_p(number(&case, "t")).unwrap(), "two_sided", &case);
    }
    for case in cases("/student_t/quantile") {
        let distribution = StudentT::new(number(&case, "df")).unwrap();
        let (found, expected) = (distribution.quantile(number(&case, "p")).unwrap(), number(&case, "t"));
        // Near 0, the probability is near one half, and a rounding of it moves the quantile by 1e-13.
        assert!((found - expected).abs() <= 1e-10 * expected.abs() + 1e-12, "{found:e} for {case}");
    }
}

#[test]
fn the_normal_distribution_matches_scipy() {
    for case in cases("/normal/cdf") {
        check_digits(normal_cdf(number(&case, "x")).unwrap(), "cdf", &case);
    }
    for case in cases("/normal/quantile") {
        check_digits(normal_quantile(number(&case, "p")).unwrap(), "x", &case);
    }
}

#[test]
fn the_chi_square_distribution_matches_scipy() {
    for case in cases("/chi_square/cdf") {
        let distribution = ChiSquare::new(number(&case, "df")).unwrap();
        check(distribution.cdf(number(&case, "x")).unwrap(), number(&case, "cdf"), &case);
    }
    for case in cases("/chi_square/quantile") {
        let distribution = ChiSquare::new(number(&case, "df")).unwrap();
        check_digits(distribution.quantile(number(&case, "p")).unwrap(), "x", &case);
    }
}

#[test]
fn the_noncentral_t_distribution_matches_scipy() {
    for case in cases("/noncentral_t") {
        let distribution = NoncentralT::new(number(&case, "df"), number(&case, "shift")).unwrap();
        let sides = distribution.sides(number(&case, "t")).unwrap();
        // Powers need no digits of tiny tails, so the promised error is absolute.
        for (found, name) in [(sides.below, "below"), (sides.above, "above")] {
            assert!((found - number(&case, name)).abs() < 1e-10, "{found:e} for {case}");
        }
    }
}
