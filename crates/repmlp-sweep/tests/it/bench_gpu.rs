//! `bench gpu` and `verify parity --device`, on the CPU.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::bench::Bench;

#[test]
fn a_device_is_compared_with_the_cpu_and_timed() {
    let bench = Bench::empty();
    let text = bench.done("bench gpu block_c128_infer --device cpu --repeats 1 --out out").stdout();
    assert!(text.contains("FC3 and local branches") && text.contains("block_c128_infer"), "{text}");
    let record = fs::read_to_string(bench.path("out/gpu.jsonl")).unwrap();
    let lines: Vec<Value> = record.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["device"], "cpu");
    let agree: Vec<&Value> = lines.iter().filter(|line| line["operation"].is_string()).collect();
    assert!(agree.len() > 30 && agree.iter().all(|line| line["agrees"] == true), "{record}");
    let times = lines.last().unwrap();
    assert!(times["case"] == "block_c128_infer" && times["median_s"].as_f64().unwrap() > 0.0, "{times}");
    assert!(times["most_bytes"].is_null(), "memory of a CPU is not told: {times}");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let bench = Bench::empty();
    for call in ["bench gpu", "bench gpu --device cuda:7", "verify parity . --device cuda:0"] {
        let refused = bench.run(call);
        assert_eq!(refused.code(), 2, "{call}");
        assert!(refused.stderr().contains("build it with `--features cuda`"), "{}", refused.stderr());
    }
    let refused = bench.run("bench train block --device cpu");
    assert!(refused.code() == 2 && refused.stderr().contains("--device changes nothing"), "{}", refused.stderr());
    assert!(bench.run("bench gpu --device gpu").stderr().contains("use auto, cpu or cuda:N"));
}

/// Runs the script that drives one visit to a machine with a GPU.
fn visit(bench: &Bench, words: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../repmlp-train/benches/gpu.py");
    Command::new("python3").arg("-B").arg(script).args(words).current_dir(bench.path("")).output().unwrap()
}

#[test]
fn the_script_of_a_visit_says_its_plan_and_stops_where_nothing_can_be_run() {
    let bench = Bench::empty();
    let text = |output: &Output| String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    let plan = visit(&bench, &["program", "out", "--plan"]);
    assert!(plan.status.success() && text(&plan).contains("killed and resumed"), "{}", text(&plan));
    assert!(!bench.path("out").exists(), "a plan writes nothing");
    // Without the program, no other step is tried.
    let absent = visit(&bench, &["program", "out", "--device", "cpu", "--quick"]);
    assert_eq!(absent.status.code(), Some(1), "{}", text(&absent));
    assert!(text(&absent).contains("cannot be started: No such file"), "{}", text(&absent));
    assert_eq!(text(&absent).lines().count(), 1, "{}", text(&absent));
    let again = visit(&bench, &["program", "out", "--quick"]);
    assert!(again.status.code() == Some(2) && text(&again).contains("is there already"), "{}", text(&again));
}
