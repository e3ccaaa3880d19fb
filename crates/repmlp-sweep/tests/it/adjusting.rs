//! Calls that change an experiment: `--set`, `--seeds`, `--only`, `--base`, several files.

use std::fs;

use crate::bench::Bench;

const SPEC: &str = "experiments/tiny.toml";

#[test]
fn adjusted_results_are_a_profile_of_their_own() {
    let bench = Bench::new();
    bench.done(SPEC);
    let before = fs::read_to_string(bench.path("reports/tiny/default/report.md")).unwrap();
    let adjusted = "--set training.optimizer.learning_rate=0.01 --seeds 2";
    let plan = bench.done(&format!("plan {SPEC} {adjusted}")).stdout();
    let name = "default with training.optimizer.learning_rate 0.01 and seeds-2";
    assert!(plan.starts_with(&format!("tiny, profile {name}\n")) && plan.contains("4 to do"), "{plan}");
    let ran = bench.done(&format!("{SPEC} {adjusted}"));
    assert!(ran.stderr().contains("4 of 4 runs to do"), "{}", ran.stderr());
    assert_eq!(fs::read_to_string(bench.path("reports/tiny/default/report.md")).unwrap(), before);
    assert!(bench.path("reports/tiny").join(name).join("report.md").exists());
    assert_eq!(bench.done(&format!("report {SPEC} {adjusted}")).stdout(), ran.stdout());
    assert!(bench.done("status").stdout().contains(name));
    let again = bench.done(&format!("{SPEC} {adjusted}"));
    assert!(again.stderr().contains("0 of 4 runs to do"), "{}", again.stderr());
    // A value that is that of the base gives the same runs.
    let same = bench.done(&format!("plan {SPEC} --set training.epochs=3")).stdout();
    assert!(same.contains("2 runs of 2 configurations; 0 to do"), "{same}");
}

#[test]
fn a_wrong_key_is_shown_in_the_words_of_the_call() {
    let bench = Bench::new();
    for (set, told) in [
        ("training.epoch=3", "did you mean `epochs`?"),
        ("training.epochs=three", "a whole number is expected"),
        ("training.epochs", "--set:1"),
        ("model.block.groups=4", "axis `groups` sets `model.block.groups`"),
    ] {
        let refused = bench.run(&format!("plan {SPEC} --set {set}"));
        assert_eq!(refused.code(), 3, "{set}");
        let message = refused.stderr();
        assert!(message.contains(told) && message.contains("--set"), "{set}: {message}");
    }
    let twice = bench.run(&format!("plan {SPEC} --set training.epochs=2 --set training.epochs=3"));
    assert!(twice.code() == 3 && twice.stderr().contains("`training.epochs` is set twice"), "{}", twice.stderr());
}

#[test]
fn runs_are_chosen_by_their_labels_or_ids() {
    let bench = Bench::new();
    let first = bench.run(&format!("{SPEC} --profile seeds --only groups=2"));
    assert_eq!(first.code(), 5, "{}", first.stderr());
    let plan = bench.done(&format!("plan {SPEC} --profile seeds")).stdout();
    let done = |groups: &str| {
        plan.lines().filter(|line| line.contains(&format!("groups={groups} ")) && line.contains("done, reused")).count()
    };
    assert!(done("2") > 1 && done("1") == 0, "{plan}");
    bench.run(&format!("{SPEC} --profile seeds --only groups=1,seed=1"));
    let plan = bench.done(&format!("plan {SPEC} --profile seeds")).stdout();
    let done = plan.lines().filter(|line| line.contains("groups=1 ") && line.contains("done, reused"));
    assert_eq!(done.count(), 1, "{plan}");
    for (only, told) in [
        ("gruops=2", "there is no axis `gruops`; axes: groups, seed"),
        ("seed=77", "no run of this plan has the seed `77`; seeds: "),
        ("groups=7", "has no label `7`; labels: 1; 2"),
        ("zzzz", "no run of this plan has an id"),
        (",", "an id or AXIS=LABEL is missing"),
    ] {
        let refused = bench.run(&format!("{SPEC} --only {only}"));
        assert_eq!(refused.code(), 2);
        assert!(refused.stderr().contains(told), "{}", refused.stderr());
    }
}

#[test]
fn a_base_file_alone_is_one_run() {
    let bench = Bench::new();
    let ran = bench.done("run --base experiments/base/tiny.toml --set training.batch=16");
    assert!(ran.stderr().contains("1 of 1 runs to do"), "{}", ran.stderr());
    assert!(bench.path("reports/base tiny/default with training.batch 16/report.md").exists());
    assert!(bench.path("results/runs").exists(), "the project is the folder above `experiments`");
    let plan = bench.done("plan --base experiments/base/tiny.toml --set training.batch=16");
    assert!(plan.stdout().contains("0 to do") && !plan.stderr().contains("was edited"), "{}", plan.stderr());
    assert_eq!(bench.run("run --base experiments/base/gone.toml").code(), 3);
    assert_eq!(bench.run(&format!("run {SPEC} --base experiments/base/tiny.toml")).code(), 2);
}

#[test]
fn several_experiments_run_one_after_another() {
    let bench = Bench::new();
    fs::copy(bench.path(SPEC), bench.path("experiments/second.toml")).unwrap();
    fs::write(bench.path("experiments/bad.toml"), "question = 3").unwrap();
    assert_eq!(bench.run(&format!("run {SPEC} experiments/bad.toml")).code(), 3);
    assert!(!bench.path("results").exists(), "nothing starts before all files are valid");
    let ran = bench.done(&format!("run {SPEC} experiments/second.toml"));
    let told = ran.stderr();
    assert!(told.contains("2 of 2 runs to do") && told.contains("0 of 2 runs to do, 2 done and reused"), "{told}");
    assert!(bench.path("reports/second/default/report.md").exists());
}

#[test]
fn a_plan_reads_the_data_on_request() {
    let bench = Bench::new();
    let plan = bench.done(&format!("plan {SPEC} --data experiments"));
    assert!(plan.stderr().contains("data: Fashion-MNIST-5k"), "{}", plan.stderr());
    let missing = format!("plan {SPEC} --data experiments --set data.source.kind=cifar10");
    assert_eq!(bench.run(&missing).code(), 4);
}
