//! Planning against SciPy.

use sweep_statistics::{Goal, Pilot, least_difference, pairs_needed, power};

use crate::reference::{cases, check, count, number, numbers};

#[test]
fn powers_match_scipy() {
    for case in cases("/planning/power") {
        let found = power(count(&case, "pairs"), number(&case, "effect"), count(&case, "comparisons")).unwrap();
        // The promised error of the noncentral t is 1e-12, SciPy's own is larger.
        assert!((found - number(&case, "power")).abs() < 1e-10, "{found} for {case}");
    }
}

#[test]
fn pairs_needed_and_least_differences_match_scipy() {
    let goal =
        |case: &serde_json::Value| Goal { comparisons: count(case, "comparisons"), power: number(case, "power") };
    for case in cases("/planning/needed") {
        assert_eq!(pairs_needed(number(&case, "effect"), 1.0, goal(&case)), Some(count(&case, "pairs")), "{case}");
    }
    for case in cases("/planning/least") {
        let found = least_difference(count(&case, "pairs"), 0.01, goal(&case)).unwrap() / 0.01;
        // Where the power is flat, its error of 1e-12 moves the difference by up to a hundred times that.
        assert!((found - number(&case, "effect")).abs() < 1e-9 * found, "{found} for {case}");
    }
}

#[test]
fn bounds_of_a_pilot_match_scipy() {
    for case in cases("/planning/pilots") {
        let pilot = Pilot::of(&numbers(&case, "values"), number(&case, "confidence")).unwrap();
        check(pilot.sd_upper, number(&case, "sd_upper"), &case);
    }
}
