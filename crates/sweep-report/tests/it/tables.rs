//! The computed tables, independent of the output format.

use sweep_protocol::{ExperimentRows, MeasurementRow, Metric, Predictions, RunRow, Split, Status};
use sweep_report::{CellValue, Delta, Table, render, tables};
use sweep_statistics::EquivalenceVerdict;

use crate::fixture::{crowded_rows, declaration, paper, predicted_rows, rows};

fn table() -> Table {
    tables(&rows(), &declaration(), &paper()).unwrap().remove(0)
}

#[test]
fn rows_are_in_the_order_of_the_axis_and_say_why_they_are_incomplete() {
    let table = table();
    let rows: Vec<(&str, usize, Option<&str>)> =
        table.rows.iter().map(|row| (row.labels[0].as_str(), row.n, row.note.as_deref())).collect();
    assert_eq!(
        rows,
        [
            ("1", 2, Some("2 of 3 seeds: 1 not run yet")),
            ("2", 3, None),
            ("4", 2, Some("2 of 3 seeds: 1 failed: diverged")),
            ("8", 0, None),
            ("16", 0, Some("excluded: 16 does not divide 8 channels")),
        ]
    );
    assert_eq!(table.rows[3].cells[0].value, CellValue::Missing("not run yet".to_owned()));
    assert_eq!(table.rows[4].cells[0].value, CellValue::Missing("excluded".to_owned()));
}

#[test]
fn seeds_with_values_of_different_epochs_are_named() {
    let mut rows = rows();
    assert!(!table().notes.iter().any(|note| note.contains("different epochs")));
    let first = rows.plan.runs[0].run;
    let of_first = |row: &&mut MeasurementRow| row.run == first && row.measurement.metric == Metric::Accuracy;
    for row in rows.measurements.iter_mut().filter(of_first) {
        if row.measurement.split == Some(Split::Test) {
            row.measurement.epoch = Some(3);
        }
    }
    let table = tables(&rows, &declaration(), &paper()).unwrap().remove(0);
    let note = table.notes.iter().find(|note| note.contains("different epochs")).unwrap();
    let expected = "The seeds of a row have values of test accuracy from different epochs: \
                    1: epoch 3 (seed 0), epoch 8 (seed 1).";
    assert_eq!(note, expected);
}

/// Gives runs other test accuracies, by the label of their groups and by their seed.
fn with_accuracies(values: impl Fn(&str, u64) -> Option<f64>) -> ExperimentRows {
    let mut rows = rows();
    let place = |row: &MeasurementRow| {
        let planned = rows.plan.runs.iter().find(|planned| planned.run == row.run).unwrap();
        values(planned.coordinates.get("groups").unwrap(), planned.seed)
    };
    let is_asked =
        |row: &MeasurementRow| row.measurement.metric == Metric::Accuracy && row.measurement.split == Some(Split::Test);
    let found: Vec<Option<f64>> =
        rows.measurements.iter().map(|row| if is_asked(row) { place(row) } else { None }).collect();
    for (row, value) in rows.measurements.iter_mut().zip(found) {
        row.measurement.value = value.unwrap_or(row.measurement.value);
    }
    rows
}

#[test]
fn a_constant_difference_stays_in_the_family_and_is_named() {
    let found = |one: f64| {
        let rows = with_accuracies(|groups, seed| match groups {
            "1" => Some(0.5 + one * seed as f64 * seed as f64 + 0.125 * seed as f64),
            "2" => Some(0.25 + 0.125 * seed as f64),
            _ => None,
        });
        tables(&rows, &declaration(), &paper()).unwrap().remove(0)
    };
    let comparisons = |table: &Table, row: usize| match &table.rows[row].cells[0].delta {
        Some(Delta::Difference(comparison)) => comparison.difference.comparisons,
        other => panic!("{other:?}"),
    };
    let (varying, constant) = (found(0.015_625), found(0.0));
    assert_eq!(comparisons(&varying, 2), comparisons(&constant, 2), "the family does not depend on the values");
    let note = "the difference of row 1 is the same in every seed, so it has no interval and no p.";
    let has_note = |table: &Table| table.notes.iter().any(|found| found.contains(note));
    assert!(has_note(&constant) && !has_note(&varying), "{:?}", constant.notes);
}

