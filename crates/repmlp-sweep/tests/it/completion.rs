//! Tests of shell completion.

use std::process::Command;

use crate::bench::Bench;

/// Returns the program's answer to a bash that asks for completions of the last of these words.
fn offered(bench: &Bench, words: &[&str]) -> Vec<String> {
    let mut command: Command = bench.command("--");
    command.arg("repmlp-sweep").args(words).env("REPMLP_SWEEP_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    let answer = command.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8(answer.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn runs_experiments_profiles_and_networks_are_offered() {
    let bench = Bench::new();
    assert!(bench.done("completions bash").stdout().contains("REPMLP_SWEEP_COMPLETE="));
    assert!(offered(&bench, &["show", ""]).iter().all(|word| word.starts_with('-')), "nothing was run yet");
    bench.done("experiments/tiny.toml --slots 1");
    let run = std::fs::read_dir(bench.path("results/runs")).unwrap().next().unwrap().unwrap().file_name();
    let short = &run.to_str().unwrap()[..10];
    assert!(offered(&bench, &["show", &short[..4]]).contains(&short.to_owned()));
    assert!(offered(&bench, &["status", "ti"]).contains(&"tiny".to_owned()));
    assert!(offered(&bench, &["plan", "experiments/tiny.toml", "--profile", "lo"]).contains(&"long".to_owned()));
    assert!(
        offered(&bench, &["experiments/tiny.toml", "--profile", "lo"]).contains(&"long".to_owned()),
        "`run` is implied"
    );
    assert_eq!(offered(&bench, &["status", "ti"]).len(), 1);
    assert!(offered(&bench, &["count", "repmlp-res50"]).contains(&"repmlp-res50".to_owned()));
}
