//! Reads the values of SciPy, which `tests/reference/make.py` writes.

use serde_json::Value;

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
