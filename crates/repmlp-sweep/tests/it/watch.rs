//! `watch`: the state of finished, running, abandoned and damaged sweeps, and a terminal that is given back.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::mpsc;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

use crate::bench::Bench;
use crate::processes::signal;

/// A sweep that is still in its first run when it is looked at.
const LONG: &str = "experiments/tiny.toml --profile long --slots 1";

fn state(bench: &Bench, words: &str) -> Value {
    serde_json::from_str(&bench.done(&format!("watch --json {words}")).stdout()).unwrap()
}

#[test]
fn a_finished_sweep_is_over() {
    let bench = Bench::new();
    let ran = bench.run("watch --json");
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("nothing has been run in this results folder"), "{}", ran.stderr());
    bench.done("experiments/tiny.toml --slots 1");
    let state = state(&bench, "tiny");
    assert_eq!(state["counts"]["succeeded"], 2, "{state}");
    assert_eq!((&state["scheduler"]["kind"], &state["share"]), (&"absent".into(), &1.0.into()));
    assert_eq!((&state["seconds_left"], state["queue"].as_array().unwrap().len()), (&Value::Null, 0));
    let labels: Vec<&str> =
        state["finished"].as_array().unwrap().iter().map(|run| run["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["groups=1", "groups=2"]);
    assert!(state["finished"][1]["seconds"].as_f64().unwrap() > 0.0, "its last attempt was read");
    let other = bench.run("watch --json another");
    assert_eq!(other.code(), 2);
    assert!(other.stderr().contains("known: tiny (default)"), "{}", other.stderr());
}

#[test]
fn a_running_sweep_is_followed_and_an_abandoned_one_says_so() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml --slots 1");
    let mut started = bench.start_until(LONG, "groups=1 epoch 2/400");
    let running = state(&bench, "");
    assert_eq!(running["profile"], "long", "it was last active: {running}");
    assert_eq!(running["scheduler"]["pid"], started.child.id());
    let attempt = &running["slots"][0]["running"];
    assert_eq!((&attempt["label"], &attempt["epochs"]), (&"groups=1".into(), &400.into()));
    assert!(attempt["step"].as_u64() >= Some(8), "{attempt}");
    assert!(attempt["curve"].as_array().unwrap().len() >= 2, "{attempt}");
    assert!(running["seconds_left"].as_f64() >= Some(1.0), "{running}");
    assert_eq!(running["queue"][0]["label"], "groups=2");
    assert_eq!(state(&bench, "tiny --profile default")["counts"]["succeeded"], 2);

    signal(Pid::from_child(&started.child), Signal::KILL);
    started.child.wait().unwrap();
    let abandoned = state(&bench, "");
    assert_eq!((&abandoned["scheduler"]["kind"], &abandoned["seconds_left"]), (&"absent".into(), &Value::Null));
    // A look has not hindered the next scheduler.
    let mut next = bench.start_until(LONG, "groups=1");
    next.child.kill().unwrap();
    next.child.wait().unwrap();
}

#[test]
fn a_failed_run_is_shown_with_its_reason_and_log() {
    let bench = Bench::new();
    assert_eq!(bench.run("experiments/tiny.toml --profile diverging --slots 1").code(), 10);
    let state = state(&bench, "");
    let failure = &state["failures"][0];
    assert_eq!((&failure["label"], &failure["status"]), (&"groups=1".into(), &"failed:diverged".into()));
    assert!(failure["reason"].as_str().unwrap().contains("loss"), "{failure}");
    assert!(bench.path(failure["log"].as_str().unwrap()).exists(), "{failure}");
}

#[test]
fn damage_costs_no_more_than_what_is_damaged() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml --slots 1");
    fs::remove_file(bench.path("results/metrics.sqlite")).unwrap();
    assert_eq!(state(&bench, "")["counts"]["succeeded"], 2, "without an index the journals are read");
    let mut runs = fs::read_dir(bench.path("results/runs")).unwrap();
    let attempt = runs.next().unwrap().unwrap().path().join("attempts/1");
    fs::write(attempt.join("journal.jsonl"), "this is no journal\n").unwrap();
    assert_eq!(state(&bench, "")["counts"]["queued"], 1, "the run is incomplete");
    fs::remove_dir_all(attempt.parent().unwrap()).unwrap();
    assert_eq!(state(&bench, "")["counts"]["succeeded"], 1);
    fs::write(bench.path("results/experiments/tiny/default/plan.json"), "{").unwrap();
    let ran = bench.run("watch --json");
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("not a plan"), "{}", ran.stderr());
}

#[test]
fn without_a_terminal_it_is_refused() {
    let bench = Bench::new();
    let ran = bench.run("watch");
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("`watch --json` prints the state once"), "{}", ran.stderr());
    assert_eq!(bench.run("watch --interval 1ms").code(), 2);
}

/// A pseudo-terminal of 80 columns and 24 rows.
struct PseudoTerminal {
    slave: OwnedFd,
    keyboard: File,
    /// What was written to it, piece by piece.
    written: mpsc::Receiver<String>,
}

impl PseudoTerminal {
    fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        tcsetwinsize(&slave, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let keyboard = File::from(master.try_clone().unwrap());
        let (sender, written) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut master, mut piece) = (File::from(master), [0; 4096]);
            while let Ok(length @ 1..) = master.read(&mut piece) {
                if sender.send(String::from_utf8_lossy(&piece[..length]).into_owned()).is_err() {
                    break;
                }
            }
        });
        Self { slave, keyboard, written }
    }

    fn end(&self) -> Stdio {
        Stdio::from(self.slave.try_clone().unwrap())
    }

    /// Waits until all of these words were written.
    fn wait_for(&self, so_far: &mut String, words: &[&str]) {
        while !words.iter().all(|word| so_far.contains(word)) {
            *so_far += &self.written.recv().unwrap();
        }
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }
}

const LEFT: &str = "\x1b[?1049l\x1b[?25h";

#[test]
fn a_signal_or_a_key_gives_the_terminal_back() {
    let bench = Bench::new();
    bench.done("experiments/tiny.toml --slots 1");
    for end in [Some(Signal::TERM), Some(Signal::HUP), Some(Signal::INT), None] {
        let mut terminal = PseudoTerminal::new();
        let mut command = bench.command("watch --color never");
        command.stdin(terminal.end()).stdout(terminal.end()).stderr(terminal.end());
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut written = String::new();
        terminal.wait_for(&mut written, &["\x1b[?1049h", "tiny", "finished", "groups=2", "leave"]);
        assert!(terminal.is_raw(), "keys are read one by one");
        match end {
            Some(end) => signal(Pid::from_child(&child), end),
            None => terminal.keyboard.write_all(b"q").unwrap(),
        }
        assert_eq!(child.wait().unwrap().code(), Some(0));
        terminal.wait_for(&mut written, &[LEFT]);
        assert!(!terminal.is_raw(), "the terminal is as before");
    }
}
