//! The whole workflow: plan, run, run again, report, query, rebuild.

use crate::bench::Bench;

#[test]
fn an_experiment_file_gives_trained_runs_an_index_tables_and_plots() {
    let bench = Bench::new();
    let plan = bench.done("plan experiments/tiny.toml").stdout();
    assert!(plan.contains("2 runs of 2 configurations; 2 to do"), "{plan}");
    assert!(!bench.path("results").exists(), "`plan` writes nothing");

    let first = bench.done("experiments/tiny.toml --threads 1");
    assert!(first.stderr().contains("2 succeeded"), "{}", first.stderr());
    assert!(first.stdout().contains("groups"), "{}", first.stdout());
    let before = bench.measurements("default");
    assert!(before.iter().any(|line| line.contains("max_abs_diff")));

    let again = bench.done("experiments/tiny.toml --threads 1");
    assert!(again.stderr().contains("0 of 2 runs to do, 2 done and reused"), "{}", again.stderr());
    assert_eq!(first.stdout(), again.stdout());
    assert_eq!(before, bench.measurements("default"));
    let plan = bench.done("plan experiments/tiny.toml").stdout();
    assert!(plan.contains("done, reused"), "{plan}");

    let reports = bench.path("reports/tiny/default");
    for file in
        ["report.md", "report.json", "results.csv", "results.tex", "accuracy_against_flops.svg", "learning_curves.png"]
    {
        assert!(reports.join(file).exists(), "{file}");
    }
    bench.done("report --check");
    std::fs::write(reports.join("report.md"), "edited").unwrap();
    let check = bench.run("report --check");
    assert_eq!(check.code(), 12);
    assert!(check.stdout().contains("report.md"), "{}", check.stdout());
}

#[test]
fn measurements_can_be_queried() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml --slots 1 --limit 2");
    let plan: serde_json::Value =
        serde_json::from_str(&bench.done("plan experiments/tiny.toml --json").stdout()).unwrap();
    let run = plan["runs"][0]["run"].as_str().unwrap();
    let short = &run[..10];

    let status = bench.done("status").stdout();
    assert!(status.contains("tiny") && status.contains("2 succeeded"), "{status}");
    let status = bench.done("status tiny").stdout();
    assert!(status.contains(short) && status.contains("groups=2"), "{status}");
    let show = bench.done(&format!("show {short}")).stdout();
    for word in [
        run,
        "succeeded",
        "Fashion-MNIST-5k",
        "[model.block]",
        "max_abs_diff",
        "predictions are stored: ",
        "part of tiny (default): groups=1 seed 0",
    ] {
        assert!(show.contains(word), "{word} in\n{show}");
    }
    let logs = bench.done(&format!("logs {short}")).stdout();
    assert!(logs.contains("attempts/1") && logs.contains("its process wrote nothing"), "{logs}");
    for json in
        ["status --json", "status tiny --json", &format!("show {short} --json"), "report experiments/tiny.toml --json"]
    {
        let text = bench.done(json).stdout();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|e| panic!("{json}: {e}\n{text}"));
    }
    bench.done("export experiments/tiny.toml --format parquet --out all.parquet");
    assert!(std::fs::read(bench.path("all.parquet")).unwrap().starts_with(b"PAR1"));
    assert_eq!(bench.run("show zz").code(), 2);

    // An index that is made again from the journals has the same content.
    let before = bench.measurements("default");
    std::fs::remove_file(bench.path("results/metrics.sqlite")).unwrap();
    bench.done("rebuild");
    assert_eq!(before, bench.measurements("default"));
}

#[test]
fn results_do_not_depend_on_threads_or_slots() {
    let one = Bench::new();
    one.done("experiments/tiny.toml --threads 1");
    let two = Bench::new();
    two.done("experiments/tiny.toml --threads 2 --slots 2");
    assert_eq!(one.measurements("default"), two.measurements("default"));
    let csv = two.done("export experiments/tiny.toml").stdout();
    assert_eq!(csv.lines().filter(|line| line.contains(",throughput,")).count(), 4, "{csv}");
}

#[test]
fn several_seeds_give_a_mean_and_a_deviation() {
    let bench = Bench::new();
    let ran = bench.done("run experiments/tiny.toml --profile seeds --threads 1");
    assert!(ran.stderr().contains("4 succeeded"), "{}", ran.stderr());
    // The runs with the first seed are also runs of the default profile: they are shared and not trained again.
    let shared = bench.done("experiments/tiny.toml --threads 1");
    assert!(shared.stderr().contains("0 of 2 runs to do, 2 done and reused"), "{}", shared.stderr());
}

#[test]
fn a_fresh_clone_shows_renders_and_exports_what_is_published() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml --threads 1");
    let before = bench.done("export experiments/tiny.toml").stdout();
    let published =
        |bench: &Bench| std::fs::read_to_string(bench.path("results/published/tiny/default/runs.json")).unwrap();
    let rows = published(&bench);
    for kept in ["results/runs", "results/experiments", "reports/tiny"] {
        std::fs::remove_dir_all(bench.path(kept)).unwrap();
    }
    std::fs::remove_file(bench.path("results/metrics.sqlite")).unwrap();

    for command in ["report experiments/tiny.toml", "export experiments/tiny.toml", "status tiny"] {
        let said = bench.done(command).stderr();
        assert!(said.contains("the published rows in results/published/tiny/default are used"), "{command}: {said}");
    }
    assert_eq!(bench.done("export experiments/tiny.toml").stdout(), before);
    assert!(bench.done("status tiny").stdout().contains("succeeded"));
    assert_eq!(published(&bench), rows);
    bench.done("report --check");
    let unknown = bench.run("report experiments/tiny.toml --profile seeds");
    assert_eq!(unknown.code(), 2);
    assert!(unknown.stderr().contains("was neither run nor published"), "{}", unknown.stderr());
}
