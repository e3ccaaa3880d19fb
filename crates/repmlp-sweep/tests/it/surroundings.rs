//! Faults in the environment of a sweep: terminals, disks, programs and folders that disappear or are changed by hand.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal};

use crate::bench::{Bench, Ran, Started, skipped};
use crate::processes::{signal, system, workers};

/// Arguments of a sweep with two runs of three epochs.
const SWEEP: &str = "experiments/tiny.toml --slots 1 --threads 1";

/// Returns the measurements of an undisturbed sweep.
fn undisturbed() -> &'static [String] {
    static MEASURED: OnceLock<Vec<String>> = OnceLock::new();
    MEASURED.get_or_init(|| {
        let bench = Bench::new();
        bench.done(SWEEP);
        bench.measurements("default")
    })
}

/// Returns the folders of all runs.
fn runs(bench: &Bench) -> Vec<PathBuf> {
    let mut runs: Vec<_> = fs::read_dir(bench.path("results/runs")).unwrap().map(|run| run.unwrap().path()).collect();
    runs.sort();
    runs
}

/// Checks that nothing is left to do and that the values are those of an undisturbed sweep.
fn is_finished(bench: &Bench, expected: &[String]) {
    let again = bench.done(SWEEP).stderr();
    assert!(again.contains("0 of 2 runs to do, 2 done and reused"), "{again}");
    assert_eq!(bench.measurements("default"), expected);
}

#[test]
fn a_sweep_without_a_reader_of_its_output_is_finished() {
    let expected = undisturbed();
    let whole = "exec \"$0\" \"$@\"";
    for (lost, code) in [(">&- 2>&-", 0), ("2>/dev/full", 0), (">/dev/full", 21)] {
        let bench = Bench::new();
        let ran = bench.through_shell(&format!("{whole} {lost}"), SWEEP).output().unwrap();
        assert_eq!(ran.status.code(), Some(code), "{lost}: {}", Ran(ran).stderr());
        assert!(bench.path("reports/tiny/default/report.md").exists(), "{lost}");
        is_finished(&bench, expected);
    }
}

#[test]
fn a_hang_up_counts_as_one_interrupt_and_is_ignored_under_nohup() {
    let bench = Bench::new();
    let words = "experiments/tiny.toml --profile long --slots 1";
    let started = bench.start_until(words, "groups=1 epoch 1/400");
    signal(Pid::from_child(&started.child), Signal::HUP);
    let (code, said) = started.end();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("stopping: attempts write a checkpoint"), "{said}");

    let ignoring = bench.through_shell("trap '' HUP; exec \"$0\" \"$@\"", SWEEP);
    let started = Started::until(ignoring, "groups=1 started");
    let scheduler = Pid::from_child(&started.child);
    signal(scheduler, Signal::HUP);
    workers(bench.folder()).into_iter().for_each(|worker| signal(worker, Signal::HUP));
    let (code, said) = started.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("stopping"), "{said}");
}

#[test]
fn a_data_folder_with_a_name_that_is_not_utf8_is_a_usage_error() {
    let bench = Bench::new();
    let name = bench.folder().join(OsStr::from_bytes(b"d\xff"));
    fs::create_dir(&name).unwrap();
    let ran = Ran(bench.command(SWEEP).arg("--data").arg(&name).output().unwrap());
    assert_eq!(ran.code(), 2, "{}", ran.stderr());
    assert!(ran.stderr().contains("not UTF-8 text"), "{}", ran.stderr());
}

#[test]
fn a_program_file_that_is_replaced_meanwhile_changes_nothing() {
    let bench = Bench::new();
    let copy = bench.path("program");
    fs::copy(env!("CARGO_BIN_EXE_repmlp-sweep"), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.args(SWEEP.split_whitespace()).current_dir(bench.folder()).stdin(Stdio::null());
    let started = Started::until(command, "groups=1 started");
    let other = bench.path("other");
    fs::write(&other, "#!/bin/sh\nexit 99\n").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(other, &copy).unwrap();
    let (code, said) = started.end();
    assert_eq!(code, Some(0), "{said}");
    is_finished(&bench, undisturbed());
}

/// A file system mounted on a folder. It is unmounted when dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn new(folder: &Path, options: &[&str]) -> Result<Self, String> {
        let folder_text = folder.to_str().unwrap();
        system(&[&["mount"], options, &[folder_text]].concat())?;
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let folder = self.0.to_str().unwrap();
        if system(&["umount", folder]).is_err() {
            system(&["umount", "-l", folder]).ok();
        }
    }
}

#[test]
fn a_low_limit_of_open_files_is_an_error_and_not_a_panic() {
    let bench = Bench::new();
    for files in 4..20 {
        let ran = bench.through_shell(&format!("ulimit -n {files}; exec \"$0\" \"$@\""), "status").output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!([2, 21].contains(&ran.status.code().unwrap()), "{files} files: {:?} {said}", ran.status);
    }
}

