//! What rounding contributes, from the same runs with two arithmetics.

use sweep_protocol::{ExperimentRows, Metric};
use sweep_report::{Declaration, noise};

use crate::fixture::{crowded_rows, paper};

const TABLE: &str = r#"
title = "Groups"
[[table]]
id = "groups"
rows = ["groups", "perceptrons"]
column = [{ metric = "params", form = "deployed" }, { metric = "accuracy", split = "test", form = "deployed" }]
"#;

fn table() -> Declaration {
    toml::from_str(TABLE).unwrap()
}

/// The same runs with another arithmetic: every second seed gains half a point of accuracy.
fn rounded_otherwise() -> ExperimentRows {
    let mut rows = crowded_rows();
    let odd: Vec<_> = rows.plan.runs.iter().filter(|run| run.seed % 2 == 1).map(|run| run.run).collect();
    for row in rows.measurements.iter_mut().filter(|row| row.measurement.metric == Metric::Accuracy) {
        row.measurement.value += if odd.contains(&row.run) { 0.005 } else { 0.0 };
    }
    for row in &mut rows.runs {
        row.arithmetic = Some("cpu plain candle-1+kernels-1".parse().unwrap());
    }
    rows
}

#[test]
fn rounding_is_what_differs_within_a_seed() {
    let found = noise((&rounded_otherwise(), &crowded_rows()), &table(), &paper(), None).unwrap();
    assert_eq!(found.arithmetics, ["cpu plain candle-1+kernels-1", "cpu avx2 candle-1+kernels-1"]);
    assert_eq!(
        (found.rows.len(), found.unit.as_str(), found.quantity.as_str()),
        (12, "points", "test accuracy, deployed")
    );
    for row in &found.rows {
        let parts = row.noise.unwrap();
        // Differences of 0 and 0.5 points for three seeds each: mean 0.25, SD 0.5·√(6/5)/2, of one training over √2.
        let rounding = 0.25 * (6.0_f64 / 5.0).sqrt() / 2.0_f64.sqrt();
        assert!((parts.shift.value - 0.25).abs() < 1e-9, "{parts:?}");
        assert!((parts.rounding_sd.value - rounding).abs() < 1e-9, "{parts:?} {rounding}");
        assert!(parts.share.value > 0.0 && parts.share.value < 1.0 && row.seeds == 6, "{row:?}");
    }
}

#[test]
fn what_shows_nothing_about_rounding_is_refused_with_the_reason() {
    let fault = |rows: &ExperimentRows, other: &ExperimentRows, declared: &Declaration, id: Option<&str>| {
        noise((rows, other), declared, &paper(), id).unwrap_err().to_string()
    };
    let (rows, other) = (crowded_rows(), rounded_otherwise());
    let same = fault(&rows, &rows, &table(), None);
    assert!(same.contains("both were computed with cpu avx2") && same.contains("REPMLP_KERNELS=plain"), "{same}");
    assert!(fault(&rows, &other, &table(), Some("speed")).contains("groups"));
    let counts = TABLE.replace(", { metric = \"accuracy\", split = \"test\", form = \"deployed\" }", "");
    assert!(fault(&rows, &other, &toml::from_str(&counts).unwrap(), None).contains("no table has a column"));
    let mut elsewhere = other;
    elsewhere.measurements.clear();
    assert!(fault(&rows, &elsewhere, &table(), None).contains("no run succeeded in both"));
}
