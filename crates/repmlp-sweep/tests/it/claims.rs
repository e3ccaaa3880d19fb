//! Claims end to end: verdicts, exit codes, and what `report --check` catches.

use std::fs;

use crate::bench::{Bench, repository};

/// Trains the tiny experiment.
const ONCE: &str = "experiments/tiny.toml --threads 1";

/// A report whose table is linked with a made-up table of a paper, and a claim that holds or not.
fn declare(bench: &Bench, direction: &str) {
    let report = format!(
        "title = 'Groups'\n[paper]\nprofile = 'paper'\nsetting = 'CIFAR-10'\n\
         [[table]]\nid = 'groups'\nrows = ['groups']\n\
         column = [{{ metric = 'params', form = 'deployed', reference = 'params_m' }}]\n\
         [table.paper]\nfile = 'paper/mine.toml'\nrows = {{ '1' = 'M.one' }}\nexcused = {{ 'M.two' = 'not trained' }}\n\
         [[claim]]\nid = 'smaller'\ntext = 'More groups, fewer parameters.'\n\
         [claim.rule]\nkind = 'monotone'\naxis = 'groups'\ndirection = '{direction}'\n\
         of = {{ metric = 'params', form = 'deployed' }}\n"
    );
    let paper = "id = 'M'\ntitle = 'Mine'\nsource = 'nowhere'\npage = 1\ncolumns = ['params_m']\n\
                 [[row]]\nid = 'M.one'\nname = 'one'\nvalues = { params_m = 1.25 }\n\
                 [[row]]\nid = 'M.two'\nname = 'two'\nvalues = { params_m = 1.5 }\n";
    fs::create_dir_all(bench.path("reports/paper")).unwrap();
    fs::write(bench.path("reports/tiny.toml"), report).unwrap();
    fs::write(bench.path("reports/paper/mine.toml"), paper).unwrap();
}

fn edit(bench: &Bench, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(bench.path(file)).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(bench.path(file), text.replace(from, to)).unwrap();
}

fn refused(bench: &Bench, words: &str, code: i32) -> String {
    let ran = bench.run(words);
    assert_eq!(ran.code(), code, "{words}\n{}{}", ran.stdout(), ran.stderr());
    ran.stdout() + &ran.stderr()
}

