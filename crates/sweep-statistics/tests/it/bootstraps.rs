//! Bootstrap intervals. SciPy draws the same resamples, so they agree up to rounding.

use serde_json::Value;
use sweep_statistics::{AccuracyDifference, Estimate, IntervalMethod, RatioBootstrap, Resampling, median};

use crate::reference::{cases, check, number, numbers, part};

fn resampling(case: &Value) -> Resampling {
    let resamples = u32::try_from(case["resamples"].as_u64().unwrap()).unwrap();
    Resampling { resamples, seed: case["seed"].as_u64().unwrap() }
}

#[test]
fn bca_intervals_match_scipy() {
    for case in cases("/bca") {
        let values = numbers(&case, "values");
        let found = resampling(&case).bca_interval_of_mean(&values, number(&case, "confidence")).unwrap();
        check(found.low, number(&case, "low"), &case);
        check(found.high, number(&case, "high"), &case);
    }
}

#[test]
fn percentile_intervals_match_scipy() {
    for case in cases("/percentile") {
        let (values, confidence) = (numbers(&case, "values"), number(&case, "confidence"));
        let of_median = |values: &[f64]| median(values.to_vec());
        let found = resampling(&case).percentile_interval(&values, confidence, of_median).unwrap();
        check(found.low, number(&case, "low"), &case);
        check(found.high, number(&case, "high"), &case);
    }
}

#[test]
fn an_estimate_of_many_values_has_the_bca_interval() {
    let case = &cases("/bca")[3];
    let found = Estimate::of(&numbers(case, "values"), resampling(case)).unwrap();
    assert_eq!(found.method, Some(IntervalMethod::Bca(resampling(case))));
    check(found.interval.unwrap().low, number(case, "low"), case);
}

#[test]
fn a_ratio_over_rounds_has_the_percentile_interval_of_its_median() {
    let case = &cases("/percentile")[1];
    let ratios = numbers(case, "values");
    let own = vec![0.25; ratios.len()];
    let baseline: Vec<f64> = ratios.iter().map(|ratio| 0.25 * (ratio + 1.0)).collect();
    // Five comparisons have intervals of 99%, which is the confidence of this case.
    let found = RatioBootstrap::of(&own, &baseline, 5, resampling(case)).unwrap();
    check(found.interval.unwrap().low - 1.0, number(case, "low"), case);
    check(found.interval.unwrap().high - 1.0, number(case, "high"), case);
}

#[test]
fn the_accuracy_on_drawn_images_matches_scipy() {
    let case = part("/accuracy_difference");
    let bits =
        |name: &str| -> Vec<bool> { case[name].as_array().unwrap().iter().map(|bit| bit.as_bool().unwrap()).collect() };
    let found = AccuracyDifference::of(&bits("first"), &bits("second"), resampling(&case)).unwrap();
    check(found.difference, number(&case, "difference"), &case);
    check(found.interval.unwrap().low, number(&case, "low"), &case);
    check(found.interval.unwrap().high, number(&case, "high"), &case);
}
