//! Identifies processes and says whether they are alive. The system reuses process ids, so an id alone is not enough.
//!
//! This module reads `/proc`. Without `/proc` nothing is known about other processes, and only their leases keep them
//! from writing.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sweep_protocol::{ATTEMPT_DIR_VARIABLE, ProcessStamp};

/// Returns what identifies the process with this id among all processes of the machine. `None` if the system does not
/// say, or if the process has ended.
pub(crate) fn stamp(pid: u32) -> Option<ProcessStamp> {
    let Stat { state, start_ticks } = stat(pid)?;
    // A zombie has ended, but its parent has not waited for it yet.
    if state == "Z" || state == "X" {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    Some(ProcessStamp { boot, start_ticks })
}

struct Stat {
    state: String,
    start_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses. The name may itself contain spaces and parentheses.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.to_owned();
    // The start time is field 22 of the line. The iterator is behind field 3, the state.
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_ticks })
}

/// Returns the processes that were started by or within an attempt: those with its folder in their environment.
pub(crate) fn of_attempt(folder: &Path) -> Vec<u32> {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut mark = format!("{ATTEMPT_DIR_VARIABLE}=").into_bytes();
    mark.extend(absolute.as_os_str().as_bytes());
    let has_mark = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    let pids = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id()).filter(has_mark).collect()
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_no_other() {
        let own = stamp(std::process::id()).unwrap();
        assert_eq!(stamp(std::process::id()), Some(own.clone()));
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let of_child = stamp(child.id()).unwrap();
        assert_eq!(of_child.boot, own.boot);
        assert!(of_child.start_ticks >= own.start_ticks);
        child.kill().unwrap();
        // The child is killed but not waited for, so it becomes a zombie: it still has an entry in `/proc`, but it has
        // ended.
        while stat(child.id()).is_some_and(|stat| stat.state != "Z") {
            std::thread::yield_now();
        }
        assert_eq!(stamp(child.id()), None);
        child.wait().unwrap();
        assert_eq!(stamp(child.id()), None);
    }

    #[test]
    fn a_process_holds_memory() {
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
