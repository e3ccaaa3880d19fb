//! The name of this machine.

/// Returns the name of this machine; `unknown` if the system does not say.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    name.or_else(|| std::env::var("HOSTNAME").ok()).map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}
