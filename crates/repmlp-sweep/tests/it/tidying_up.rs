//! Tags and notes of runs, and the removal of what nothing needs.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::Bench;

const SPEC: &str = "experiments/tiny.toml";

/// Returns the folders of all runs, sorted.
fn runs(bench: &Bench) -> Vec<PathBuf> {
    let mut runs: Vec<PathBuf> =
        fs::read_dir(bench.path("results/runs")).unwrap().map(|run| run.unwrap().path()).collect();
    runs.sort();
    runs
}

fn id(run: &std::path::Path) -> String {
    run.file_name().unwrap().to_str().unwrap()[..10].to_owned()
}

#[test]
fn tags_and_notes_are_shown_and_filtered_and_change_nothing_else() {
    let bench = Bench::new();
    bench.done(SPEC);
    let run = id(&runs(&bench)[0]);
    let tagged = bench.done(&format!("tag {run} keep figure=2"));
    assert_eq!(tagged.stdout(), format!("{run}: figure=2; keep\n"));
    bench.done(&format!("note {run} odd-curve"));
    assert!(bench.done(&format!("show {run}")).stdout().contains("tags and note: figure=2; keep; odd-curve"));
    let status = |words: &str| bench.done(&format!("status tiny {words}")).stdout();
    assert_eq!(status("").matches("groups=").count(), 2);
    assert_eq!(status("--tag figure=2").matches("groups=").count(), 1);
    assert_eq!(status("--tag figure=3").matches("groups=").count(), 0);
    assert_eq!(bench.done(&format!("tag {run} --remove keep")).stdout(), format!("{run}: figure=2; odd-curve\n"));
    assert_eq!(bench.run(&format!("tag {run} --remove keep")).code(), 2);
    assert_eq!(bench.run(&format!("tag {run} a/b=1")).code(), 2);
    let again = bench.done(SPEC);
    assert!(again.stderr().contains("0 of 2 runs to do, 2 done and reused"), "{}", again.stderr());
}

#[test]
fn what_nothing_needs_is_listed_and_removed_only_on_request() {
    let bench = Bench::new();
    bench.done(&format!("{SPEC} --slots 1"));
    assert!(bench.done("clean").stdout().contains("Everything in this results folder is needed."));
    fs::copy(bench.path(SPEC), bench.path("experiments/other.toml")).unwrap();
    bench.done("experiments/other.toml --set training.batch=32 --slots 1");
    assert_eq!(runs(&bench).len(), 4);
    let own =
        runs(&bench).into_iter().find(|run| fs::read_to_string(run.join("run.json")).unwrap().contains("\"batch\":32"));
    let own = own.unwrap();
    fs::write(own.join("attempts/1/mine.txt"), "mine").unwrap();
    fs::remove_file(bench.path("experiments/other.toml")).unwrap();

    let listed = bench.done("clean").stdout();
    assert!(listed.contains("the plan of other") && listed.contains("its experiment file is gone"), "{listed}");
    assert_eq!(listed.matches("no plan has it").count(), 2, "{listed}");
    assert!(listed.contains("Nothing was removed; add --yes") && runs(&bench).len() == 4, "{listed}");

    let removed = bench.done("clean --yes").stdout();
    assert!(removed.contains("freed."), "{removed}");
    assert_eq!(runs(&bench).len(), 3, "a folder with a file of a person's own stays");
    let left: Vec<_> = fs::read_dir(own.join("attempts/1")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["mine.txt"]);
    assert!(!bench.path("results/experiments/other").exists());
    // An attempt that was interrupted. The later one holds everything.
    let long = format!("{SPEC} --set training.epochs=40 --slots 1");
    let started = bench.start_until(&long, "groups=1 epoch 2/40");
    kill_process(Pid::from_child(&started.child), Signal::INT).unwrap();
    assert_eq!(started.end().0, Some(5));
    bench.done(&long);
    let earlier = bench.done("clean").stdout();
    assert_eq!(earlier.matches("1 earlier attempt of run").count(), 1, "{earlier}");
    bench.done("clean --yes");
    let again = bench.done(&long);
    assert!(again.stderr().contains("0 of 2 runs to do") && !again.stderr().contains("note:"), "{}", again.stderr());
}

#[test]
fn clean_keeps_what_is_the_users_and_what_it_cannot_judge() {
    let bench = Bench::new();
    bench.done(&format!("{SPEC} --slots 1"));
    let runs = runs(&bench);
    let attempt = runs[0].join("attempts/1");
    // As after a command that trained this run. The copy has the times of an older original.
    fs::write(attempt.join("config.json"), "{}").unwrap();
    let copy = attempt.join("copy.pt");
    fs::write(&copy, "mine").unwrap();
    fs::File::options().append(true).open(&copy).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    bench.done(&format!("tag {} keep", id(&runs[1])));

    // The disk with the experiments is absent.
    fs::rename(bench.path("experiments"), bench.path("elsewhere")).unwrap();
    assert!(bench.done("clean").stdout().contains("Everything in this results folder is needed."));
    fs::rename(bench.path("elsewhere"), bench.path("experiments")).unwrap();

    let plan = bench.path("results/experiments/tiny/default/plan.json");
    let text = fs::read_to_string(&plan).unwrap();
    fs::write(&plan, &text[1..]).unwrap();
    let refused = bench.run("clean --yes");
    assert!(
        refused.code() == 4 && refused.stderr().contains("the runs of a plan are not known"),
        "{}",
        refused.stderr()
    );
    fs::write(&plan, text).unwrap();

    assert!(bench.run("forget tiny -p nope").stderr().contains("recorded profiles: default"));
    bench.done("forget tiny --yes");
    bench.done("clean --yes");
    assert!(copy.exists() && !attempt.join("journal.jsonl").exists());
    assert!(runs[1].join("attempts/1/journal.jsonl").exists());

    // A run that was moved to another disk.
    fs::rename(&runs[1], bench.path("moved")).unwrap();
    std::os::unix::fs::symlink(bench.path("moved"), &runs[1]).unwrap();
    bench.done(&format!("tag {} --remove keep", id(&runs[1])));
    bench.done("clean --yes");
    assert!(bench.path("moved/attempts/1/journal.jsonl").exists());
}

#[test]
fn an_experiment_is_forgotten_and_its_runs_stay_until_they_are_cleaned() {
    let bench = Bench::new();
    bench.done(SPEC);
    assert!(bench.done("forget tiny").stdout().contains("Nothing was removed"));
    assert!(bench.done("forget tiny --yes").stdout().contains("Its runs"));
    assert_eq!(bench.run("forget tiny").code(), 2);
    assert_eq!(runs(&bench).len(), 2);
    let again = bench.done(SPEC);
    assert!(again.stderr().contains("0 of 2 runs to do, 2 done and reused"), "{}", again.stderr());
    bench.done("forget tiny --yes");
    bench.done("clean --yes");
    assert_eq!(runs(&bench), [] as [PathBuf; 0]);
}
