//! Helpers for processes: run commands, find processes by their command lines, stop, continue and kill them. They read
//! `/proc`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal. A process that has already ended is not an error.
pub(crate) fn signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).ok();
}

/// Returns the processes with an argument that is a path below a folder: the workers of a sweep.
pub(crate) fn workers(folder: &Path) -> Vec<Pid> {
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let below = |id: &i32| {
        let words = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        words.split(|&byte| byte == 0).any(|word| word.starts_with(folder.as_os_str().as_bytes()))
    };
    ids.filter(below).filter_map(Pid::from_raw).collect()
}

/// Returns the processes whose current folder is this one.
pub(crate) fn in_folder(folder: &Path) -> Vec<Pid> {
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_here = |id: &i32| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|current| current == folder);
    ids.filter(is_here).filter_map(Pid::from_raw).collect()
}

/// Returns the state of each thread of a process as the kernel's letter; empty if the process has ended.
fn states(pid: Pid) -> Vec<char> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { return Vec::new() };
    let state = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("stat")).ok()?;
        text.rsplit_once(") ")?.1.chars().next()
    };
    threads.filter_map(|thread| state(thread.ok()?)).collect()
}

/// Stops a process. Waits until none of its threads runs or is in the middle of a write.
pub(crate) fn stop(pid: Pid) {
    signal(pid, Signal::STOP);
    while states(pid).iter().any(|state| !matches!(state, 'T' | 't' | 'Z' | 'X')) {
        std::thread::yield_now();
    }
}

/// Kills processes and waits until they have ended. A zombie counts as ended.
pub(crate) fn kill(pids: &[Pid]) {
    pids.iter().for_each(|&pid| signal(pid, Signal::KILL));
    pids.iter().for_each(|&pid| wait_for_end(pid));
}

/// Waits until a process has ended.
pub(crate) fn wait_for_end(pid: Pid) {
    while states(pid).iter().any(|state| !matches!(state, 'Z' | 'X')) {
        std::thread::yield_now();
    }
}

/// Runs a system command. Returns the reason if it fails.
pub(crate) fn system(words: &[&str]) -> Result<(), String> {
    let said = |text: String| format!("`{}`: {}", words.join(" "), text.trim());
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    let output = output.map_err(|fault| said(fault.to_string()))?;
    if output.status.success() { Ok(()) } else { Err(said(String::from_utf8_lossy(&output.stderr).into_owned())) }
}
