//! Finds the program that carries out attempts: this one, or another build of the same version.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;
use sweep_slurm::named_program;

use crate::exit::UsageError;

/// The program that carries out attempts: the running program itself, even if its file is replaced or moved meanwhile.
/// So all attempts of a sweep use the same trainer.
pub(crate) struct OwnProgram {
    pub(crate) path: PathBuf,
    /// Name in process lists, if it is not the path.
    pub(crate) name: Option<OsString>,
}

impl OwnProgram {
    pub(crate) fn find() -> Result<Self> {
        let path = std::env::current_exe().context("the path of this program is unknown")?;
        let running = Path::new("/proc/self/exe");
        if running.exists() {
            return Ok(Self { path: running.to_owned(), name: Some(path.into_os_string()) });
        }
        Ok(Self { path, name: None })
    }
}

/// Another build of this program that carries out attempts, for example one for GPUs. A build for GPUs does not start
/// on a machine without a driver, so a scheduler may be another build than its workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) path: PathBuf,
}

/// What a worker says about itself: a part of `doctor --json`.
#[derive(Deserialize)]
struct Answer {
    version: String,
    trainer_version: u32,
    device: Option<String>,
}

impl Worker {
    /// Finds a program that was named at `place`.
    ///
    /// # Errors
    /// When it is not an executable file.
    pub(crate) fn named(path: &Path, place: &str) -> Result<Self> {
        Ok(Self { path: named_program(path).map_err(|fault| UsageError(format!("{place}: {fault}")))? })
    }

    /// Asks the worker for a device. Returns the name of the device that it opened.
    ///
    /// # Errors
    /// When the worker does not start, is of another version, or cannot use the device.
    pub(crate) fn device(&self, name: &str) -> Result<String> {
        let shown = self.path.display();
        let asked = Command::new(&self.path).args(["doctor", "--json", "--device", name]).stdin(Stdio::null()).output();
        let asked = asked.with_context(|| format!("the program {shown} cannot be started"))?;
        if !asked.status.success() {
            let said = String::from_utf8_lossy(&asked.stderr);
            let why = match said.trim() {
                "" => format!("it ended with {} and said nothing", asked.status),
                said if said.contains("error while loading shared libraries") => {
                    format!("{said}\nA build for GPUs needs the driver and the CUDA libraries: see LD_LIBRARY_PATH")
                }
                said => said.trim_start_matches("error: ").to_owned(),
            };
            return Err(UsageError(format!("the program {shown} cannot use the device `{name}`: {why}")).into());
        }
        let answer: Answer = serde_json::from_slice(&asked.stdout)
            .map_err(|_| UsageError(format!("{shown} is no build of this program: it does not answer `doctor`")))?;
        let own = (env!("CARGO_PKG_VERSION"), repmlp_train::TRAINER_VERSION);
        if (answer.version.as_str(), answer.trainer_version) != own {
            let Answer { version, trainer_version, .. } = answer;
            let text = format!(
                "{shown} has version {version} and trainer {trainer_version}, but this program has version {} and \
                 trainer {}: build both from the same source",
                own.0, own.1
            );
            return Err(UsageError(text).into());
        }
        Ok(answer.device.unwrap_or_else(|| name.to_owned()))
    }
}
