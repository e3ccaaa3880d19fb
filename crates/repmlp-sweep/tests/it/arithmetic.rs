//! A sweep uses one arithmetic: runs of two instruction sets are not mixed, and the set is recorded.

use std::fs;

use rustix::process::{Pid, Signal};

use crate::bench::{Bench, Ran, repository, skipped};
use crate::processes::{signal, system};

const SWEEP: &str = "experiments/tiny.toml --slots 1 --threads 1";

/// Runs the program with the kernels that every processor has.
pub(crate) fn plain(bench: &Bench, words: &str) -> Ran {
    Ran(bench.command(words).env("REPMLP_KERNELS", "plain").output().unwrap())
}

/// Names an instruction set in the experiment file.
fn name_kernels(bench: &Bench, kernels: &str) {
    let path = bench.path("experiments/tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.lines().filter(|line| !line.starts_with("exec.")).collect::<Vec<_>>().join("\n");
    fs::write(path, format!("exec.kernels = \"{kernels}\"\n{text}\n")).unwrap();
}

/// Returns the instruction set of each run.
fn computed(bench: &Bench) -> Vec<String> {
    let published = fs::read_to_string(bench.path("results/published/tiny/default/runs.json")).unwrap();
    let lines = published.lines().filter_map(|line| line.trim().strip_prefix("\"arithmetic\": \""));
    lines.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

pub(crate) fn has_more_than_plain() -> bool {
    let has = system(&["grep", "-q", "avx2", "/proc/cpuinfo"]).is_ok();
    if !has {
        skipped("mixing instruction sets", "this processor has one");
    }
    has
}

#[test]
fn a_sweep_is_finished_with_the_instruction_set_that_it_was_begun_with() {
    let bench = Bench::new();
    assert_eq!(plain(&bench, &format!("{SWEEP} --limit 1")).code(), 5);
    bench.done(SWEEP);
    assert_eq!(computed(&bench), ["plain", "plain"]);
    let alike = Bench::new();
    assert_eq!(plain(&alike, SWEEP).code(), 0);
    assert_eq!(bench.measurements("default"), alike.measurements("default"));

    let candle = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let version = candle.split("name = \"candle-core\"\nversion = \"").nth(1).unwrap().split('"').next().unwrap();
    let run = fs::read_dir(bench.path("results/runs")).unwrap().next().unwrap().unwrap().file_name();
    let page = bench.done(&format!("show {}", run.to_str().unwrap())).stdout();
    assert!(page.contains(&format!("computed with: cpu plain candle-{version}+kernels-")), "{page}");
}

#[test]
fn the_experiment_decides_and_runs_of_another_set_are_measured_again() {
    if !has_more_than_plain() {
        return;
    }
    let bench = Bench::new();
    bench.done(SWEEP);
    let best = computed(&bench);
    let refused = plain(&bench, &format!("{SWEEP} --retry-failed"));
    assert_eq!(refused.code(), 0, "nothing is left to do, so nothing is mixed");
    fs::remove_dir_all(fs::read_dir(bench.path("results/runs")).unwrap().next().unwrap().unwrap().path()).unwrap();
    let refused = plain(&bench, SWEEP);
    assert_eq!(refused.code(), 2, "{}", refused.stderr());
    let told = plain(&bench, "plan experiments/tiny.toml");
    assert!(told.stderr().contains("`run` will refuse this plan"), "{}", told.stderr());
    assert!(refused.stderr().contains("are not mixed") && refused.stderr().contains("[exec]"), "{}", refused.stderr());

    bench.done(SWEEP);
    name_kernels(&bench, "plain");
    assert!(
        bench.done("plan experiments/tiny.toml").stdout().contains(&format!("again: computed with cpu {}", best[0]))
    );
    let run = fs::read_dir(bench.path("results/runs")).unwrap().next().unwrap().unwrap().file_name();
    let one = bench.run(&format!("{SWEEP} --only {}", run.to_str().unwrap()));
    assert_eq!(one.code(), 5, "the other run must still be measured again: {}", one.stderr());
    assert!(one.stdout().contains("different arithmetics"), "{}", one.stdout());
    bench.done(SWEEP);
    assert_eq!(computed(&bench), ["plain", "plain"]);
    name_kernels(&bench, "neon");
    let lacking = bench.run("plan experiments/tiny.toml");
    assert_eq!(lacking.code(), 3, "{}", lacking.stderr());
    assert!(lacking.stderr().contains("`kernels` must be \"plain\" or \"avx2\""), "{}", lacking.stderr());
}

#[test]
fn a_run_does_not_continue_from_a_checkpoint_of_another_instruction_set() {
    if !has_more_than_plain() {
        return;
    }
    let bench = Bench::new();
    bench.add_profile("twelve", 12, 1);
    let words = "experiments/tiny.toml --profile twelve --slots 1 --threads 1 --limit 1";
    let started = bench.start_until(words, "epoch 3/12");
    signal(Pid::from_child(&started.child), Signal::INT);
    started.end();
    name_kernels(&bench, "plain");
    let said = bench.run(words).stderr();
    assert!(
        said.contains("was computed with another arithmetic") && said.contains("the run starts from the beginning"),
        "{said}"
    );
}
