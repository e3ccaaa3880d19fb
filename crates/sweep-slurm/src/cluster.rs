//! The commands of Slurm: what is asked, and how answers are read.
//!
//! Each command has an explicit text format, since defaults and JSON differ between versions.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::queue::Queue;
use crate::{Settings, SlurmError};

/// Indices of tasks are below this number, unless the cluster says otherwise.
const MAX_ARRAY_SIZE: u32 = 1001;

/// Time after which a command of Slurm counts as silent. Slurm's own limit for an answer is 10 s, and its commands try
/// again a few times.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time after which the user is told that a command has not answered yet.
const SOON: Duration = Duration::from_secs(5);

/// Number of bytes from which an answer is not read any further. A queue of 10,000 tasks has a megabyte.
const MOST_BYTES: u64 = 64 << 20;

/// Number of characters of an answer that an error shows. A command may print a whole web page.
const SHOWN: usize = 1000;

/// Prints a line for the user.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// The cluster that this machine belongs to.
#[derive(Clone)]
pub struct Cluster {
    say: Say,
}

impl Cluster {
    /// Creates the cluster. `say` is told when a command takes long to answer.
    pub fn new(say: Say) -> Self {
        Self { say }
    }

    /// Creates a cluster whose commands may take long without a word.
    pub(crate) fn quiet() -> Self {
        Self::new(Arc::new(|_| {}))
    }

    /// Returns the number of tasks that one array can have.
    ///
    /// # Errors
    /// When `scontrol` is missing or refuses.
    pub async fn max_array_size(&self) -> Result<u32, SlurmError> {
        let text = self.ask("scontrol", &["show", "config"], |_| false).await?;
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
        &self,
        (script, output): (&Path, &str),
        (first, number): (usize, usize),
        at_once: Option<u32>,
        settings: &Settings,
    ) -> Result<String, SlurmError> {
        let arguments = submit_arguments(output, number, at_once);
        let mut words: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        let first = first.to_string();
        words.extend([script.as_os_str(), OsStr::new(&first)]);
        let answer = self.ask("sbatch", &words, |name| settings.overrides(name)).await?;
        // A federation adds its name: `1234;cluster`. Plug-ins of a site may print lines before the answer.
        let line = answer.lines().next_back().unwrap_or_default();
        let job = line.split(';').next().unwrap_or_default().trim();
        if job.is_empty() || !job.bytes().all(|byte| byte.is_ascii_digit()) {
            let answer = if answer.is_empty() { "nothing".to_owned() } else { format!("`{}`", shortened(&answer)) };
            return Err(SlurmError::Answer { command: "sbatch", answer, expected: "`1234` or `1234;cluster`" });
        }
        Ok(job.to_owned())
    }

    /// Asks for the tasks of these jobs. Jobs that ended some minutes ago are missing in the answer.
    ///
    /// # Errors
    /// When `squeue` is missing or refuses, for example because the controller does not answer.
    pub async fn queue(&self, jobs: &[String]) -> Result<Queue, SlurmError> {
        let list = jobs.join(",");
        // %F job, %K task, %T state, %r reason, %N node, %o command.
        let arguments = ["--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r|%N|%o", "--jobs", &list];
        // A user's own defaults would change the answer.
        match self.ask("squeue", &arguments, |name| name.starts_with("SQUEUE_")).await {
            Ok(text) => Queue::read(jobs, &text).ok_or(SlurmError::Answer {
                command: "squeue",
                answer: format!("`{}`", shortened(&text)),
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
    pub async fn remove(&self, names: &[String]) -> Result<(), SlurmError> {
        self.cancel(&[], names).await
    }

    /// Asks running tasks (`12_3`) to write a checkpoint and end. It is not an error if they have ended.
    ///
    /// # Errors
    /// When `scancel` is missing or refuses.
    pub async fn end(&self, names: &[String]) -> Result<(), SlurmError> {
        self.cancel(&["--batch", "--signal=TERM"], names).await
    }

    async fn cancel(&self, options: &[&str], names: &[String]) -> Result<(), SlurmError> {
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let words = [&["--quiet"], options, &names].concat();
        match self.ask("scancel", &words, |name| name.starts_with("SCANCEL_")).await {
            // Without words: none of them is in the queue any more.
            Err(SlurmError::Refused { said, .. }) if said.starts_with("exit status") => Ok(()),
            asked => asked.map(drop),
        }
    }

    /// Starts a command without the variables that `is_unwanted` names, and returns what it prints.
    async fn ask<S: AsRef<OsStr>>(
        &self,
        command: &'static str,
        arguments: &[S],
        is_unwanted: impl Fn(&str) -> bool,
    ) -> Result<String, SlurmError> {
        let mut asked = Command::new(command);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(&is_unwanted)) {
            asked.env_remove(name);
        }
        // In a process group of its own: a Ctrl-C in the terminal is for this program, which decides what to do.
        asked.process_group(0);
        asked.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = asked.spawn().map_err(|source| SlurmError::Missing { command, source })?;
        let Ok(done) = tokio::time::timeout(PATIENCE, self.with_notice(command, output(&mut child))).await else {
            return Err(SlurmError::Silent { command, seconds: PATIENCE.as_secs() });
        };
        let done = done.map_err(|source| SlurmError::Unreadable { command, source })?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned());
        }
        let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
        let command = format!("{command} {}", words.join(" "));
        if done.status.signal().is_some() {
            return Err(SlurmError::Killed { command, how: done.status.to_string() });
        }
        let said = shortened(String::from_utf8_lossy(&done.stderr).trim());
        let said = if said.is_empty() { done.status.to_string() } else { said };
        Err(SlurmError::Refused { command, said })
    }

    /// Waits for a command, and tells the user if that takes long.
    async fn with_notice<T>(&self, command: &str, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            done = &mut answer => return done,
            () = tokio::time::sleep(SOON) => {}
        }
        let most = PATIENCE.as_secs();
        (self.say)(&format!("waiting for `{command}`: it has not answered yet, and is given {most} s"));
        answer.await
    }
}

