//! `why`, `noise` and `pilot`: from a number of a report to the lines of the journals, to what is rounding in it, and
//! to the number of seeds.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::arithmetic::{has_more_than_plain, plain};
use crate::bench::{Bench, Ran, repository};

#[test]
fn a_number_leads_to_its_runs_and_to_the_lines_of_their_journals() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml");
    let report: Value = serde_json::from_str(&bench.done("report experiments/tiny.toml --json").stdout()).unwrap();
    let table = &report["tables"][0];
    let labels: Vec<&str> =
        table["rows"][0]["labels"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    let heading = table["columns"][0]["label"].as_str().unwrap().to_owned();
    let ask = |column: &str, more: &str| {
        let mut command = bench.command(&format!("why experiments/tiny.toml {more}"));
        command.args([table["id"].as_str().unwrap(), &labels.join("/"), column]);
        Ran(command.output().unwrap())
    };

    let text = ask(&heading, "");
    assert_eq!(text.code(), 0, "{}", text.stderr());
    assert!(text.stdout().contains("mean over") && text.stdout().contains("run.json"), "{}", text.stdout());
    let json: Value = serde_json::from_str(&ask(&heading, "--json").stdout()).unwrap();
    let runs = json["runs"].as_array().unwrap();
    assert!(!runs.is_empty());
    for run in runs {
        let origin = &run["origins"][0];
        let journal = fs::read_to_string(bench.path(origin["journal"].as_str().unwrap())).unwrap();
        let line = journal.lines().nth(origin["line"].as_u64().unwrap() as usize - 1).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        let measured = line["event"]["measurements"].as_array().unwrap();
        assert!(measured.iter().any(|value| value["value"] == run["value"]), "{line}");
    }

    let wrong = ask("no such column", "");
    assert_eq!(wrong.code(), 2);
    let told = wrong.stderr();
    assert!(told.contains("there is no column `no such column`") && told.contains(&heading), "{told}");
    let speed = ask("throughput", "").stdout();
    assert!(speed.contains("timed as network") && speed.contains("throughput/records"), "{speed}");
}

#[test]
fn noise_needs_the_same_runs_with_another_arithmetic() {
    let bench = Bench::new();
    bench.add_profile("noise", 2, 3);
    if !has_more_than_plain() {
        return;
    }
    let same = "noise experiments/tiny.toml results --profile noise";
    let swept = plain(&bench, "experiments/tiny.toml --profile noise --results plain --reports plain-reports");
    assert_eq!(swept.code(), 0, "{}", swept.stderr());
    bench.done("experiments/tiny.toml --profile noise");
    let refused = bench.run(same);
    assert!(refused.code() == 2 && refused.stderr().contains("both were computed with"), "{}", refused.stderr());
    let told = bench.done("noise experiments/tiny.toml plain --profile noise").stdout();
    assert!(told.contains("SD of rounding") && told.contains("cpu plain"), "{told}");
    let ran = bench.done("noise experiments/tiny.toml plain --profile noise --json").stdout();
    let found: Value = serde_json::from_str(&ran).unwrap();
    let rows = found["rows"].as_array().unwrap();
    assert!(rows.len() == 2 && rows.iter().all(|row| row["seeds"] == 3), "{found}");
}

#[test]
fn a_pilot_plans_seeds_from_a_published_report() {
    let ask = |more: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_repmlp-sweep"));
        command.current_dir(repository()).args(["pilot", "experiments/gfc_groups.toml"]).args(more.split_whitespace());
        Ran(command.output().unwrap())
    };
    let rows = |more: &str| -> Vec<Value> {
        let ran = ask(&format!("{more} --json"));
        assert_eq!(ran.code(), 0, "{}", ran.stderr());
        serde_json::from_str::<Value>(&ran.stdout()).unwrap()["rows"].as_array().unwrap().clone()
    };
    let needed = |more: &str| rows(more)[0]["seeds_needed"].as_u64().unwrap();
    assert!(needed("--difference 2") < needed("--difference 1"));
    assert!(needed("--difference 2") < needed("--difference 2 --power 0.95"));
    let least = |more: &str| rows(more)[0]["least_difference"].as_f64().unwrap();
    assert!(least("--at 30") < least("--at 10"));
    let text = ask("--difference 2").stdout();
    assert!(text.contains("seeds for 2") && text.contains("3 comparisons together"), "{text}");
    for (more, said) in [("--power 1", "a power is"), ("--difference 0", "above 0"), ("--table no", "no table `no`")] {
        let refused = ask(more);
        assert!(refused.code() == 2 && refused.stderr().contains(said), "{}", refused.stderr());
    }
    let none = ask("--column params");
    assert!(none.code() == 2 && none.stderr().contains("delta = true"), "{}", none.stderr());
}

#[test]
fn two_runs_or_rows_are_shown_side_by_side() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml --profile seeds --threads 1");
    let rows = "compare --spec experiments/tiny.toml -p seeds groups=1 groups=2";
    let shown = bench.done(rows).stdout();
    for part in [
        "first:   groups=1 seeds 0, 1 (",
        "model.block.groups      1       2",
        "# values, last epoch",
        "test accuracy, deployed (%)",
        "# validation accuracy, training form (%) by epoch",
        "# test images, deployed form",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let ids: Vec<String> = bench
        .done("plan experiments/tiny.toml -p seeds")
        .stdout()
        .lines()
        .filter(|line| line.contains("groups="))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let of_runs = bench.done(&format!("compare {} {} --at-epoch 1", ids[0], ids[3])).stdout();
    assert!(of_runs.contains("(no seed in common)") && of_runs.contains("# values, epoch 1"), "{of_runs}");
    let json: Value = serde_json::from_str(&bench.done(&format!("{rows} --json")).stdout()).unwrap();
    assert_eq!(json["configuration"]["model.block.groups"], serde_json::json!(["1", "2"]));
    for (words, told) in [
        ("compare groups=1 groups=2", "say with --spec FILE"),
        ("compare --spec experiments/tiny.toml -p seeds seed=0 groups=2", "selects runs of several rows"),
        ("compare --spec experiments/tiny.toml -p seeds groups=7 groups=2", "no run of `tiny` matches `groups=7`"),
    ] {
        let refused = bench.run(words);
        assert!(refused.code() == 2 && refused.stderr().contains(told), "{words}: {}", refused.stderr());
    }
    // Published rows are enough.
    for folder in ["results/runs", "results/experiments"] {
        fs::remove_dir_all(bench.path(folder)).unwrap();
    }
    fs::remove_file(bench.path("results/metrics.sqlite")).unwrap();
    let published = bench.done(rows).stdout();
    assert!(published.contains("it is not stored here") && published.contains("# test images"), "{published}");
}
