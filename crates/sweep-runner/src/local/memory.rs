//! Detects that a process was killed because memory ran out. A killed process cannot report this itself.
//!
//! There are three sources: the kernel's count of such kills in the control group (versions 1 and 2), the memory that
//! the process held when it was last checked, and the end of its log.

use std::fs;
use std::path::Path;

use super::process;

/// A process that held at least this share of its memory limit when it was killed counts as killed for memory.
const SUSPECT_SHARE: f64 = 0.8;

/// Number of processes in this control group that the kernel has killed for memory; `None` if there is no such count.
pub(crate) fn kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let count = |file: &str| {
        let (path, key) = file_of(&groups, file)?;
        read_count(&fs::read_to_string(path).ok()?, key)
    };
    count("memory.events").or_else(|| count("memory.oom_control"))
}

/// Path of a file of this process's control group, and the key of the kill count in it.
fn file_of(groups: &str, file: &str) -> Option<(std::path::PathBuf, &'static str)> {
    let root = Path::new("/sys/fs/cgroup");
    let below = |group: &str| group.trim_start_matches('/').to_owned();
    match file {
        // Version 2 has a single tree.
        "memory.events" | "memory.max" => {
            let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
            Some((root.join(below(group)).join(file), "oom_kill "))
        }
        // Version 1 has one tree per controller.
        _ => {
            let group = groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let controllers = parts.next()?;
                controllers.split(',').any(|name| name == "memory").then(|| parts.next()).flatten()
            })?;
            Some((root.join("memory").join(below(group)).join(file), "oom_kill "))
        }
    }
}

fn read_count(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.trim().parse().ok()
}

/// Memory in bytes that a process here can use: the smaller of the control group's limit and the machine's memory.
fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_group = ["memory.max", "memory.limit_in_bytes"].into_iter().filter_map(|file| {
        let (path, _) = file_of(&groups, file)?;
        fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    });
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(kib.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    });
    of_group.chain(machine).min()
}

/// Memory in bytes that new processes can use now, without swapping: what the kernel calls available, or the control
/// group's limit if that is less. `None` if the system does not say.
pub fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = kib.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024;
    Some(limit().map_or(machine, |limit| machine.min(limit)))
}

/// Memory that a process held when it was last checked, and the largest that it held.
#[derive(Debug, Default)]
pub(crate) struct MemoryWatch {
    limit: Option<u64>,
    held: u64,
    peak: u64,
}

impl MemoryWatch {
    pub(crate) fn new() -> Self {
        Self { limit: limit(), held: 0, peak: 0 }
    }

    /// Reads how much memory a process holds.
    pub(crate) fn look(&mut self, pid: u32) {
        self.held = process::resident_bytes(pid).unwrap_or(self.held);
        self.peak = self.peak.max(self.held);
    }

    /// Returns the largest memory that the process held when it was checked.
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    /// Whether the process held so much memory that a kill was probably for memory.
    pub(crate) fn suspects(&self) -> bool {
        self.limit.is_some_and(|limit| self.held as f64 >= SUSPECT_SHARE * limit as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_found() {
        let second = file_of("0::/user.slice/a\n", "memory.events").unwrap();
        assert_eq!(second.0, Path::new("/sys/fs/cgroup/user.slice/a/memory.events"));
        let first = file_of("5:cpu,cpuacct:/x\n4:memory:/docker/b\n0::/\n", "memory.oom_control").unwrap();
        assert_eq!(first.0, Path::new("/sys/fs/cgroup/memory/docker/b/memory.oom_control"));
        assert!(file_of("5:cpu:/x\n", "memory.oom_control").is_none());
        assert_eq!(read_count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill "), Some(3));
    }

    #[test]
    fn a_process_that_held_most_of_its_memory_is_suspect() {
        let watch = |held| MemoryWatch { limit: Some(1000), held, peak: held };
        assert!(watch(800).suspects() && !watch(799).suspects());
        assert!(!MemoryWatch::default().suspects());
    }
}
