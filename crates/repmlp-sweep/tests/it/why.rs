//! `why`: from a number of a report to the lines of the journals.

use std::fs;

use serde_json::Value;

use crate::bench::{Bench, Ran};

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