#[test]
fn a_read_only_results_folder_can_still_be_queried() {
    let bench = Bench::new();
    bench.add_profile("more", 2, 1);
    bench.done(SWEEP);
    let expected = bench.measurements("default");
    let results = bench.path("results");
    let text = results.to_str().unwrap();
    // The permissions of a folder do not apply to root, so the folder is mounted read-only.
    let mount = Mount::new(&results, &["--bind", text]).and_then(|mount| {
        system(&["mount", "-o", "remount,bind,ro", text])?;
        Ok(mount)
    });
    let is_root = rustix::process::geteuid().is_root();
    if let (Err(why), true) = (&mount, is_root) {
        return skipped("a read-only results folder", why);
    }
    system(&["chmod", "-R", "a-w", text]).ok();
    let run = runs(&bench)[0].file_name().unwrap().to_str().unwrap().to_owned();
    for words in [
        SWEEP,
        "status",
        "status tiny",
        "plan experiments/tiny.toml",
        "export experiments/tiny.toml",
        &format!("show {run}"),
        &format!("logs {run}"),
        "report experiments/tiny.toml --json",
        "report experiments/tiny.toml --reports elsewhere",
    ] {
        let ran = bench.run(words);
        assert_eq!(ran.code(), 0, "{words}: {}", ran.stderr());
    }
    assert_eq!(bench.measurements("default"), expected);
    assert!(bench.path("elsewhere/tiny/default/report.md").exists());
    let ran = bench.run(&format!("{SWEEP} --profile more"));
    assert_eq!(ran.code(), 21, "{}", ran.stderr());
    drop(mount);
    system(&["chmod", "-R", "u+w", text]).unwrap();
}

/// Python program that locks the index for longer than SQLite waits by default.
const HOLD: &str = "
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=100)
connection.execute('BEGIN EXCLUSIVE')
print('held', flush=True)
time.sleep(6)
connection.execute('COMMIT')
";

#[test]
fn a_program_that_locks_the_index_does_not_end_a_sweep() {
    let bench = Bench::new();
    let started = bench.start_until(SWEEP, "groups=1 started");
    let mut python = Command::new("python3");
    python.args(["-c", HOLD]).arg(bench.path("results/metrics.sqlite")).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut holder) = python.spawn() else { return skipped("a locked index", "there is no python3") };
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (code, said) = started.end();
    assert_eq!(code, Some(0), "{said}");
    if !holder.wait().unwrap().success() {
        return skipped("a locked index", "python3 has no sqlite3");
    }
    assert_eq!(line, "held\n");
    assert!(said.contains("waiting for the index"), "{said}");
    is_finished(&bench, undisturbed());
}

#[test]
fn a_deleted_run_folder_is_reported_and_the_run_is_trained_again() {
    let bench = Bench::new();
    bench.done(SWEEP);
    let expected = bench.measurements("default");
    let run = runs(&bench)[0].clone();
    fs::remove_dir_all(&run).unwrap();
    let id = &run.file_name().unwrap().to_str().unwrap()[..10];
    for words in [
        "plan experiments/tiny.toml",
        "status tiny",
        &format!("show {id}"),
        "report experiments/tiny.toml --reports elsewhere",
        "export experiments/tiny.toml",
    ] {
        let ran = bench.done(words);
        let said = ran.stdout() + &ran.stderr();
        // A report of fewer runs would replace the published one.
        let words_for_it = ["incomplete", "deleted", "2 runs are published and 1 are finished"];
        assert!(words_for_it.iter().any(|word| said.contains(word)), "{words}: {said}");
    }
    let again = bench.done(SWEEP).stderr();
    assert!(again.contains("1 of 2 runs to do, 1 done and reused"), "{again}");
    is_finished(&bench, &expected);
}

#[test]
fn runs_with_emptied_journals_are_trained_again() {
    let bench = Bench::new();
    bench.done(SWEEP);
    let expected = bench.measurements("default");
    for (file, left) in [("journal.jsonl", 0), ("journal.jsonl", 100), ("supervisor.jsonl", 0)] {
        for run in runs(&bench) {
            let attempts = fs::read_dir(run.join("attempts")).unwrap().count();
            let path = run.join("attempts").join(attempts.to_string()).join(file);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..left]).unwrap();
        }
        let again = bench.done(SWEEP).stderr();
        if file == "journal.jsonl" {
            assert!(again.contains("2 of 2 runs to do"), "{file} {left}: {again}");
        }
        is_finished(&bench, &expected);
    }
}

