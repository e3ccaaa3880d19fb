//! Compiles the commit id into the program, so that every attempt can record which code it ran.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../../.git/HEAD");
    println!("cargo::rerun-if-changed=../../.git/refs/heads");
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=REPMLP_SWEEP_COMMIT={commit}");
    let devices = if std::env::var_os("CARGO_FEATURE_CUDA").is_some() { "cpu, cuda" } else { "cpu" };
    println!("cargo::rustc-env=REPMLP_SWEEP_DEVICES={devices}");
}