#[test]
fn a_mean_that_overflows_is_not_called_unmeasured() {
    let rows = with_accuracies(|groups, seed| (groups == "2").then_some(if seed == 0 { 1.7e308 } else { -1.7e308 }));
    let table = tables(&rows, &declaration(), &paper()).unwrap().remove(0);
    assert_eq!(table.rows[1].cells[0].value, CellValue::Missing("the mean is not finite".to_owned()));
}

#[test]
fn the_same_metric_elsewhere_is_named_where_a_quantity_is_not_measured() {
    let mut rows = rows();
    rows.measurements.retain(|row| row.measurement.split != Some(Split::Test));
    let table = tables(&rows, &declaration(), &paper()).unwrap().remove(0);
    let expected = "not measured; there is validation accuracy, training form";
    assert_eq!(table.rows[1].cells[0].value, CellValue::Missing(expected.to_owned()));
}

#[test]
fn a_lone_complete_row_is_not_the_best() {
    assert!(table().rows.iter().all(|row| row.cells.iter().all(|cell| !cell.best)));
}

#[test]
fn deltas_pair_the_seeds_that_both_rows_have() {
    let table = table();
    assert_eq!(table.rows[1].cells[0].delta, Some(Delta::Baseline));
    let Some(Delta::Difference(comparison)) = &table.rows[0].cells[0].delta else { panic!("no difference") };
    let difference = &comparison.difference;
    assert_eq!((difference.summary.n, difference.sign_flip.map(|test| test.p)), (2, Some(0.5)));
    assert_eq!(table.rows[3].cells[0].delta, None);
}

#[test]
fn the_choice_of_test_images_has_an_interval_of_its_own() {
    let table = tables(&predicted_rows(), &declaration(), &paper()).unwrap().remove(0);
    let noise = table.rows[0].cells[0].images.as_ref().unwrap();
    let Some(Delta::Difference(difference)) = &table.rows[0].cells[0].delta else { panic!("no difference") };
    // The pairs of the difference are those of the images. Predictions are rounded to whole images.
    assert_eq!(noise.by_seed.keys().copied().collect::<Vec<_>>(), [0, 1]);
    assert!((noise.mean.difference - difference.difference.summary.mean).abs() < 1e-3);
    for test in noise.by_seed.values() {
        assert_eq!(test.images, 1000);
        assert!(test.only_first.abs_diff(test.only_second) < 20 && test.p <= 1.0);
    }
    let ends = noise.mean.interval.unwrap();
    assert!(ends.low <= noise.mean.difference && noise.mean.difference <= ends.high, "{ends:?}");
    assert!(table.rows[1].cells[0].images.is_none(), "the baseline is compared with nothing");
    assert!(table.rows.iter().all(|row| row.cells[1..].iter().all(|cell| cell.images.is_none())));
    let notes: Vec<_> = table.notes.iter().filter(|note| note.contains("the choice of the 1000 test images")).collect();
    assert_eq!(notes.len(), 1, "{:?}", table.notes);
}

