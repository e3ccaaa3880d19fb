//! Reads the values of SciPy, which `tests/reference/make.py` writes.

use std::collections::BTreeMap;

use serde_json::Value;
use sweep_statistics::Interval;

/// Returns the part of the file at a JSON pointer, for example `/student_t/cdf`.
pub(crate) fn part(pointer: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("../reference/reference.json")).unwrap();
    all.pointer(pointer).unwrap().clone()
}

/// Returns the cases of a part that is a list.
pub(crate) fn cases(pointer: &str) -> Vec<Value> {
    part(pointer).as_array().unwrap().clone()
}

/// Returns the number of this name.
pub(crate) fn number(case: &Value, name: &str) -> f64 {
    case[name].as_f64().unwrap_or_else(|| panic!("{name} of {case}"))
}

/// Whether two numbers agree. The relative tolerance of 1e-10 is that of this crate's distribution functions; SciPy's
/// own are not better than 1e-12 for large degrees of freedom. Close to 0 a difference of 1e-14 is rounding.
pub(crate) fn agree(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-10 * b.abs() + 1e-14
}

/// Checks that two numbers agree.
#[track_caller]
pub(crate) fn check(found: f64, expected: f64, case: &Value) {
    assert!(agree(found, expected), "{found:e} instead of {expected:e} for {case}");
}

/// Checks that a number is that of this name, relative to its own size however small it is.
#[track_caller]
pub(crate) fn check_digits(found: f64, name: &str, case: &Value) {
    let expected = number(case, name);
    assert!((found - expected).abs() <= 1e-10 * expected.abs(), "{found:e} instead of {expected:e} for {case}");
}

/// Returns the numbers of this name.
pub(crate) fn numbers(case: &Value, name: &str) -> Vec<f64> {
    case[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// Returns the whole number of this name.
pub(crate) fn count(case: &Value, name: &str) -> usize {
    usize::try_from(case[name].as_u64().unwrap_or_else(|| panic!("{name} of {case}"))).unwrap()
}

/// Returns the values with the seeds 0, 1, 2 and so on.
pub(crate) fn by_seed(values: &[f64]) -> BTreeMap<u64, f64> {
    (0..).zip(values.iter().copied()).collect()
}

/// Checks both ends of an interval, which the case has as a list.
#[track_caller]
pub(crate) fn check_interval(found: Interval, name: &str, case: &Value) {
    let expected = numbers(case, name);
    check(found.low, expected[0], case);
    check(found.high, expected[1], case);
}
