//! Whether memory ran out, which a process that was killed for it cannot say.

use std::fs;
use std::path::Path;

/// How many processes of this control group the kernel has killed for memory; nothing where that is not counted.
pub(crate) fn kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let events = fs::read_to_string(Path::new("/sys/fs/cgroup").join(group).join("memory.events")).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.parse().ok()
}

/// Whether the last lines of a log tell of memory that could not be had: Rust's and CUDA's words for it.
pub(crate) fn is_told_by(log: &str) -> bool {
    let log = log.to_ascii_lowercase();
    log.contains("out of memory") || log.contains("out_of_memory") || log.contains("memory allocation of ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_allocators_are_known() {
        assert!(is_told_by("memory allocation of 4096 bytes failed"));
        assert!(is_told_by("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"));
        assert!(!is_told_by("index out of bounds"));
    }
}
