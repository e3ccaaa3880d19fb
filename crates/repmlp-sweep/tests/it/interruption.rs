//! Sweeps that are killed, interrupted or damaged. The same command finishes them with the same results.

use std::io::Read;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::Bench;

/// Arguments of a sweep that trains long enough to be killed during training.
const SWEEP: &str = "experiments/tiny.toml --profile killed --slots 1";

fn undisturbed() -> Vec<String> {
    let bench = Bench::new();
    bench.done(SWEEP);
    bench.measurements("killed")
}

fn signal(child: &std::process::Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Returns the process of the first attempt.
fn worker(bench: &Bench) -> Pid {
    let of_run = |run: PathBuf| {
        let journal = std::fs::read_to_string(run.join("attempts/1/supervisor.jsonl")).ok()?;
        let line: serde_json::Value = serde_json::from_str(journal.lines().next()?).ok()?;
        Pid::from_raw(line["event"]["pid"].as_i64()? as i32)
    };
    std::fs::read_dir(bench.path("results/runs")).unwrap().find_map(|run| of_run(run.unwrap().path())).unwrap()
}

#[test]
fn a_sweep_stops_at_a_time_and_continues() {
    let bench = Bench::new();
    let stop = r#"exec "$0" "$@" --until $(date -d '+2 seconds' +%H:%M:%S)"#;
    // It would take hours.
    let endless = "experiments/tiny.toml --set training.epochs=1000000 --slots 1";
    let stopped = bench.through_shell(stop, endless).output().unwrap();
    let told = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert_eq!(stopped.status.code(), Some(5), "{told}");
    assert!(told.contains("stopping: attempts write a checkpoint"), "{told}");
    let plan = bench.done("plan experiments/tiny.toml --set training.epochs=1000000").stdout();
    assert!(plan.contains("2 to do") && plan.contains("interrupted") | plan.contains("continues at step"), "{plan}");
    assert_eq!(bench.run("experiments/tiny.toml --until 25:00").code(), 2);
}

#[test]
fn a_killed_scheduler_is_continued_bit_for_bit() {
    let bench = Bench::new();
    for word in ["groups=1 epoch 1/100", "groups=2 epoch 2/100"] {
        let mut started = bench.start_until(SWEEP, word);
        signal(&started.child, Signal::KILL);
        started.child.wait().unwrap();
    }
    for words in ["status", "status tiny"] {
        let said = bench.done(words).stderr();
        assert!(said.contains("no scheduler works in this results folder"), "{words}: {said}");
    }
    // The number of remaining runs is not checked: on a slow machine the training may have ended before the kill.
    bench.done(SWEEP);
    assert_eq!(bench.measurements("killed"), undisturbed());
    let again = bench.done(SWEEP);
    assert!(again.stderr().contains("0 of 2 runs to do, 2 done and reused"), "{}", again.stderr());
}

#[test]
fn a_killed_worker_costs_one_attempt() {
    let bench = Bench::new();
    let mut started = bench.start_until(SWEEP, "groups=1 epoch 1/100");
    // On a slow machine the worker may have ended already. Then nothing is lost, and the test still holds.
    kill_process(worker(&bench), Signal::KILL).ok();
    let mut rest = String::new();
    started.stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(started.child.wait().unwrap().code(), Some(0), "{rest}");
    assert_eq!(bench.measurements("killed"), undisturbed());
}

#[test]
fn an_interrupt_writes_a_checkpoint_and_the_same_command_goes_on() {
    let bench = Bench::new();
    let mut started = bench.start_until("experiments/tiny.toml --profile long --slots 1", "groups=1 epoch 2/400");
    signal(&started.child, Signal::INT);
    let mut rest = String::new();
    started.stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(started.child.wait().unwrap().code(), Some(5), "{rest}");
    let plan = bench.done("plan experiments/tiny.toml --profile long").stdout();
    assert!(plan.contains("continues at step"), "{plan}");
}

/// Returns the newest checkpoint in the results folder.
fn newest_checkpoint(bench: &Bench) -> PathBuf {
    let mut all = Vec::new();
    for run in std::fs::read_dir(bench.path("results/runs")).unwrap() {
        let folder = run.unwrap().path().join("attempts/1");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        // A kill may leave a temporary file, which is not a checkpoint.
        all.extend(files.filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("checkpoint-") && name.ends_with(".safetensors")
        }));
    }
    all.into_iter().max_by_key(|path| path.file_name().unwrap().to_owned()).unwrap()
}

#[test]
fn a_truncated_checkpoint_falls_back_to_the_one_before_and_says_so() {
    let bench = Bench::new();
    let words = "experiments/tiny.toml --profile long --slots 1";
    let mut started = bench.start_until(words, "groups=1 epoch 3/400");
    let worker = worker(&bench);
    signal(&started.child, Signal::KILL);
    started.child.wait().unwrap();
    // The worker must not write checkpoints any more. It may have ended already, since its scheduler died.
    kill_process(worker, Signal::KILL).ok();
    let words_of = |pid: Pid| std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    // A process that has ended has an empty command line or no entry at all.
    while words_of(worker).is_ok_and(|words| !words.is_empty()) {
        std::thread::yield_now();
    }
    let path = newest_checkpoint(&bench);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 3]).unwrap();
    let mut again = bench.start_until(words, "is damaged; the run continues from an earlier checkpoint");
    signal(&again.child, Signal::KILL);
    again.child.wait().unwrap();
}
