//! A report needs only part of what was measured. Rendered from that part, it has the same bytes.

use std::path::{Path, PathBuf};

use sweep_protocol::{Epochs, ExperimentRows, Measurement, MeasurementRow};
use sweep_report::{Declaration, PaperNumbers, published, render};

use crate::fixture;

/// Returns the rows with the values only that a declaration needs.
fn needed(rows: &ExperimentRows, declaration: &Declaration) -> ExperimentRows {
    let needs = declaration.needs();
    let mut part = ExperimentRows { measurements: Vec::new(), ..rows.clone() };
    let series = |row: &MeasurementRow| {
        let Measurement { metric, split, form, .. } = row.measurement;
        (row.run, (metric, split, form))
    };
    let mut sorted = rows.measurements.clone();
    sorted.sort_by_key(|row| (series(row), row.measurement.epoch));
    for values in sorted.chunk_by(|a, b| series(a) == series(b)) {
        let from = match needs(series(&values[0]).1) {
            Epochs::None => values.len(),
            Epochs::Last => values.len() - 1,
            Epochs::All => 0,
        };
        part.measurements.extend(&values[from..]);
    }
    part
}

/// Renders a report from all rows and from the needed ones. Returns the share of values that it needs.
fn compare(rows: &ExperimentRows, declaration: &Declaration, paper: &PaperNumbers) -> f64 {
    let part = needed(rows, declaration);
    let [all, some] = [rows, &part].map(|rows| render(rows, declaration, paper).unwrap());
    assert_eq!(all.len(), some.len());
    for (all, some) in all.iter().zip(&some) {
        assert!(all.bytes == some.bytes, "{} of {}", all.path.display(), rows.plan.experiment);
    }
    part.measurements.len() as f64 / rows.measurements.len() as f64
}

#[test]
fn a_report_of_the_needed_values_has_the_same_bytes() {
    for rows in [fixture::rows(), fixture::predicted_rows(), fixture::crowded_rows(), fixture::timed_rows()] {
        compare(&rows, &Declaration::default_for(&rows), &PaperNumbers::default());
    }
    compare(&fixture::rows(), &fixture::declaration(), &fixture::paper());
}

#[test]
fn shipped_reports_need_a_part_of_their_values() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = std::fs::read_dir(root.join("results/published")).unwrap();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path().join("default")).collect();
    folders.sort();
    assert!(folders.len() > 5);
    for folder in folders {
        let rows = published::read(&folder).unwrap();
        let reports = root.join("reports");
        let declaration = Declaration::load(&reports.join(format!("{}.toml", rows.plan.experiment))).unwrap();
        let declaration = declaration.with_metrics_of(&rows.plan);
        let paper = PaperNumbers::load(&reports, &declaration, &[]).unwrap();
        let share = compare(&rows, &declaration, &paper);
        assert!(share < 0.9, "{}: {share}", rows.plan.experiment);
    }
}
