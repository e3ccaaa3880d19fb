//! Tests of the subcommand `bench`. No test compares times.

use serde_json::Value;

use crate::bench::{Bench, Ran};

#[test]
fn a_single_case_gives_one_line_of_json() {
    let ran = Bench::new().done("bench infer block_c64 --threads 1 --repeats 3 --json");
    let line: Value = serde_json::from_str(&ran.stdout()).unwrap();
    assert_eq!((&line["case"], &line["threads"]), (&"block_c64_infer".into(), &1.into()));
    assert_eq!((&line["batch"], &line["repeats"]), (&32.into(), &3.into()));
    // FC1 and FC2 with ρ = 4, and FC3 on sixteen partitions of 49 pixels. With eight groups, each output channel uses
    // 64/8 input channels.
    let of_an_image = 2 * 1024 * 256 + 16 * 49 * 49 * 64 * 8;
    assert_eq!(line["multiply_adds"], f64::from(32 * of_an_image));
    let [median, min, rate] = ["median_s", "min_s", "gflop_per_s"].map(|key| line[key].as_f64().unwrap());
    assert!(min > 0.0 && median >= min && rate > 0.0, "{line}");
    assert_eq!(line["peak_rss_mb"].is_f64(), cfg!(target_os = "linux"), "{line}");
    assert_eq!(ran.stderr(), "");
}

#[test]
fn without_json_a_table_is_printed_and_the_backward_pass_is_timed_too() {
    let ran = Bench::new().done("bench train block_c64 --repeats 1");
    let table = ran.stdout();
    assert!(table.starts_with("case ") && table.contains("\nblock_c64_forward_backward  "), "{table}");
    assert_eq!(ran.stderr(), "timed block_c64_forward_backward\n");
}

#[test]
fn a_kernel_is_timed_next_to_what_it_replaces() {
    let bench = Bench::new();
    let ran = Ran(bench.command("bench kernels --repeats 1 --json").arg("local K=3 M=128 forward").output().unwrap());
    let lines: Vec<Value> = ran.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["way"].as_str().unwrap()).collect::<Vec<_>>(), ["kernel", "fc"]);
}

#[test]
fn an_unknown_case_is_answered_with_the_list_of_cases() {
    let ran = Bench::new().run("bench train pure_mlpp");
    assert_eq!((ran.code(), ran.stdout().as_str()), (2, ""));
    for name in ["`pure_mlpp`", "pure_mlp_train_step", "block_c128_forward_backward", "resnet50_train_step"] {
        assert!(ran.stderr().contains(name), "{}", ran.stderr());
    }
}

#[test]
fn orchestration_is_measured_in_a_scratch_project() {
    let bench = Bench::empty();
    let ran = bench.done("bench orchestration --out here --runs 3 --repeats 1");
    let record = std::fs::read_to_string(bench.path("here/orchestration.jsonl")).unwrap();
    let lines: Vec<Value> = record.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert!(line["value"].as_f64().unwrap() > 0.0 && line["runs"] == 3, "{line}");
        assert!(line.get("goal").is_none(), "the goals are for many runs: {line}");
        assert!(ran.stdout().contains(line["figure"].as_str().unwrap()), "{}", ran.stdout());
    }
    // Only Linux reports the memory.
    assert_eq!(lines.len(), if cfg!(target_os = "linux") { 9 } else { 8 }, "{record}");
    assert!(!bench.path("here/project").exists(), "the scratch project is removed");
    std::fs::create_dir(bench.path("here/project")).unwrap();
    let refused = bench.run("bench orchestration --out here --runs 3");
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr().contains("remove it, or name another folder with --out"), "{}", refused.stderr());
}
