//! The root of an increasing function, for quantiles.

/// Returns the root of an increasing function between two bounds. The function returns its value and its slope.
///
/// Near the root each Newton step doubles the digits. If a step leaves the bounds, which narrow, they are bisected
/// instead.
pub(crate) fn root_between(mut low: f64, mut high: f64, function: impl Fn(f64) -> (f64, f64)) -> f64 {
    let mut x = f64::midpoint(low, high);
    for _ in 0..100 {
        let (value, slope) = function(x);
        if value < 0.0 {
            low = x;
        } else {
            high = x;
        }
        let newton = x - value / slope;
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        let is_settled = (next - x).abs() <= 4.0 * f64::EPSILON * x.abs();
        x = next;
        if is_settled {
            break;
        }
    }
    x
}

/// Doubles a bound from 1 until the function is true there. Returns the last bound at which it was not, and this one.
/// The first bound is 0. Returns `None` if the function is true at no finite number.
pub(crate) fn bounds_from_zero(reaches: impl Fn(f64) -> bool) -> Option<(f64, f64)> {
    let (mut low, mut high) = (0.0, 1.0);
    while !reaches(high) {
        (low, high) = (high, 2.0 * high);
        if high.is_infinite() {
            return None;
        }
    }
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_found_by_newton_steps_and_by_bisection() {
        let (low, high) = bounds_from_zero(|x| x * x >= 30.0).unwrap();
        assert_eq!((low, high), (4.0, 8.0));
        assert!((root_between(low, high, |x| (x * x - 30.0, 2.0 * x)) - 30.0_f64.sqrt()).abs() < 1e-14);
        // A slope of 0 forbids Newton steps.
        assert!((root_between(low, high, |x| (x * x - 30.0, 0.0)) - 30.0_f64.sqrt()).abs() < 1e-14);
        assert_eq!(bounds_from_zero(|_| false), None);
    }
}
