//! Says whether a scheduler works on a results folder, without touching its lock: not even a look may hinder a
//! scheduler that starts at the same time.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use sweep_protocol::{ResultsLayout, host_name};

use crate::Holder;
use crate::local::process;

/// Whether a scheduler works on a results folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// None does.
    Absent,
    /// This process of this machine does.
    Present {
        /// Process id.
        pid: u32,
        /// Time at which it took the lock: milliseconds since 1970, UTC.
        since_ms: u64,
    },
    /// A process of another machine took the lock last. Whether it is alive cannot be seen from here.
    Elsewhere(Holder),
}

/// Looks who signed the lock file, and whether this process is alive and still has the file open.
pub fn presence(layout: &ResultsLayout) -> Presence {
    let path = layout.lock();
    let Some(holder) = Holder::read(&path) else { return Presence::Absent };
    if !holder.is_of_host(&host_name()) {
        return Presence::Elsewhere(holder);
    }
    let pid = holder.pid;
    if process::stamp(pid).is_none() || !has_open(pid, &path) {
        return Presence::Absent;
    }
    let modified = fs::metadata(&path).and_then(|found| found.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Presence::Present { pid, since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
}

/// Whether a process has a file open. It tells a scheduler from a later process with the same id. `true` if the system
/// does not say, as for processes of other users.
fn has_open(pid: u32, path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return true };
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return true };
    entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::SchedulerLock;

    #[test]
    fn a_scheduler_is_there_while_it_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let layout = ResultsLayout::new(folder.path().join("results"));
        assert_eq!(presence(&layout), Presence::Absent);
        let lock = SchedulerLock::acquire(&layout).unwrap();
        assert!(matches!(presence(&layout), Presence::Present { pid, .. } if pid == std::process::id()));
        drop(lock);
        assert_eq!(presence(&layout), Presence::Absent, "the process lives on without the lock");
        let text = fs::read_to_string(layout.lock()).unwrap();
        fs::write(layout.lock(), text.replace(&host_name(), "another")).unwrap();
        assert!(matches!(presence(&layout), Presence::Elsewhere(holder) if holder.host.as_deref() == Some("another")));
    }

    #[test]
    fn a_dead_scheduler_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        let layout = ResultsLayout::new(folder.path());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        fs::write(layout.lock(), format!("{}\n", child.id())).unwrap();
        assert_eq!(presence(&layout), Presence::Absent);
    }
}
