//! Published rows, and the check of committed renderings against them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sweep_protocol::{ExperimentRows, PartOfValues, PlanSource, error_chain};
use sweep_report::published::{Difference, check, read, write};
use sweep_report::{EpochRule, Rendering, render, rendered};

use crate::fixture::{declaration, paper, predicted_rows, rows};

#[test]
fn rows_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &rows()).unwrap();
    assert_eq!(read(folder.path()).unwrap(), sorted(rows()));
    assert!(!folder.path().join("predictions.csv").exists());
    write(folder.path(), &predicted_rows()).unwrap();
    assert_eq!(read(folder.path()).unwrap(), sorted(predicted_rows()));
    // Of one set of images, the true classes are there once.
    let lines = std::fs::read_to_string(folder.path().join("images.csv")).unwrap().lines().count();
    assert_eq!((lines, predicted_rows().predictions.len()), (2, 7));
}

fn sorted(mut rows: ExperimentRows) -> ExperimentRows {
    let order: Vec<_> = rows.plan.runs.iter().map(|run| run.run).collect();
    rows.measurements.sort_by_key(|row| {
        let m = &row.measurement;
        (order.iter().position(|run| *run == row.run), m.metric, m.split, m.form, m.epoch)
    });
    rows
}

#[test]
fn a_part_of_the_values_is_published_as_a_part_and_shows_nothing_that_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let whole = declaration().whole_series();
    let part = ExperimentRows { part: Some(PartOfValues { all_values: 12_345, whole }), ..sorted(rows()) };
    write(folder.path(), &part).unwrap();
    let read_again = read(folder.path()).unwrap();
    assert_eq!(read_again, part);
    render(&read_again, &declaration(), &paper()).unwrap();
    let mut more = declaration();
    more.tables[0].columns[0].epoch = EpochRule::Sum;
    let fault = render(&read_again, &more, &paper()).unwrap_err().to_string();
    assert!(fault.starts_with("of total test accuracy, deployed, only the last values are published"), "{fault}");
    assert!(fault.contains("12345 values"), "{fault}");
}

#[test]
fn text_is_in_plan_order_whatever_order_rows_come_in() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut shuffled = predicted_rows();
    shuffled.predictions.reverse();
    shuffled.runs.reverse();
    shuffled.measurements.reverse();
    write(one.path(), &predicted_rows()).unwrap();
    write(other.path(), &shuffled).unwrap();
    assert_eq!(read(one.path()).unwrap(), read(other.path()).unwrap());
}

#[test]
fn a_damaged_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &rows()).unwrap();
    let path = folder.path().join("measurements.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let second = text.lines().nth(1).unwrap();
    std::fs::write(&path, text.replace(second, &format!("{second}x"))).unwrap();
    let fault = read(folder.path()).unwrap_err();
    assert!(error_chain(&fault).contains("measurements.csv, line 2: known names and a finite number"), "{fault:?}");
    std::fs::write(&path, text.replace(second, &format!("{second}\n{second}"))).unwrap();
    let fault = read(folder.path()).unwrap_err();
    assert!(error_chain(&fault).contains("line 3: an earlier line has the same run"), "{fault:?}");
}

#[test]
fn published_rows_do_not_contain_the_path_of_the_experiment() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut sourced = rows();
    let source = PlanSource {
        file: "../experiments/groups.toml".into(),
        digest: "d".into(),
        code: BTreeMap::new(),
        patterns: BTreeSet::new(),
        written_at_ms: 7,
    };
    sourced.plan.source = Some(source);
    write(folder.path(), &sourced).unwrap();
    write(other.path(), &rows()).unwrap();
    let plan = |folder: &tempfile::TempDir| std::fs::read(folder.path().join("plan.json")).unwrap();
    assert_eq!(plan(&folder), plan(&other));
}

#[test]
fn check_reports_missing_changed_and_left_over_files() {
    let (published, rendered_to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(published.path(), &rows()).unwrap();
    let differences = || check(published.path(), &declaration(), &paper(), rendered_to.path()).unwrap();
    let renderings = render(&rows(), &declaration(), &paper()).unwrap();
    for rendering in &renderings {
        std::fs::write(rendered_to.path().join(&rendering.path), &rendering.bytes).unwrap();
    }
    assert_eq!(differences(), [], "a report of an older version has no manifest");
    let more = |name: &str| Rendering { path: name.into(), bytes: Vec::new() };
    let with_more = [renderings, vec![more("old_plot.svg"), more("old_plot.png")]].concat();
    rendered::write(rendered_to.path(), &with_more).unwrap();

    std::fs::remove_file(rendered_to.path().join("speed.png")).unwrap();
    std::fs::write(rendered_to.path().join("report.md"), "edited by hand").unwrap();
    std::fs::write(rendered_to.path().join("old_plot.png"), "edited by hand, so it is the user's").unwrap();
    std::fs::write(rendered_to.path().join("notes.md"), "the user's").unwrap();
    let path = |name: &str| Path::new(name).to_owned();
    assert_eq!(
        differences(),
        [
            Difference::Missing(path("speed.png")),
            Difference::Differs(path("manifest.json")),
            Difference::Differs(path("report.md")),
            Difference::Unexpected(path("old_plot.svg")),
        ]
    );
}
