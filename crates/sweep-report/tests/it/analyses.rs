//! Effects of axes, and fronts of cost and value, in every output format.

use sweep_protocol::{Predictions, Status};
use sweep_report::{Analysis, Answers, Color, Declaration, Document, Found, analysis_lines, render, trace};

use crate::fixture::{crowded_rows, declaration, paper, predicted_rows, rows};

const GRID: &str = r#"
title = "Perceptrons and groups"

[[effects]]
id = "effects"
title = "Effects on accuracy"
axes = ["groups", "perceptrons"]
quantity = { metric = "accuracy", split = "test", form = "deployed" }

[[front]]
id = "front"
rows = ["groups", "perceptrons"]
cost = { metric = "params", form = "deployed" }
value = { metric = "accuracy", split = "test", form = "deployed" }
"#;

fn grid() -> Declaration {
    toml::from_str(GRID).unwrap()
}

fn of_groups() -> Declaration {
    let text = GRID.replace(r#"["groups", "perceptrons"]"#, r#"["groups"]"#);
    toml::from_str(&text).unwrap()
}

fn file(name: &str) -> String {
    let files = render(&crowded_rows(), &grid(), &paper()).unwrap();
    String::from_utf8(files.into_iter().find(|file| file.path.as_os_str() == name).unwrap().bytes).unwrap()
}

#[test]
fn markdown() {
    insta::assert_snapshot!(file("report.md"));
}

#[test]
fn latex() {
    insta::assert_snapshot!(file("effects.tex"));
    insta::assert_snapshot!(file("front.tex"));
}

#[test]
fn csv() {
    insta::assert_snapshot!(file("effects.csv"));
    insta::assert_snapshot!(file("front.csv"));
}

#[test]
fn a_terminal() {
    let answers = Answers::of(&crowded_rows(), &grid(), &paper()).unwrap();
    let shown: Vec<String> =
        answers.analyses.iter().map(|analysis| analysis_lines(analysis, 100, Color::Plain)).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn each_label_is_compared_with_that_of_the_baseline() {
    let mut rows = crowded_rows();
    rows.plan.baseline.0[0].1 = "no-local".to_owned();
    let answers = Answers::of(&rows, &grid(), &paper()).unwrap();
    let Analysis::Effects(effects) = &answers.analyses[0] else { panic!("{answers:?}") };
    assert_eq!(effects.axes[1].labels, ["no-local", "full", "no-global"]);
    assert_eq!(effects.axes[0].labels[0], "1", "the baseline names no groups");
}

#[test]
fn an_incomplete_grid_has_no_effects_and_says_why() {
    let answers = Answers::of(&rows(), &of_groups(), &paper()).unwrap();
    let Analysis::Effects(effects) = &answers.analyses[0] else { panic!("{answers:?}") };
    let why = "the grid is not complete: groups=16 has no runs".to_owned();
    assert_eq!(effects.found, Found::Missing(why));
    let shown = analysis_lines(&answers.analyses[0], 200, Color::Plain);
    assert!(shown.contains("No effects on test accuracy, deployed: the grid is not complete"), "{shown}");
    // A front needs no complete grid.
    let shown = analysis_lines(&answers.analyses[1], 200, Color::Plain);
    assert!(shown.lines().any(|line| line.starts_with("8 ") && line.contains('—')), "{shown}");
}

#[test]
fn a_combination_behind_effects_leads_to_its_runs() {
    let place = ("effects", "2/full", "test accuracy");
    let found = trace(&crowded_rows(), &grid(), &paper(), place).unwrap();
    assert!(found.runs.len() > 1 && found.runs.iter().all(|run| run.value.is_some()), "{found:?}");
    assert!(found.runs.iter().all(|run| run.coordinates.to_string() == "groups=2 perceptrons=full"), "{found:?}");
}

#[test]
fn a_value_of_a_front_leads_to_its_runs() {
    let answers = Answers::of(&crowded_rows(), &grid(), &paper()).unwrap();
    let Analysis::Front(front) = &answers.analyses[1] else { panic!("{answers:?}") };
    for row in &front.rows {
        let name = row.labels.join("/");
        let place = ("front", name.as_str(), "accuracy");
        let found = trace(&crowded_rows(), &grid(), &paper(), place).unwrap();
        let values: Vec<f64> = found.runs.iter().filter_map(|run| run.value).collect();
        assert_eq!(values.len(), row.n);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean - row.value.as_ref().unwrap().mean).abs() < 1e-12, "{row:?}");
    }
    let fault = trace(&crowded_rows(), &grid(), &paper(), ("efects", "8", "accuracy")).unwrap_err().to_string();
    assert_eq!(fault, "there is no table, front or effects `efects`; known: `front`, `effects`");
}

