//! Pruning: poor runs stop early, stay unfinished, and are continued by a call without it.

use std::fs;

use crate::bench::Bench;

/// One run at a time, so that the order of events is always the same. The first run at a rung always goes on.
const SWEEP: &str = "experiments/tiny.toml --profile prunable --slots 1 --threads 1";

fn bench() -> Bench {
    let bench = Bench::new();
    // Long enough that a request to stop arrives before the end.
    bench.add_profile("prunable", 60, 2);
    bench
}

#[test]
fn pruned_runs_stay_unfinished_and_continue_without_pruning_to_the_same_values() {
    let bench = bench();
    let pruned = bench.run(&format!("{SWEEP} --prune asha"));
    assert_eq!(pruned.code(), 5, "{}", pruned.stderr());
    let told = pruned.stderr();
    assert!(told.contains("pruning by successive halving (ASHA) on validation accuracy"), "{told}");
    let shown = pruned.stdout();
    assert!(shown.contains("Some runs were pruned") && !shown.contains("p = ") && !shown.contains('Δ'), "{shown}");
    let count = told.matches(" is pruned after epoch ").count();
    assert!((1..4).contains(&count), "the best run goes on: {told}");
    assert_eq!(told.matches("pruned: a call without --prune continues it").count(), count, "{told}");
    assert!(!bench.path("reports").exists(), "{told}");
    let status = bench.done("status tiny --profile prunable").stdout();
    assert_eq!(status.matches("pruned").count(), count, "{status}");

    let again = bench.run(&format!("{SWEEP} --prune asha"));
    assert_eq!(again.code(), 5, "{}", again.stderr());
    assert!(again.stderr().contains("left out: pruned by an earlier call"), "{}", again.stderr());
    assert!(again.stderr().contains("0 of 4 runs to do"), "{}", again.stderr());

    let continued = bench.done(SWEEP);
    assert!(continued.stderr().contains("continues at step"), "{}", continued.stderr());
    let undisturbed = self::bench();
    undisturbed.done(SWEEP);
    assert_eq!(bench.measurements("prunable"), undisturbed.measurements("prunable"));
}

#[test]
fn a_limit_counts_only_runs_that_are_not_pruned() {
    let bench = bench();
    for calls in 1.. {
        let ran = bench.run(&format!("{SWEEP} --prune asha --limit 1"));
        assert_eq!(ran.code(), 5, "{}", ran.stderr());
        if ran.stderr().contains("0 of 4 runs to do") {
            break;
        }
        assert!(calls < 5, "each call brings one run to its end: {}", ran.stderr());
    }
    let status = bench.done("status tiny --profile prunable").stdout();
    assert!(!status.contains("queued"), "{status}");
}

#[test]
fn without_validation_nothing_is_pruned_and_it_is_said() {
    let bench = Bench::new();
    let path = bench.path("experiments/base/tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("validation = 0.01\n", "")).unwrap();
    let ran = bench.done("experiments/tiny.toml --prune median");
    assert_eq!(ran.stderr().matches("note: nothing can be pruned").count(), 1, "{}", ran.stderr());
}

#[test]
fn pruning_is_refused_where_it_cannot_work() {
    let bench = Bench::new();
    let refused = bench.run("experiments/tiny.toml --prune median --launcher slurm");
    assert!(refused.code() == 2 && refused.stderr().contains("this machine only"), "{}", refused.stderr());
    assert_eq!(bench.run("experiments/tiny.toml --prune-after 2").code(), 2);
    assert_eq!(bench.run("experiments/tiny.toml --prune median --prune-after 0").code(), 2);
}
