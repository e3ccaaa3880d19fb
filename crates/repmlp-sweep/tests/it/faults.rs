//! Invalid input: it gives one clear message and the right exit code, and nothing is lost.

use sweep_protocol::ResultsLayout;
use sweep_runner::SchedulerLock;

use crate::bench::{Bench, Ran};

/// Runs the program, which must fail with this exit code. Returns its standard error.
fn refused(bench: &Bench, words: &str, code: i32) -> String {
    let ran = bench.run(words);
    assert_eq!(ran.code(), code, "{words}\n{}{}", ran.stdout(), ran.stderr());
    ran.stderr()
}

fn edit(bench: &Bench, from: &str, to: &str) {
    let path = bench.path("experiments/tiny.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_value_that_cannot_be_built_is_shown_in_its_line() {
    let bench = Bench::new();
    edit(&bench, "values = [1, 2]", "values = [1, 3]");
    insta::assert_snapshot!("groups_do_not_divide", refused(&bench, "experiments/tiny.toml", 3));
    edit(&bench, "values = [1, 3]", "values = [1, \"two\"]");
    insta::assert_snapshot!("value_of_wrong_type", refused(&bench, "experiments/tiny.toml", 3));
    edit(&bench, "model.block.groups", "model.block.group");
    insta::assert_snapshot!("unknown_key_in_path", refused(&bench, "plan experiments/tiny.toml", 3));
    assert!(!bench.path("results").exists());
}

#[test]
fn a_partition_that_does_not_divide_the_map_is_shown_in_its_line() {
    let bench = Bench::new();
    edit(
        &bench,
        "path   = \"model.block.groups\"\nvalues = [1, 2]",
        "path = \"model.block.partition\"\nvalues = [[8, 8], [8, 5]]\nlabels = [\"1\", \"2\"]",
    );
    insta::assert_snapshot!("partition_does_not_divide", refused(&bench, "experiments/tiny.toml", 3));
}

#[test]
fn missing_and_damaged_data_are_named() {
    let bench = Bench::new();
    let none = refused(&bench, "experiments/tiny.toml --profile cifar10", 4);
    assert!(none.contains("--data DIR") && none.contains("cs.toronto.edu"), "{none}");
    let folder = bench.path("data/cifar-10-batches-bin");
    std::fs::create_dir_all(&folder).unwrap();
    let missing = refused(&bench, "experiments/tiny.toml --profile cifar10 --data data", 4);
    assert!(missing.contains("data_batch_1.bin"), "{missing}");
    std::fs::write(folder.join("data_batch_1.bin"), vec![0; 3074]).unwrap();
    let damaged = refused(&bench, "experiments/tiny.toml --profile cifar10 --data data", 4);
    assert!(damaged.contains("a whole number of 3073-byte records"), "{damaged}");
    assert!(damaged.contains("found 3074 bytes; fetch it again"), "{damaged}");
    assert!(!bench.path("results").exists());
}

/// An experiment with 20 training images and three rows. In two of the rows they do not fill a batch.
const EDGES: &str = r#"
question = "Which rows can be trained?"
base     = "base/tiny.toml"

[overlay.data.source]
kind    = "records"
name    = "own"
classes = 2
side    = 2
train   = ["a.bin"]
test    = ["a.bin"]

[[axis]]
name = "edge"

[axis.points.none]
data.validation = 0.0

[axis.points.batch]
training.batch = 32

[axis.points.validation]
data.validation = 0.9999
"#;

#[test]
fn rows_without_a_whole_batch_are_named_with_the_responsible_keys() {
    let bench = Bench::new();
    std::fs::write(bench.path("experiments/edges.toml"), EDGES).unwrap();
    std::fs::create_dir_all(bench.path("data/own")).unwrap();
    let records: Vec<u8> = (0..20u8).flat_map(|i| [vec![i % 2], vec![i; 12]].concat()).collect();
    std::fs::write(bench.path("data/own/a.bin"), records).unwrap();
    insta::assert_snapshot!("too_few_images", refused(&bench, "experiments/edges.toml --data data", 4));
    let one = refused(&bench, "experiments/edges.toml --data nowhere", 4);
    assert!(one.starts_with("error: no a.bin or a.bin.gz in nowhere. The folder nowhere does not exist."), "{one}");
    assert_eq!(one.lines().count(), 1, "one error for all rows\n{one}");
    assert!(!bench.path("results").exists());
}

#[test]
fn changed_data_with_the_same_name_is_refused() {
    let bench = Bench::new();
    let write = |value: u8| {
        let record = |label: u8| [vec![label], vec![value; 3072]].concat();
        let file: Vec<u8> = (0..40u8).flat_map(|i| record(i % 10)).collect();
        for name in [
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
            "test_batch.bin",
        ] {
            std::fs::create_dir_all(bench.path("data")).unwrap();
            std::fs::write(bench.path("data").join(name), &file).unwrap();
        }
    };
    write(7);
    bench.done("experiments/tiny.toml --profile cifar10 --data data --threads 1 --limit 2");
    write(8);
    let changed = refused(&bench, "experiments/tiny.toml --profile cifar10 --data data --threads 1", 4);
    assert!(changed.contains("was measured on CIFAR-10"), "{changed}");
}

#[test]
fn an_unknown_instruction_set_is_refused_before_any_run() {
    let bench = Bench::new();
    let ran = Ran(bench.command("experiments/tiny.toml").env("REPMLP_KERNELS", "avx3").output().unwrap());
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().starts_with("error: REPMLP_KERNELS=`avx3`: this processor has plain"), "{}", ran.stderr());
    assert_eq!(ran.stderr().lines().count(), 1);
    assert!(!bench.path("results").exists());
}

