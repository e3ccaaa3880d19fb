//! Throughput: one measurement of all networks after all runs.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::bench::Bench;

/// Two sets of local kernels: the training forms differ, and the deployed forms are the same.
const KERNELS: &str = r#"
question = "Which kernels?"
base     = "base/tiny.toml"
seeds    = 2
baseline = { kernels = "1,3" }

[[axis]]
name   = "kernels"
path   = "model.block.local_kernels"
values = [[1, 3], [1]]
labels = ["1,3", "1"]
"#;

fn project() -> Bench {
    let bench = Bench::new();
    fs::write(bench.path("experiments/kernels.toml"), KERNELS).unwrap();
    bench
}

/// Returns the throughput of each run in a form.
fn throughputs(bench: &Bench, form: &str) -> Vec<String> {
    let csv = bench.done("export experiments/kernels.toml").stdout();
    let mark = format!(",throughput,,{form},,");
    csv.lines().filter_map(|line| Some(line.split_once(&mark)?.1.to_owned())).collect()
}

fn record(bench: &Bench) -> Value {
    let records = bench.path("results/experiments/kernels/default/throughput/records");
    let files: Vec<_> = fs::read_dir(records).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap()
}

#[test]
fn runs_with_the_same_network_share_its_throughput() {
    let bench = project();
    let plan = bench.done("plan experiments/kernels.toml").stdout();
    assert!(plan.contains("throughput is measured when all runs are finished"), "{plan}");
    let ran = bench.done("experiments/kernels.toml");
    let told = ran.stderr();
    assert!(told.contains("timing 3 networks in turns on cpu with") && told.contains("4 succeeded"), "{told}");
    let deployed = throughputs(&bench, "deployed");
    assert!(deployed.len() == 4 && deployed.iter().all(|value| *value == deployed[0]), "{deployed:?}");
    let mut training = throughputs(&bench, "training");
    training.sort();
    training.dedup();
    assert_eq!(training.len(), 2, "one value for each set of kernels: {training:?}");

    let record = record(&bench);
    let rounds: Vec<usize> = record["networks"]
        .as_object()
        .unwrap()
        .values()
        .map(|network| network["seconds"].as_array().unwrap().len())
        .collect();
    assert!(rounds.len() == 3 && rounds.iter().all(|count| *count == rounds[0]), "{rounds:?}");
    assert_eq!(record["machine"]["device"], "cpu");
    let report = fs::read_to_string(bench.path("reports/kernels/default/report.md")).unwrap();
    assert!(report.contains("÷ baseline") && report.contains("1.00"), "{report}");
    assert!(report.contains("Throughput was measured on"), "{report}");
    let again = bench.done("experiments/kernels.toml");
    assert!(!again.stderr().contains("timing") && again.stdout() == ran.stdout(), "{}", again.stderr());
    let plan = bench.done("plan experiments/kernels.toml").stdout();
    assert!(!plan.contains("throughput is measured"), "{plan}");
    // The published measurements hold what the table is made from.
    fs::rename(bench.path("results/published"), bench.path("published")).unwrap();
    fs::remove_dir_all(bench.path("results")).unwrap();
    fs::create_dir(bench.path("results")).unwrap();
    fs::rename(bench.path("published"), bench.path("results/published")).unwrap();
    bench.done("report --check");
}

#[test]
fn a_new_network_or_a_removed_or_damaged_record_is_measured_and_nothing_is_trained() {
    let bench = project();
    bench.done("experiments/kernels.toml");
    let first = record(&bench);
    let text = fs::read_to_string(bench.path("experiments/kernels.toml")).unwrap();
    let more = text.replace("[1]]", "[1], []]").replace("\"1\"]", "\"1\", \"none\"]");
    fs::write(bench.path("experiments/kernels.toml"), more).unwrap();
    let grown = bench.done("experiments/kernels.toml").stderr();
    assert!(grown.contains("2 of 6 runs to do") && grown.contains("timing 4 networks"), "{grown}");
    assert_ne!(record(&bench), first, "the record of the same machine is replaced");
    // More seeds have the same networks.
    let seeds = fs::read_to_string(bench.path("experiments/kernels.toml")).unwrap().replace("= 2", "= 3");
    fs::write(bench.path("experiments/kernels.toml"), seeds).unwrap();
    let seeded = bench.done("experiments/kernels.toml").stderr();
    assert!(seeded.contains("3 of 9 runs to do") && !seeded.contains("timing"), "{seeded}");

    let folder = bench.path("results/experiments/kernels/default/throughput");
    fs::remove_dir_all(&folder).unwrap();
    let again = bench.done("experiments/kernels.toml").stderr();
    assert!(again.contains("0 of 9 runs to do") && again.contains("timing 4 networks"), "{again}");
    let file = fs::read_dir(folder.join("records")).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "{").unwrap();
    let damaged = bench.done("experiments/kernels.toml").stderr();
    assert!(damaged.contains("timing 4 networks"), "{damaged}");
}

#[test]
fn an_interrupted_measurement_is_made_by_the_next_call() {
    let bench = project();
    let base = bench.path("experiments/base/tiny.toml");
    let text = fs::read_to_string(&base).unwrap();
    let line = text.lines().find(|line| line.starts_with("repeats")).unwrap();
    fs::write(&base, text.replace(line, "repeats = 60000")).unwrap();
    let started = bench.start_until("experiments/kernels.toml", "timing 3 networks");
    kill_process(Pid::from_child(&started.child), Signal::INT).unwrap();
    let (code, told) = started.end();
    assert_eq!(code, Some(5), "{told}");
    let plan = bench.done("plan experiments/kernels.toml").stdout();
    assert!(plan.contains("0 to do") && plan.contains("throughput is measured when all runs are finished"), "{plan}");
    assert!(!bench.path("reports/kernels/default/report.md").exists(), "the report waits for it");
    let report = bench.done("report experiments/kernels.toml").stdout();
    assert!(!report.contains("÷ baseline"), "{report}");
}
