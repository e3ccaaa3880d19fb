//! Slurm that answers oddly, late or not at all. Programs on PATH stand for its commands.

use std::fs;
use std::io::BufReader;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Bench, Ran, Started};
use crate::slurm::{SWEEP, attempts, closings, project, with_programs};

/// A project with both runs in the queue as job 7. Returns it with the PATH of its programs.
fn submitted(squeue: &str) -> (Bench, String) {
    let bench = project("");
    let note = |name: &str| format!("echo \"$@\" >> {}", bench.path(name).display());
    let sbatch = format!("{}; echo 7", note("sbatch.txt"));
    let scancel = note("scancel.txt");
    let path = with_programs(
        &bench,
        &[("scontrol", "exit 0"), ("sbatch", &sbatch), ("scancel", &scancel), ("squeue", squeue)],
    );
    let detached = Ran(bench.command(&format!("{SWEEP} --detach")).env("PATH", &path).output().unwrap());
    assert_eq!(detached.code(), 5, "{}", detached.stderr());
    (bench, path)
}

fn lines(bench: &Bench, name: &str) -> Vec<String> {
    fs::read_to_string(bench.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn an_answer_that_cannot_be_read_says_nothing_about_tasks() {
    let (bench, path) = submitted("echo '<html>502</html>'");
    let again = Ran(bench.command(&format!("{SWEEP} --detach")).env("PATH", &path).output().unwrap());
    assert_eq!(again.code(), 5, "{}", again.stderr());
    assert!(again.stderr().contains("answered `<html>502</html>`"), "{}", again.stderr());
    assert_eq!((closings(&bench), attempts(&bench).len()), (Vec::new(), 2));
    assert_eq!(lines(&bench, "sbatch.txt").len(), 1);
}

#[test]
fn an_interruption_while_the_queue_is_asked_submits_nothing() {
    let (bench, path) = submitted("echo > asked; exec sleep 1000");
    let asked = bench.path("asked");
    assert!(Command::new("mkfifo").arg(&asked).status().unwrap().success());
    let mut command = bench.command(&format!("{SWEEP} --only groups=1"));
    let mut child = command.env("PATH", &path).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let started = Started { child, stderr };
    // Opening a pipe waits for its other end.
    fs::read(&asked).unwrap();
    kill_process(Pid::from_child(&started.child), Signal::TERM).unwrap();
    let (code, text) = started.end();
    assert_eq!(code, Some(5), "{text}");
    assert_eq!(lines(&bench, "sbatch.txt").len(), 1, "{text}");
    assert_eq!((closings(&bench), attempts(&bench).len()), (Vec::new(), 2));
}

#[test]
fn a_task_that_has_begun_and_waits_again_leaves_the_queue_on_cancel() {
    let answer = "printf '7|0|PENDING|BeginTime||\\n7|1|RUNNING|None|n1|\\n'";
    let (bench, path) = submitted(answer);
    for (_, folder) in attempts(&bench) {
        fs::write(folder.join("journal.jsonl"), "").unwrap();
    }
    let cancelled = Ran(bench.command("cancel experiments/tiny.toml").env("PATH", &path).output().unwrap());
    assert_eq!(cancelled.code(), 0, "{}", cancelled.stderr());
    assert_eq!(lines(&bench, "scancel.txt"), ["--quiet 7_0", "--quiet --batch --signal=TERM 7_1"]);
}
