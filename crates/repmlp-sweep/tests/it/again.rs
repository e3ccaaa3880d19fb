//! The same command again, when nothing is left to do. It shows the same tables, and renders again what has changed.

use std::fs::{self, File};

use crate::bench::Bench;
use crate::processes::system;

const SWEEP: &str = "experiments/tiny.toml --slots 1 --threads 1";
const DECLARED: &str = r#"title = "Tiny"

[[table]]
id    = "groups"
title = "Groups"
rows  = ["groups"]

[[table.column]]
metric = "params"
form   = "deployed"
"#;

fn shown(bench: &Bench) -> String {
    bench.done(SWEEP).stdout()
}

#[test]
fn a_report_is_made_again_only_if_something_changed() {
    let bench = Bench::new();
    let first = shown(&bench);
    let report = bench.path("reports/tiny/default/report.md");
    let made =
        || fs::metadata(bench.path("results/experiments/tiny/default/rendered.json")).unwrap().modified().unwrap();
    let before = made();
    assert_eq!(shown(&bench), first);
    assert_eq!(made(), before, "nothing changed, so nothing was rendered");

    fs::remove_file(&report).unwrap();
    assert_eq!(shown(&bench), first);
    assert!(report.exists(), "a rendering that was removed");

    fs::write(&report, "mine").unwrap();
    let ran = bench.done(SWEEP);
    assert!(ran.stderr().contains("report.md.edited-1"), "{}", ran.stderr());

    let published = bench.path("results/published/tiny/default/measurements.csv");
    fs::write(&published, "mine").unwrap();
    let ran = bench.done(SWEEP);
    assert!(ran.stderr().contains("measurements.csv.edited-1"), "{}", ran.stderr());
    assert_eq!(fs::read_to_string(published.with_file_name("measurements.csv.edited-1")).unwrap(), "mine");

    fs::write(bench.path("reports/tiny.toml"), DECLARED).unwrap();
    assert_ne!(shown(&bench), first, "a report that is declared now");
    fs::remove_file(bench.path("reports/tiny.toml")).unwrap();
    assert_eq!(shown(&bench), first);

    let kept = bench.path("results/experiments/tiny/default/rendered.json");
    let text = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, text.replacen("\"mean\":0.", "\"mean\":1.", 1)).unwrap();
    assert_eq!(shown(&bench), first, "a damaged record is not used");
    fs::remove_file(&kept).unwrap();
    assert!(system(&["mkfifo", kept.to_str().unwrap()]).is_ok());
    assert_eq!(shown(&bench), first, "the program does not wait for a pipe");
}

#[test]
fn without_work_no_lock_is_needed_and_a_deleted_run_is_trained_again() {
    let bench = Bench::new();
    let first = shown(&bench);
    let lock = File::open(bench.path("results")).unwrap();
    lock.lock().unwrap();
    assert_eq!(shown(&bench), first);
    let run = fs::read_dir(bench.path("results/runs")).unwrap().next().unwrap().unwrap().path();
    fs::remove_dir_all(run).unwrap();
    assert_eq!(bench.run(SWEEP).code(), 20, "there is work, and the lock is held");
    drop(lock);
    assert!(bench.done(SWEEP).stderr().contains("1 of 2 runs to do"));
}