/// Reads what a process prints until it ends.
async fn output(child: &mut Child) -> io::Result<Output> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = tokio::try_join!(bounded(stdout), bounded(stderr))?;
    Ok(Output { status: child.wait().await?, stdout, stderr })
}

/// Reads a pipe to its end, or fails if that is too far: a command may print for ever.
async fn bounded(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MOST_BYTES).read_to_end(&mut bytes).await?;
    }
    let is_whole = (bytes.len() as u64) < MOST_BYTES;
    if is_whole { Ok(bytes) } else { Err(io::Error::other(format!("it has more than {} MiB", MOST_BYTES >> 20))) }
}

/// Returns the arguments of `sbatch` that differ between the arrays of a submission.
pub(crate) fn submit_arguments(output: &str, number: usize, at_once: Option<u32>) -> Vec<String> {
    let limit = at_once.map_or_else(String::new, |limit| format!("%{limit}"));
    let last = number.saturating_sub(1);
    vec!["--parsable".to_owned(), format!("--array=0-{last}{limit}"), format!("--output={output}")]
}

/// Cuts a long answer.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use sweep_protocol::error_chain;

    use super::*;

    /// Asks a command. Returns the answer and what the user was told meanwhile.
    async fn asked(command: &'static str, arguments: &[&str]) -> (Result<String, String>, Vec<String>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&told);
        let cluster = Cluster::new(Arc::new(move |line| listener.lock().unwrap().push(line.to_owned())));
        let answer = cluster.ask(command, arguments, |_| false).await.map_err(|fault| error_chain(&fault));
        let told = told.lock().unwrap().clone();
        (answer, told)
    }

    // The clock is stopped: it jumps to the next moment that anybody waits for.
    #[tokio::test(start_paused = true)]
    async fn a_command_that_does_not_answer_is_named_soon_and_given_up_later() {
        let (answer, told) = asked("sleep", &["1000"]).await;
        assert_eq!(answer, Err("`sleep` has not answered for 60 s".to_owned()));
        assert_eq!(told, ["waiting for `sleep`: it has not answered yet, and is given 60 s"]);
    }

    #[tokio::test]
    async fn a_command_that_was_killed_has_not_refused() {
        let (answer, _) = asked("sh", &["-c", "kill -TERM $$"]).await;
        assert_eq!(answer, Err("`sh -c kill -TERM $$` was killed: signal: 15 (SIGTERM)".to_owned()));
    }

    #[tokio::test]
    async fn an_endless_answer_is_not_read_to_its_end() {
        let (answer, _) = asked("yes", &[]).await;
        assert_eq!(answer, Err("the answer of `yes` cannot be read: it has more than 64 MiB".to_owned()));
    }

    #[tokio::test]
    async fn a_refusal_is_shown_in_part_if_it_is_long() {
        let (answer, _) = asked("sh", &["-c", "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1"]).await;
        let fault = answer.unwrap_err();
        assert!(fault.ends_with("xxx… (100000 bytes)") && fault.len() < 1200, "{fault}");
    }
}