#[test]
fn one_run_without_its_predictions_leaves_a_difference_without_images() {
    let spelled = |rows: &ExperimentRows| {
        let table = tables(rows, &declaration(), &paper()).unwrap().remove(0);
        let renderings = render(rows, &declaration(), &paper()).unwrap();
        let csv = renderings.into_iter().find(|file| file.path.extension().is_some_and(|it| it == "csv")).unwrap();
        let csv = String::from_utf8(csv.bytes).unwrap();
        (table.rows[0].cells[0].images.is_some(), csv.lines().next().unwrap().ends_with("images_high95"))
    };
    let mut rows = predicted_rows();
    assert_eq!(spelled(&rows), (true, true));
    // What was predicted is not what was measured.
    let own = rows.predictions[0].predictions.clone();
    let place = (own.split(), own.form(), own.epoch());
    rows.predictions[0].predictions = Predictions::new(place, 2, [&[0; 1000], &[0; 1000]]).unwrap();
    assert!(!spelled(&rows).0);
    rows.predictions.remove(0);
    assert!(!spelled(&rows).0);
    rows.predictions.clear();
    assert_eq!(spelled(&rows), (false, false));
}

#[test]
fn results_of_a_failed_run_do_not_count() {
    let CellValue::Measured(params) = &table().rows[2].cells[1].value else { panic!("no params") };
    assert_eq!((params.n, params.mean, params.sd), (2, 5e6, Some(0.0)));
}

#[test]
fn the_best_complete_cell_of_a_column_is_marked_and_so_are_its_ties() {
    let declared = "title = \"t\"\n[[table]]\nid = \"t\"\nrows = [\"groups\", \"perceptrons\"]\n[[table.column]]\n\
                    metric = \"accuracy\"\nsplit = \"test\"\nform = \"deployed\"\ndelta = true\n";
    let table = tables(&crowded_rows(), &toml::from_str(declared).unwrap(), &paper()).unwrap().remove(0);
    let best: Vec<bool> = table.rows.iter().map(|row| row.cells[0].best).collect();
    assert_eq!(best.iter().filter(|best| **best).count(), 1);
    // The rows differ by less than their seeds do, with eleven comparisons to the best row.
    assert!(
        table.rows.iter().any(|row| row.cells[0].tied)
            && table.rows.iter().all(|row| !(row.cells[0].tied && row.cells[0].best))
    );
    // Every row is compared with the full perceptron of its own groups.
    let baselines = table.rows.iter().filter(|row| row.cells[0].delta == Some(Delta::Baseline));
    assert!(baselines.map(|row| &row.labels[1]).eq(["full"; 4]));
    for cell in table.rows.iter().map(|row| &row.cells[0]) {
        if let Some(Delta::Difference(comparison)) = &cell.delta {
            let difference = &comparison.difference;
            assert_eq!((difference.sign_flip.map(|test| test.p), difference.comparisons), (Some(0.03125), 8));
            let (p, p_adjusted) = (difference.p.unwrap(), difference.p_adjusted.unwrap());
            assert_eq!((p_adjusted, p_adjusted < 0.05), ((8.0 * p).min(1.0), difference.is_told()));
        }
    }
}

#[test]
fn a_queued_run_with_an_attempt_counts_as_begun() {
    let mut rows = rows();
    for run in rows.plan.runs.iter().filter(|run| run.coordinates.get("groups") == Some("8")).take(2) {
        rows.runs.push(RunRow { run: run.run, status: Status::Queued, message: None, ..rows.runs[0].clone() });
    }
    let table = tables(&rows, &declaration(), &paper()).unwrap().remove(0);
    let why = "1 not run yet, 2 started, not finished yet".to_owned();
    assert_eq!(table.rows[3].cells[0].value, CellValue::Missing(why));
}

#[test]
fn a_sweep_with_a_pruned_run_compares_nothing_and_says_so() {
    let mut rows = rows();
    let row = rows.runs.iter_mut().find(|row| row.status == Status::Succeeded).unwrap();
    row.status = Status::Pruned;
    let table = tables(&rows, &declaration(), &paper()).unwrap().remove(0);
    let cells = || table.rows.iter().flat_map(|row| &row.cells);
    assert!(cells().any(|cell| matches!(cell.value, CellValue::Measured(_))), "means are shown");
    assert!(cells().all(|cell| cell.delta.is_none() && !cell.best && !cell.tied));
    assert!(table.columns.iter().all(|column| !column.delta));
    assert!(table.notes.iter().any(|note| note.starts_with("Some runs were pruned")), "{:?}", table.notes);
    assert!(!table.notes.iter().any(|note| note.contains("interval")), "{:?}", table.notes);
    assert!(table.rows.iter().any(|row| row.note.as_deref().is_some_and(|note| note.contains("1 pruned"))));
}

