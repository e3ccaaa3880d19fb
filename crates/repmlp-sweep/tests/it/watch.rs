//! `watch`: the state as JSON, and a real terminal that is left as it was found.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::bench::Bench;
use crate::processes::{signal, workers};

#[test]
fn the_state_of_a_sweep_is_printed_as_json() {
    let bench = Bench::new();
    assert_eq!(bench.run("watch --json").code(), 2, "nothing was started");
    assert_eq!(bench.run("experiments/tiny.toml --limit 1").code(), 5, "one run is left");
    assert_eq!(bench.run("watch tiny").code(), 2, "standard output is not a terminal");
    let text = bench.done("watch tiny --json").stdout();
    let state: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(state["estimate"]["done"], 1);
    assert_eq!(state["estimate"]["queued"], 1);
    assert_eq!(state["sweep"]["experiment"], "tiny");
}

#[test]
fn the_terminal_is_restored_when_the_program_is_ended() {
    let bench = Bench::new();
    bench.run("experiments/tiny.toml --limit 1");
    let (record, results) = (bench.path("typescript"), bench.path("results"));
    let program = env!("CARGO_BIN_EXE_repmlp-sweep");
    // A terminal of `script` has no size of its own.
    let command = format!("stty rows 24 cols 80; exec {program} watch --results {}", results.display());
    let mut terminal = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &command])
        .arg(&record)
        .current_dir(bench.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let shown = || String::from_utf8_lossy(&fs::read(&record).unwrap_or_default()).into_owned();
    while !shown().contains("the sweep goes on") {
        assert!(terminal.try_wait().unwrap().is_none(), "it ended: {}", shown());
        std::thread::yield_now();
    }
    workers(&results).into_iter().for_each(|pid| signal(pid, Signal::TERM));
    assert!(terminal.wait().unwrap().success(), "{}", shown());
    let text = shown();
    let (enter, leave) = (text.find("\u{1b}[?1049h"), text.rfind("\u{1b}[?1049l"));
    assert!(enter.is_some() && leave > enter, "the other screen is left again: {text}");
    assert!(text.rfind("\u{1b}[?25h") > text.rfind("\u{1b}[?25l"), "the cursor is shown again: {text}");
}