#[test]
fn a_sweep_on_a_full_disk_is_finished_when_there_is_space_again() {
    let expected = undisturbed();
    let bench = Bench::new();
    fs::create_dir(bench.path("results")).unwrap();
    let results = bench.path("results");
    let mounted = Mount::new(&results, &["-t", "tmpfs", "-o", "size=8m", "tmpfs"]);
    let _mount = match mounted {
        Ok(mount) => mount,
        Err(why) => return skipped("a full disk", &why),
    };
    // More and more free space: from none to enough for almost the whole training.
    for blocks in [0, 1, 8, 30, 60, 100, 200, 400] {
        let filler = bench.path("results/filler");
        fs::remove_file(&filler).ok();
        let free = free_kib(&results).saturating_sub(blocks * 4);
        fs::write(&filler, vec![1; free * 1024]).unwrap();
        let ran = bench.run(SWEEP);
        assert!([0, 10, 21].contains(&ran.code()), "{blocks}: {}", ran.stderr());
        let names_cause = ["No space left", "no storage space", "disk"].iter().any(|word| ran.stderr().contains(word));
        assert!(ran.code() == 0 || names_cause, "{blocks}: {}", ran.stderr());
        fs::remove_file(&filler).unwrap();
    }
    bench.done(SWEEP);
    is_finished(&bench, expected);
}

fn free_kib(folder: &Path) -> usize {
    let output = Command::new("df").args(["-k", "--output=avail"]).arg(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
}

#[test]
fn a_run_with_processes_that_were_killed_repeatedly_is_tried_again_by_the_next_call() {
    let bench = Bench::new();
    let mut started = bench.start_until("experiments/tiny.toml --profile long --slots 1", "groups=1 started");
    while started.child.try_wait().unwrap().is_none() {
        workers(bench.folder()).into_iter().for_each(|worker| signal(worker, Signal::KILL));
    }
    let (code, said) = started.end();
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains("groups=1 failed:crash: died before it reported a result, signal: 9 (SIGKILL)"), "{said}");
    let plan = bench.done("plan experiments/tiny.toml --profile long").stdout();
    assert_eq!(plan.matches("failed:crash, tried again").count(), 2, "{plan}");
    let again = bench.start_until("experiments/tiny.toml --profile long --slots 1", "groups=1 epoch");
    signal(Pid::from_child(&again.child), Signal::KILL);
    again.end();
}

/// A control group with a memory limit. It is removed when dropped.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// Makes a group of version 1 or 2. Returns the reason if that is not possible on this machine.
    fn new(bytes: u64) -> Result<Self, String> {
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|fault| fault.to_string())?;
        let own = |start: &str| groups.lines().find_map(|line| Some(line.split_once(start)?.1.trim_start_matches('/')));
        let name = format!("repmlp-sweep-{}", std::process::id());
        let first =
            own(":memory:").map(|group| (Path::new("/sys/fs/cgroup/memory").join(group), "memory.limit_in_bytes"));
        let second = own("0::").map(|group| (Path::new("/sys/fs/cgroup").join(group), "memory.max"));
        let (folder, limit) = first.or(second).ok_or("there are no control groups")?;
        let group = Self(folder.join(name));
        fs::create_dir(&group.0).map_err(|fault| format!("{}: {fault}", group.0.display()))?;
        fs::write(group.0.join(limit), bytes.to_string()).map_err(|fault| format!("{limit}: {fault}"))?;
        // Swapping is turned off, since otherwise memory would not run out.
        for (file, none) in [("memory.swappiness", "0"), ("memory.swap.max", "0")] {
            fs::write(group.0.join(file), none).ok();
        }
        Ok(group)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}

#[test]
fn a_kill_for_memory_is_reported_as_oom() {
    let group = match MemoryGroup::new(64 << 20) {
        Ok(group) => group,
        Err(why) => return skipped("a kill for memory", &why),
    };
    let bench = Bench::new();
    let base = bench.path("experiments/base/tiny.toml");
    let text = fs::read_to_string(&base).unwrap();
    // The network has 26 million parameters. The scheduler needs half of the group's memory.
    fs::write(&base, text.replace("widths = [2, 2, 2]", "widths = [32, 32, 32]")).unwrap();
    let script = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", group.0.display());
    let ran = Ran(bench.through_shell(&script, SWEEP).output().unwrap());
    assert_eq!(ran.code(), 10, "{}", ran.stderr());
    // Each of the two runs is tried again once, alone.
    let killed = ran.stderr().matches("failed:oom: died before it reported a result, signal: 9").count();
    assert_eq!(killed, 4, "{}", ran.stderr());
    let plan = bench.done("plan experiments/tiny.toml").stdout();
    assert_eq!(plan.matches("failed:oom, tried again").count(), 2, "{plan}");
}