#[test]
fn latex_leaves_out_and_shortens_the_columns_that_ask_for_it() {
    let mut declaration = declaration();
    declaration.tables[0].columns[0].short = Some("Acc.".to_owned());
    declaration.tables[0].columns[1].latex = false;
    let all = render(&rows(), &declaration, &paper()).unwrap();
    let text = |name: &str| {
        let file = all.iter().find(|rendering| rendering.path.as_os_str() == name).unwrap();
        String::from_utf8(file.bytes.clone()).unwrap()
    };
    let (latex, markdown) = (text("groups.tex"), text("report.md"));
    assert!(latex.contains("Acc.") && !latex.contains("params") && latex.contains("speed"), "{latex}");
    assert!(markdown.contains("test accuracy") && markdown.contains("params") && !markdown.contains("Acc."));
}

#[test]
fn a_margin_asks_whether_a_row_is_equivalent_to_the_baseline() {
    let with_margin = |margin: f64| {
        let mut declaration = declaration();
        declaration.tables[0].columns[0].margin = Some(margin);
        tables(&rows(), &declaration, &paper())
    };
    let table = with_margin(0.2).unwrap().remove(0);
    let verdicts = table.rows.iter().map(|row| row.cells[0].equivalence.map(|found| found.verdict));
    // The baseline has no difference, and two rows have no shared seeds. Two pairs vary little beside 20 points.
    let equivalent = Some(EquivalenceVerdict::Equivalent);
    assert_eq!(verdicts.collect::<Vec<_>>(), [equivalent, None, equivalent, None, None]);
    let narrow = with_margin(1e-6).unwrap().remove(0);
    assert_eq!(narrow.rows[0].cells[0].equivalence.map(|found| found.verdict), Some(EquivalenceVerdict::Undecided));
    for wrong in [0.0, -0.1, f64::NAN, f64::INFINITY] {
        let fault = with_margin(wrong).unwrap_err().to_string();
        assert!(fault.contains("table `groups`: the `margin` of accuracy must be a number above 0"), "{fault}");
    }
    let mut declaration = declaration();
    declaration.tables[0].columns[1].margin = Some(0.1);
    let fault = tables(&rows(), &declaration, &paper()).unwrap_err().to_string();
    assert!(fault.contains("the `margin` of params needs `delta = true`"), "{fault}");
}

#[test]
fn runs_that_differ_in_what_is_no_axis_are_named() {
    let notes = |change: fn(&mut RunRow)| {
        let mut rows = rows();
        change(rows.runs.iter_mut().rfind(|row| row.status == Status::Succeeded).unwrap());
        tables(&rows, &declaration(), &paper()).unwrap().remove(0).notes.join("\n")
    };
    type Change = fn(&mut RunRow);
    let cases: [(Change, &str); 4] = [
        (
            |row| row.arithmetic = Some("cpu avx512 candle-1+kernels-1".parse().unwrap()),
            "different arithmetics (cpu avx",
        ),
        (|row| row.processor = Some("Other".to_owned()), "different processors (Anon 9000, Other)"),
        (|row| row.trainer_version = Some(2), "different versions of the trainer (1, 2)"),
        (|row| row.data_fingerprint = Some("other".to_owned()), "The seeds at groups=4 were trained with different"),
    ];
    for (change, said) in cases {
        assert!(notes(change).contains(said), "{}", notes(change));
    }
    assert!(!notes(|_| ()).contains("different"), "{}", notes(|_| ()));
}
