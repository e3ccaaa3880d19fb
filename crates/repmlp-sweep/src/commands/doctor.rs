//! `doctor`: what this build and this machine have, what is wrong, and what to do about it.

use std::fs;
use std::path::Path;

use anyhow::Result;
use repmlp_train::{Gpu, NoGpu, TRAINER_VERSION, gpus};
use rustix::fs::{Access, access, statfs, statvfs};
use serde_json::json;
use sweep_protocol::error_chain;
use sweep_runner::available_memory;
use sweep_trainer::Trainer;

use super::{print, print_json, train};
use crate::cli::DoctorArgs;
use crate::exit::Exit;
use crate::program::Program;
use crate::project::Project;

/// Free bytes below which a results folder soon fails: the checkpoints of a few runs.
const LITTLE_SPACE: u64 = 2 << 30;
/// Open files that a scheduler with a few slots needs.
const FEW_FILES: u64 = 256;
/// Types of network file systems: NFS, SMB, CIFS, Lustre, FUSE.
const NETWORKS: [(i64, &str); 5] =
    [(0x6969, "NFS"), (0x517b, "SMB"), (0xff53_4d42, "CIFS"), (0x0bd0_0bd0, "Lustre"), (0x6573_5546, "FUSE")];

/// What was found.
#[derive(Default)]
struct Findings {
    facts: Vec<(&'static str, String)>,
    problems: Vec<Problem>,
}

/// Something that is wrong, and what to do.
struct Problem {
    what: String,
    remedy: &'static str,
}

/// Prints what this build and machine have. With a device, the exit code says whether it can be used.
pub(crate) fn run(arguments: &DoctorArgs, program: &Program) -> Result<Exit> {
    let layout = Project::here().results(&arguments.results);
    let mut findings = Findings::default();
    findings.add_program();
    findings.add_processor();
    findings.add_gpus();
    findings.add_limits();
    findings.add_folder(layout.root());
    let device = arguments.device.as_ref().map(|name| program.candle.device(name)).transpose();
    if let Err(fault) = &device {
        let remedy = "name another device, or use a build that has it: see .ci/build-cuda, and `program` in [exec]";
        findings.problem(error_chain(fault), remedy);
    }
    if !arguments.json {
        print(&findings.text())?;
    }
    let device_name = device.as_ref().ok().cloned().flatten();
    if arguments.json {
        let facts = findings.facts.iter().map(|(name, value)| json!({ "name": name, "value": value }));
        let problem = |problem: &Problem| json!({ "what": problem.what, "remedy": problem.remedy });
        print_json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "trainer_version": TRAINER_VERSION,
            "device": device_name,
            "facts": facts.collect::<Vec<_>>(),
            "problems": findings.problems.iter().map(problem).collect::<Vec<_>>(),
        }))?;
    } else if let Some(device) = device_name {
        print(&format!("\n{device} can be used\n"))?;
    }
    // The device is what was asked for, so its fault is the answer, also for a scheduler that asks.
    device?;
    Ok(Exit::Done)
}

impl Findings {
    fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push((name, value.into()));
    }

    fn problem(&mut self, what: impl Into<String>, remedy: &'static str) {
        self.problems.push(Problem { what: what.into(), remedy });
    }

    fn add_program(&mut self) {
        let origin = train::origin();
        self.fact("program", format!("{} {}", env!("CARGO_PKG_NAME"), origin.code));
        self.fact("trainer", format!("version {}", TRAINER_VERSION));
        self.fact("host", origin.host);
        self.fact("processor", origin.processor.unwrap_or_else(|| "unknown".to_owned()));
    }

    fn add_processor(&mut self) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.fact("cores", format!("{cores} that this process may use"));
        let sets = repmlp_kernels::instruction_sets().join(", ");
        self.fact("kernels", format!("{} is used; this processor has {sets}", repmlp_kernels::instruction_set()));
        if repmlp_kernels::instruction_set() == "plain" && cfg!(target_arch = "x86_64") {
            let remedy = "use a processor with AVX2, or unset REPMLP_KERNELS";
            self.problem("training is slow: no wide vectors are used", remedy);
        }
        if let Some(bytes) = available_memory() {
            self.fact("memory", format!("{} available", gibibytes(bytes)));
        }
    }

    fn add_gpus(&mut self) {
        let driver = driver();
        if let Some(driver) = &driver {
            self.fact("driver", driver.clone());
        }
        match gpus() {
            Ok(gpus) => {
                for Gpu { device, model, capability: (major, minor), memory: (free, total) } in gpus {
                    let memory = format!("{} free of {}", gibibytes(free), gibibytes(total));
                    self.fact("gpu", format!("{device}: {model}, compute capability {major}.{minor}, {memory}"));
                }
            }
            Err(NoGpu::NotBuilt) => {
                self.fact("gpu", "none: this program was built without CUDA");
                if driver.is_some() {
                    let remedy = "build it with `--features cuda`, or by .ci/build-cuda, or name such a build as \
                                  `program` in [exec]";
                    self.problem("this machine has an NVIDIA driver, but this program cannot use it", remedy);
                }
            }
            Err(fault) => {
                self.fact("gpu", format!("none: {fault}"));
                let remedy = "look at `nvidia-smi` and at CUDA_VISIBLE_DEVICES";
                self.problem("this program was built for GPUs, and has none", remedy);
            }
        }
    }

    fn add_limits(&mut self) {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        self.fact("open files", files.map_or_else(|| "no limit".to_owned(), |files| format!("at most {files}")));
        if files.is_some_and(|files| files < FEW_FILES) {
            self.problem(
                "a scheduler with several slots may run out of open files",
                "raise the limit: `ulimit -n 4096`",
            );
        }
        if let Some(path) = on_path("sbatch") {
            self.fact("slurm", format!("{path}: --launcher slurm can be used"));
        }
    }

    fn add_folder(&mut self, results: &Path) {
        // A folder that does not exist yet is made in the nearest one that does.
        let here = Path::new(".");
        let there = results.ancestors().find(|path| path.is_dir()).unwrap_or(here);
        let there = if there.as_os_str().is_empty() { here } else { there };
        let Ok(space) = statvfs(there) else {
            self.problem(format!("{} cannot be looked at", there.display()), "name another folder with --results");
            return;
        };
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let kind = statfs(there).ok().and_then(|found| network(found.f_type));
        let on = kind.map(|kind| format!(", on {kind}")).unwrap_or_default();
        self.fact("results", format!("{}: {} free{on}", results.display(), gibibytes(free)));
        if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
            self.problem(format!("{} cannot be written", there.display()), "name another folder with --results");
        }
        if free < LITTLE_SPACE {
            self.problem("the disk of the results folder is almost full", "free some space: see `clean`");
        }
        if kind.is_some() {
            let remedy = "run one scheduler for this folder at a time, from one machine";
            self.problem("locks may not hold on the file system of the results folder", remedy);
        }
    }

    fn text(&self) -> String {
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text: String = self.facts.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect();
        if self.problems.is_empty() {
            text += "\nno problem was found\n";
        }
        for Problem { what, remedy } in &self.problems {
            text += &format!("\nproblem: {what}\n  remedy: {remedy}\n");
        }
        text
    }
}

/// Returns the version of the NVIDIA driver, if there is one.
fn driver() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    Some(text.lines().next()?.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn network(kind: i64) -> Option<&'static str> {
    NETWORKS.iter().find(|(known, _)| *known == kind & 0xffff_ffff).map(|(_, name)| *name)
}

/// Returns the path of a program that the shell would find.
fn on_path(program: &str) -> Option<String> {
    let paths = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file())?;
    Some(found.display().to_string())
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}
