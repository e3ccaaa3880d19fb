//! The commands of Slurm: what is asked, and how answers are read.
//!
//! Each command has an explicit text format, since defaults and JSON differ between versions.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::queue::Queue;
use crate::{Settings, SlurmError};

/// Indices of tasks are below this number, unless the cluster says otherwise.
const MAX_ARRAY_SIZE: u32 = 1001;

/// Time after which a command of Slurm counts as silent. Slurm's own limit for an answer is 10 s, and its commands try
/// again a few times.
const PATIENCE: Duration = Duration::from_secs(60);

/// The cluster that this machine belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cluster;

impl Cluster {
    /// Returns the number of tasks that one array can have.
    ///
    /// # Errors
    /// When `scontrol` is missing or refuses.
    pub async fn max_array_size(self) -> Result<u32, SlurmError> {
        let text = ask("scontrol", &["show", "config"], |_| false).await?;
        let value = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("MaxArraySize")?.split_once('='))
            .map(|(_, v)| v.trim());
        Ok(value.and_then(|value| value.parse().ok()).filter(|size| *size > 1).unwrap_or(MAX_ARRAY_SIZE))
    }

    /// Submits `number` tasks of a script as one array. `first` is the script's argument. Returns the name of the job.
    ///
    /// # Errors
    /// When `sbatch` is missing, refuses, or answers in another form.
    pub async fn submit(
        self,
        (script, output): (&Path, &str),
        (first, number): (usize, usize),
        at_once: Option<u32>,
        settings: &Settings,
    ) -> Result<String, SlurmError> {
        let arguments = submit_arguments(output, number, at_once);
        let mut words: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        let first = first.to_string();
        words.extend([script.as_os_str(), OsStr::new(&first)]);
        let answer = ask("sbatch", &words, |name| settings.overrides(name)).await?;
        // A federation adds its name: `1234;cluster`. Plug-ins of a site may print lines before the answer.
        let line = answer.lines().next_back().unwrap_or_default();
        let job = line.split(';').next().unwrap_or_default().trim();
        if job.is_empty() || !job.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SlurmError::Answer { command: "sbatch", answer, expected: "`1234` or `1234;cluster`" });
        }
        Ok(job.to_owned())
    }

    /// Asks for the tasks of these jobs. Jobs that ended some minutes ago are missing in the answer.
    ///
    /// # Errors
    /// When `squeue` is missing or refuses, for example because the controller does not answer.
    pub async fn queue(self, jobs: &[String]) -> Result<Queue, SlurmError> {
        let list = jobs.join(",");
        // %F job, %K task, %T state, %r reason, %N node, %o command.
        let arguments = ["--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r|%N|%o", "--jobs", &list];
        // A user's own defaults would change the answer.
        match ask("squeue", &arguments, |name| name.starts_with("SQUEUE_")).await {
            Ok(text) => Queue::read(jobs, &text).ok_or(SlurmError::Answer {
                command: "squeue",
                answer: text,
                expected: "`12|0|RUNNING|None|node|command`",
            }),
            // The only job that was asked for has left the queue.
            Err(SlurmError::Refused { said, .. }) if said.contains("Invalid job id") => Ok(Queue::empty(jobs)),
            Err(fault) => Err(fault),
        }
    }

    /// Takes jobs or tasks (`12`, `12_3`) out of the queue; those that run are killed. It is not an error if they have
    /// ended.
    ///
    /// # Errors
    /// When `scancel` is missing or refuses.
    pub async fn remove(self, names: &[String]) -> Result<(), SlurmError> {
        cancel(&[], names).await
    }

    /// Asks running tasks (`12_3`) to write a checkpoint and end. It is not an error if they have ended.
    ///
    /// # Errors
    /// When `scancel` is missing or refuses.
    pub async fn end(self, names: &[String]) -> Result<(), SlurmError> {
        cancel(&["--batch", "--signal=TERM"], names).await
    }
}

async fn cancel(options: &[&str], names: &[String]) -> Result<(), SlurmError> {
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let words = [&["--quiet"], options, &names].concat();
    match ask("scancel", &words, |name| name.starts_with("SCANCEL_")).await {
        // Without words: none of them is in the queue any more.
        Err(SlurmError::Refused { said, .. }) if said.starts_with("exit status") => Ok(()),
        asked => asked.map(drop),
    }
}

/// Returns the arguments of `sbatch` that differ between the arrays of a submission.
pub(crate) fn submit_arguments(output: &str, number: usize, at_once: Option<u32>) -> Vec<String> {
    let limit = at_once.map_or_else(String::new, |limit| format!("%{limit}"));
    let last = number.saturating_sub(1);
    vec!["--parsable".to_owned(), format!("--array=0-{last}{limit}"), format!("--output={output}")]
}

/// Starts a command without the variables that `is_unwanted` names, and returns what it prints.
async fn ask<S: AsRef<OsStr>>(
    command: &'static str,
    arguments: &[S],
    is_unwanted: impl Fn(&str) -> bool,
) -> Result<String, SlurmError> {
    let mut asked = Command::new(command);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(&is_unwanted)) {
        asked.env_remove(name);
    }
    let done = asked.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let Ok(done) = tokio::time::timeout(PATIENCE, done).await else {
        return Err(SlurmError::Silent { command, seconds: PATIENCE.as_secs() });
    };
    let done = done.map_err(|source| SlurmError::Missing { command, source })?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned());
    }
    let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    let said = if said.is_empty() { done.status.to_string() } else { said };
    Err(SlurmError::Refused { command: format!("{command} {}", words.join(" ")), said })
}
