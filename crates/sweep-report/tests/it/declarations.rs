//! Faulty declarations, and the declarations in this repository.

use std::path::Path;

use sweep_report::{Declaration, PaperNumbers, ReportError, report_schema, tables};

use crate::fixture::{DECLARATION, crowded_rows, paper, rows};

fn refusal(declared: &str) -> String {
    let declaration: Declaration = toml::from_str(declared).unwrap();
    tables(&rows(), &declaration, &paper()).unwrap_err().to_string()
}

#[test]
fn every_fault_is_named_at_once_with_what_there_is() {
    let faulty = DECLARATION
        .replace("rows = [\"groups\"]", "rows = [\"gruops\"]")
        .replace("axis = \"groups\"\ny = { metric = \"throughput\"", "axis = \"depth\"\ny = { metric = \"throughput\"")
        .replace("id = \"speed\"", "id = \"groups\"")
        .replace("id = \"learning_curves\"", "id = \"../curves\"")
        .replace("\"M1.c\", \"32\"", "\"M1.z\", \"32\"")
        .replace("series = [\"groups\"]", "series = []")
        .replace("reference = \"top1\"", "reference = \"top5\"");
    insta::assert_snapshot!(refusal(&faulty));
}

#[test]
fn what_can_never_give_an_answer_is_refused() {
    let claim = "title = 't'\n[[claim]]\nid = 'c'\ntext = 'c'\n[claim.rule]\nkind = 'ratio'\nat_least = 1.0\n\
                 row = { groups = '4' }\nbaseline = { groups = '4' }\nof = { metric = 'params', form = 'deployed' }";
    assert!(refusal(claim).contains("claim `c`: it names a row twice"), "{}", refusal(claim));
    let empty = "title = 't'\n[[table]]\nid = 'a'\nrows = ['groups']\ncolumn = []";
    assert!(refusal(empty).contains("table `a`: it has no columns"), "{}", refusal(empty));
    let claims = |rule: &str| {
        let of = "of = { metric = 'params', form = 'deployed' }";
        refusal(&format!("title = 't'\n[[claim]]\nid = 'c'\ntext = 'c'\n[claim.rule]\n{rule}\n{of}"))
    };
    let value = claims("kind = 'value'\nrow = { groups = '4' }\nvalue = nan\nmargin = 1.0");
    assert!(value.contains("claim `c`: `value` must be a finite number"), "{value}");
    let picked = claims("kind = 'monotone'\naxis = 'groups'\ndirection = 'rising'\nwhere = { groups = '4' }");
    assert!(picked.contains("leave this axis out of `where`"), "{picked}");
    let twice = "title = 't'\n[[table]]\nid = 'a'\nrows = ['groups', 'groups']\ncolumn = []";
    assert!(refusal(twice).contains("table `a`: `rows` names the axis `groups` twice"), "{}", refusal(twice));
    let hidden = DECLARATION.replacen("rows = [\"groups\"]", "rows = []\nwhere = { groups = \"4\" }", 1);
    let fault = tables(&rows(), &toml::from_str(&hidden).unwrap(), &paper()).unwrap_err().to_string();
    let expected =
        "`delta` of accuracy needs the row of the baseline, groups=2, but `where` shows only runs with groups=4";
    assert!(fault.contains(expected), "{fault}");
    let mut rows = rows();
    rows.plan.baseline = sweep_protocol::Coordinates::default();
    let fault = tables(&rows, &toml::from_str(DECLARATION).unwrap(), &paper()).unwrap_err().to_string();
    assert!(fault.contains("`delta` of accuracy needs a `baseline` in the experiment file"), "{fault}");
}

#[test]
fn an_unknown_word_in_a_file_has_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.toml");
    for (faulty, word) in [("metric = \"params\"", "metric = \"par ms\""), ("delta = true", "detla = true")] {
        std::fs::write(&path, DECLARATION.replace(faulty, word)).unwrap();
        let ReportError::Toml { source, .. } = Declaration::load(&path).unwrap_err() else { panic!("another fault") };
        let said = source.to_string();
        assert!(
            said.contains("line")
                && said.contains("column")
                && (said.contains("expected one of") || said.contains("is not one of")),
            "{said}"
        );
    }
}

#[test]
fn a_quantity_that_no_run_measures_is_refused_with_what_to_write() {
    let table = |column: &str| {
        format!("title = \"t\"\n[[table]]\nid = \"a\"\nrows = [\"groups\"]\n[[table.column]]\n{column}\n")
    };
    for (column, told) in [
        ("metric = \"accuracy\"\nsplit = \"test\"", "accuracy is measured for each form: add form = \"deployed\""),
        ("metric = \"accuracy\"\nform = \"deployed\"", "accuracy is measured on images: add split = \"test\""),
        ("metric = \"params\"\nform = \"deployed\"\nsplit = \"test\"", "params does not depend on images"),
        ("metric = \"max_abs_diff\"\nform = \"deployed\"\nsplit = \"test\"", "max_abs_diff compares both forms"),
    ] {
        let fault = refusal(&table(column));
        assert!(fault.contains("table `a`") && fault.contains(told), "{fault}");
    }
}

#[test]
fn runs_that_differ_in_an_unnamed_axis_are_not_averaged() {
    let declaration: Declaration = toml::from_str(DECLARATION).unwrap();
    let fault = tables(&crowded_rows(), &declaration, &paper()).unwrap_err().to_string();
    assert!(fault.contains("differ in `perceptrons`"), "{fault}");
}

#[test]
fn declarations_and_paper_tables_of_this_repository_are_understood() {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
    for entry in std::fs::read_dir(&reports).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "toml") {
            let declaration = Declaration::load(&path).unwrap();
            PaperNumbers::load(&reports, &declaration, &[]).unwrap();
        }
    }
}

#[test]
fn every_printed_table_is_read_whole() {
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports");
    for number in 1..=7 {
        let file = format!("paper/table{number}.toml");
        let linked = format!(
            "title = \"t\"\n[[table]]\nid = \"t\"\nrows = []\ncolumn = []\n\
             paper = {{ file = \"{file}\", rows = {{}} }}\n"
        );
        let numbers = PaperNumbers::load(&reports, &toml::from_str(&linked).unwrap(), &[]).unwrap();
        let table = &numbers.tables[&file];
        assert_eq!(table.id, format!("T{number}"));
        for row in &table.rows {
            assert!(row.id.starts_with(&format!("T{number}.")) && row.model.is_some(), "{}", row.id);
            assert!(row.values.keys().all(|column| table.columns.contains(column)), "{}", row.id);
            // A network without RepMLP blocks has no r and no g. The paper prints all other cells.
            let missing: Vec<_> = table.columns.iter().filter(|column| !row.values.contains_key(*column)).collect();
            assert!(missing.is_empty() || (row.id == "T2.base" && missing == ["r", "g"]), "{}: {missing:?}", row.id);
        }
    }
}

#[test]
fn the_schema_knows_the_metrics() {
    let schema = serde_json::to_string(&report_schema()).unwrap();
    assert!(schema.contains("draft-07") && schema.contains("top1_agreement"), "{schema}");
}