#[test]
fn a_planted_number_a_dropped_seed_and_an_edited_claim_are_caught() {
    let bench = Bench::new();
    declare(&bench, "falling");
    let first = bench.done(ONCE).stdout();
    assert!(first.contains("smaller: reproduced") && !first.contains("after the runs"), "{first}");
    assert_eq!(first, bench.done(ONCE).stdout(), "the second call shows the same");
    bench.done("report --check");
    let report = fs::read_to_string(bench.path("reports/tiny/default/report.md")).unwrap();
    assert!(report.contains("## Claims"), "{report}");

    edit(&bench, "reports/paper/mine.toml", "1.25", "1.26");
    assert!(refused(&bench, "report --check", 12).contains("report.md differs"));
    edit(&bench, "reports/paper/mine.toml", "1.26", "1.25");

    let runs = bench.path("results/published/tiny/default/runs.json");
    let published = fs::read_to_string(&runs).unwrap();
    let mut rows: Vec<serde_json::Value> = serde_json::from_str(&published).unwrap();
    rows.pop();
    fs::write(&runs, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    assert!(refused(&bench, "report --check", 12).contains("report.md differs"));
    fs::write(&runs, published).unwrap();
    bench.done("report --check");

    edit(&bench, "reports/tiny.toml", "More groups, fewer parameters.", "More groups, fewer parameters, as expected.");
    assert!(refused(&bench, "report --check", 12).contains("report.md differs"));
    // The report cannot be made right again in silence: the plan keeps the first digest.
    for words in [ONCE, "report experiments/tiny.toml"] {
        let said = bench.done(words).stdout();
        assert!(said.contains("changed after the runs"), "{said}");
    }
    edit(&bench, "reports/tiny.toml", "id = 'smaller'", "id = 'later'");
    let said = bench.done(ONCE).stdout();
    assert!(said.contains("declared after the runs"), "{said}");
}

#[test]
fn a_claim_cannot_be_registered_beside_other_runs_and_carried_over() {
    let bench = Bench::new();
    bench.done(ONCE);
    declare(&bench, "falling");
    edit(&bench, "experiments/tiny.toml", "base     =", "seeds = [99]\nbase     =");
    refused(&bench, &format!("{ONCE} --limit 1"), 5);
    edit(&bench, "experiments/tiny.toml", "seeds = [99]\n", "");
    let said = bench.done(ONCE).stdout();
    assert!(said.contains("declared after the runs"), "{said}");
}

#[test]
fn an_edited_value_is_caught_even_if_no_table_shows_it() {
    let bench = Bench::new();
    bench.done(ONCE);
    let file = "results/published/tiny/default/measurements.csv";
    let text = fs::read_to_string(bench.path(file)).unwrap();
    let shown = text.lines().find(|line| line.contains("learning_rate") || line.contains("data_wait")).unwrap();
    edit(&bench, file, shown, &format!("{shown}1"));
    assert!(
        refused(&bench, "report --check", 12).contains("measurements.csv is missing, or is not what was published")
    );
    fs::remove_dir_all(bench.path("results/published/tiny")).unwrap();
    assert!(refused(&bench, "report --check", 12).contains("has no published measurements"));
}

#[test]
fn a_contradicted_claim_has_an_exit_code_of_its_own() {
    let bench = Bench::new();
    declare(&bench, "rising");
    let said = refused(&bench, &format!("{ONCE} --limit 1"), 5);
    assert!(said.contains("smaller: not measured yet"), "work that remains is said first: {said}");
    for words in [ONCE, ONCE, "report experiments/tiny.toml", "claims experiments/tiny.toml"] {
        assert!(refused(&bench, words, 11).contains("smaller: contradicted"), "{words}");
    }
}

#[test]
fn each_row_of_the_paper_is_matched_or_excused_before_training() {
    let bench = Bench::new();
    declare(&bench, "falling");
    edit(&bench, "reports/tiny.toml", "'M.two' = 'not trained'", "");
    let said = refused(&bench, ONCE, 3);
    assert!(said.contains("table `groups`: row `M.two` of paper/mine.toml is neither matched nor excused"), "{said}");
    assert!(!bench.path("results/runs").exists(), "nothing was trained");
}

#[test]
fn what_the_paper_says_is_checked_against_its_tables() {
    let bench = Bench::new();
    let said = bench.done("claims").stdout();
    assert!(said.contains("14 of 15 statements agree") && said.contains("city_gain_text"), "{said}");
    bench.done("report --check");
    let tables = bench.path("reports/paper");
    fs::create_dir_all(&tables).unwrap();
    fs::copy(repository().join("reports/paper/table4.toml"), tables.join("table4.toml")).unwrap();
    edit(&bench, "reports/paper/table4.toml", "79.84", "79.48");
    let said = refused(&bench, "report --check", 12);
    assert!(said.contains("`imagenet_gain` (abstract) states 1.8 points") && said.contains("1.45 points"), "{said}");
}

#[test]
fn rows_that_are_not_what_was_published_replace_no_report() {
    let bench = Bench::new();
    bench.done(ONCE);
    let report = fs::read(bench.path("reports/tiny/default/report.md")).unwrap();
    for folder in ["results/runs", "results/experiments"] {
        fs::remove_dir_all(bench.path(folder)).unwrap();
    }
    fs::remove_file(bench.path("results/metrics.sqlite")).unwrap();
    bench.done("report experiments/tiny.toml");
    let values = bench.path("results/published/tiny/default/measurements.csv");
    let text = fs::read_to_string(&values).unwrap();
    for (damaged, told) in [
        (text.lines().take(3).collect::<Vec<_>>().join("\n"), "is not what was published"),
        (text.replacen(",", ";", 1), "the heading"),
        (String::new(), "is not what was published"),
    ] {
        fs::write(&values, damaged).unwrap();
        let said = refused(&bench, "report experiments/tiny.toml", 4);
        assert!(said.contains(told) && said.contains("version control"), "{said}");
    }
    assert_eq!(fs::read(bench.path("reports/tiny/default/report.md")).unwrap(), report);
    fs::write(&values, text).unwrap();
    // A link that leads nowhere is not the absence of a report.
    std::os::unix::fs::symlink("/nowhere", bench.path("reports/tiny.toml")).unwrap();
    let said = refused(&bench, "report experiments/tiny.toml", 3);
    assert!(said.contains("reports/tiny.toml"), "{said}");
    assert_eq!(fs::read(bench.path("reports/tiny/default/report.md")).unwrap(), report);
}
