//! Which process an id means, and whether it still lives: ids are used again, so an id alone says nothing.
//!
//! Reads `/proc`; where there is none, nothing is known of other processes, and their leases keep them from writing.

use std::fs;

use sweep_protocol::ProcessStamp;

/// What tells the process with this id from others; nothing where the system does not say, or when it has ended.
pub(crate) fn stamp(pid: u32) -> Option<ProcessStamp> {
    let Stat { state, start_ticks } = stat(pid)?;
    // A zombie has ended; only its parent has not asked yet.
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
    // The second field is the program's name in brackets, which may itself hold blanks and brackets.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.to_owned();
    // Field 22 of all; the state is field 3.
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_ticks })
}

/// Bytes of memory that a process holds.
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
        // Killed and not waited for, it is a zombie: from its parent's view there, and yet ended.
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