#[test]
fn a_heading_of_several_columns_is_ambiguous() {
    let fault = trace(&rows(), &declaration(), &paper(), ("groups", "1", "")).unwrap_err().to_string();
    assert!(fault.starts_with("several columns are called ``: `"), "{fault}");
}

#[test]
fn nothing_is_compared_after_pruning() {
    let mut rows = crowded_rows();
    rows.runs[0].status = Status::Pruned;
    for analysis in Answers::of(&rows, &grid(), &paper()).unwrap().analyses {
        let shown = analysis_lines(&analysis, 200, Color::Plain);
        assert!(shown.contains("some runs were pruned"), "{shown}");
    }
}

#[test]
fn faults_name_the_analysis() {
    let text = GRID.replace("\"groups\", \"perceptrons\"", "\"groups\"").replace("id = \"front\"", "id = \"effects\"");
    let fault = Answers::of(&crowded_rows(), &toml::from_str(&text).unwrap(), &paper()).unwrap_err().to_string();
    assert!(fault.contains("effects `effects`") && fault.contains("front `effects`"), "{fault}");
    let one = GRID.replace("axes = [\"groups\", \"perceptrons\"]", "axes = [\"grups\"]");
    let fault = Answers::of(&crowded_rows(), &toml::from_str(&one).unwrap(), &paper()).unwrap_err().to_string();
    assert!(fault.contains("grups"), "{fault}");
}

#[test]
fn classes_are_counted_from_the_predictions_of_finished_runs() {
    let declaration: Declaration = toml::from_str(
        r#"
        title = "Classes"
        [[classes]]
        id = "classes"
        rows = ["groups"]
        form = "deployed"
        "#,
    )
    .unwrap();
    let rows = predicted_rows();
    let document = Document::of(&rows, &declaration, &paper()).unwrap();
    let Analysis::Classes(classes) = &document.answers.analyses[0] else { panic!("{document:?}") };
    assert_eq!(classes.missing, None);
    let images: usize = classes.images.iter().sum();
    for row in classes.rows.iter().filter(|row| row.n > 0) {
        let recalls = row.recalls.iter().zip(&classes.images);
        let right: f64 = recalls.filter_map(|(recall, n)| Some(recall.as_ref()?.mean * *n as f64)).sum();
        assert!((right / images as f64 - row.accuracy.unwrap().mean).abs() < 1e-12, "{row:?}");
        for shares in &row.confusion {
            let sum: f64 = shares.iter().flatten().sum();
            assert!(shares.iter().all(Option::is_none) || (sum - 1.0).abs() < 1e-12, "{shares:?}");
        }
    }
    insta::assert_snapshot!(analysis_lines(&document.answers.analyses[0], 100, Color::Plain));
    let names: Vec<String> = document.files().unwrap().iter().map(|file| file.path.display().to_string()).collect();
    for name in ["classes.csv", "classes.tex", "classes.svg"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    // Without predictions the report says so.
    let without = sweep_protocol::ExperimentRows { predictions: Vec::new(), ..rows };
    let shown = analysis_lines(&Answers::of(&without, &declaration, &paper()).unwrap().analyses[0], 100, Color::Plain);
    assert!(shown.contains("no run that succeeded has stored its predictions"), "{shown}");
}

#[test]
fn classes_without_a_form_are_told_which_form_has_predictions() {
    let declaration: Declaration = toml::from_str("title = 't'\n[[classes]]\nid = 'c'\nrows = ['groups']").unwrap();
    let shown = Answers::of(&predicted_rows(), &declaration, &paper()).unwrap();
    let shown = analysis_lines(&shown.analyses[0], 200, Color::Plain);
    assert!(shown.contains("add `form = \"deployed\"`"), "{shown}");
}

#[test]
fn runs_that_classified_other_images_are_not_put_beside_each_other() {
    let mut rows = predicted_rows();
    let declaration: Declaration =
        toml::from_str("title = 't'\n[[classes]]\nid = 'classes'\nrows = ['groups']\nform = 'deployed'").unwrap();
    let run = rows.predictions[0].run;
    for row in rows.predictions.iter_mut().filter(|row| row.run == run) {
        let other = &row.predictions;
        let place = (other.split(), other.form(), other.epoch());
        // As many images and hits, but all images are of the other class.
        let (truth, predicted) = (vec![1; other.images()], other.pairs().map(|(_, told)| 1 - told).collect::<Vec<_>>());
        row.predictions = Predictions::new(place, 2, [&truth, &predicted]).unwrap();
    }
    let document = Document::of(&rows, &declaration, &paper()).unwrap();
    let Analysis::Classes(classes) = &document.answers.analyses[0] else { panic!("{document:?}") };
    assert_eq!(classes.missing.as_deref(), Some("the runs classified different images"));
}