#[test]
fn a_results_folder_has_one_scheduler() {
    let bench = Bench::new();
    let _held = SchedulerLock::acquire(&ResultsLayout::new(bench.path("results"))).unwrap();
    let second = refused(&bench, "experiments/tiny.toml", 20);
    assert!(second.contains(&std::process::id().to_string()) && second.contains("--wait"), "{second}");
}

#[test]
fn a_second_scheduler_waits_on_request() {
    let bench = Bench::new();
    let held = SchedulerLock::acquire(&ResultsLayout::new(bench.path("results"))).unwrap();
    let second = bench.start_until("experiments/tiny.toml --wait", "waiting for another scheduler, process");
    drop(held);
    let (code, told) = second.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("2 of 2 runs to do"), "{told}");
}

#[test]
fn a_results_folder_that_cannot_be_created_is_reported() {
    let bench = Bench::new();
    std::fs::write(bench.path("file"), "").unwrap();
    let fault = refused(&bench, "experiments/tiny.toml --results file/results", 21);
    assert!(fault.contains("file/results"), "{fault}");
}

#[test]
fn a_reports_folder_that_is_a_file_is_refused_before_training() {
    let bench = Bench::new();
    std::fs::write(bench.path("file"), "").unwrap();
    let fault = refused(&bench, "experiments/tiny.toml --reports file/reports", 2);
    assert!(fault.contains("file is not a folder"), "{fault}");
    assert!(!bench.path("results").exists());
}

#[test]
fn an_unreadable_results_folder_is_not_reported_as_empty() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml --threads 1");
    std::fs::write(bench.path("results/experiments/tiny/default/plan.json"), "{").unwrap();
    let fault = refused(&bench, "status", 4);
    assert!(fault.contains("plan.json: not a plan") && !fault.contains("nothing has been run"), "{fault}");
}

#[test]
fn an_index_of_a_newer_version_is_left_alone() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml --threads 1 --limit 2");
    let path = bench.path("results/metrics.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    // Bytes 60 to 63 of a SQLite file are its `user_version`, big-endian.
    bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let fault = refused(&bench, "experiments/tiny.toml", 20);
    assert!(fault.contains("99"), "{fault}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_diverged_run_is_reported_and_waits_to_be_retried() {
    let bench = Bench::new();
    let ran = bench.run("experiments/tiny.toml --profile diverging --threads 1");
    assert_eq!(ran.code(), 10, "{}", ran.stderr());
    assert!(ran.stderr().contains("failed:diverged: the loss is"), "{}", ran.stderr());
    assert!(ran.stdout().contains("diverged"), "{}", ran.stdout());
    let again = bench.run("experiments/tiny.toml --profile diverging --threads 1");
    assert_eq!(again.code(), 10);
    assert!(again.stderr().contains("0 of 2 runs to do, 0 done and reused, 2 failed before"), "{}", again.stderr());
    let retried = bench.run("experiments/tiny.toml --profile diverging --threads 1 --retry-failed");
    assert!(retried.stderr().contains("2 of 2 runs to do"), "{}", retried.stderr());
}

#[test]
fn an_invalid_command_line_is_a_usage_error() {
    let bench = Bench::new();
    refused(&bench, "experiments/tiny.toml --device gpu", 2);
    refused(&bench, "experiments/tiny.toml --only zz", 2);
    refused(&bench, "status nothing", 2);
    refused(&bench, "frobnicate", 2);
    let unbuilt = refused(&bench, "experiments/tiny.toml --device cuda:0", 2);
    assert!(unbuilt.contains("--features cuda"), "{unbuilt}");
}

#[test]
fn a_report_that_cannot_be_made_is_refused_before_training() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("reports")).unwrap();
    let declare = |text: &str| std::fs::write(bench.path("reports/tiny.toml"), text).unwrap();
    let table = "title = 'T'\n[[table]]\nid = 'groups'\nrows = ['gruops']\nwhere = { groups = '7' }\n\
                 [[table.column]]\nmetric = 'params'\nform = 'deployed'\n";
    for words in ["plan experiments/tiny.toml", "experiments/tiny.toml", "plan experiments/tiny.toml --profile seeds"] {
        declare(table);
        let said = refused(&bench, words, 3);
        assert!(said.matches("no axis `gruops`").count() == 1 && said.contains("no label `7`"), "{said}");
        declare(&table.replace("'params'", "'parms'"));
        let said = refused(&bench, words, 3);
        assert!(said.contains("no metric `parms`; did you mean `params`?"), "{said}");
        declare(&table.replace("'params'", "'par ms'"));
        let said = refused(&bench, words, 3);
        assert!(said.contains("reports/tiny.toml") && said.contains("line 7"), "{said}");
    }
    assert!(!bench.path("results").exists());
}
