//! The process of an attempt: it is started in its own process group, asked to stop, and killed.
//!
//! The runner holds a pipe to its standard input. The line `stop` asks the process to write a checkpoint and end. The
//! end of the input tells it that the runner has died.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use sweep_protocol::STOP_LINE;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use super::{LocalMachine, gpu, process};
use crate::error::unwritable;
use crate::{RunnerError, Slot};

/// Environment variables of a process that computes. They set the number of threads for the thread pools of tensor
/// libraries. The last one makes candle's idle threads stop spinning soon, so that other processes get the processor.
pub fn worker_environment(threads: usize) -> [(&'static str, String); 5] {
    let of_threads = |name| (name, threads.to_string());
    [
        of_threads("RAYON_NUM_THREADS"),
        of_threads("OMP_NUM_THREADS"),
        of_threads("OPENBLAS_NUM_THREADS"),
        of_threads("MKL_NUM_THREADS"),
        ("CANDLE_BARRIER_POOL_SPIN_LIMIT", "100".to_owned()),
    ]
}

/// The process of an attempt.
pub(crate) struct Worker {
    program: PathBuf,
    pid: u32,
    child: Child,
    stdin: ChildStdin,
}

impl Worker {
    /// Starts the program with a last argument, its output in the file `log`.
    pub(crate) fn launch(local: &LocalMachine, slot: &Slot, argument: &Path, log: &Path) -> Result<Self, RunnerError> {
        let output = File::create(log).map_err(unwritable(log))?;
        let mut command = Command::new(&local.program);
        if let Some(name) = &local.name {
            command.arg0(name);
        }
        command
            .args(&local.arguments)
            .arg(argument)
            .envs(worker_environment(slot.threads))
            .envs(gpu::visible_here(&slot.device))
            .stdin(Stdio::piped())
            .stdout(output.try_clone().map_err(unwritable(log))?)
            .stderr(output)
            .process_group(0);
        let fault = |source| RunnerError::Process { program: local.program.clone(), doing: "starting", source };
        let mut child = command.spawn().map_err(fault)?;
        let pid = child.id().ok_or_else(|| fault(io::Error::other("it has no process id")))?;
        // The pipe is taken out of the child, since waiting for a child closes an input that it still owns.
        let stdin = child.stdin.take().ok_or_else(|| fault(io::Error::other("it has no standard input")))?;
        Ok(Self { program: local.program.clone(), pid, child, stdin })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the process ends. The future may be dropped and the method called again.
    pub(crate) async fn exit(&mut self) -> Result<ExitStatus, RunnerError> {
        self.child.wait().await.map_err(|source| self.fault("waiting for", source))
    }

    /// Asks the process to write a checkpoint and end.
    pub(crate) async fn ask_to_stop(&mut self) -> Result<(), RunnerError> {
        match self.stdin.write_all(format!("{STOP_LINE}\n").as_bytes()).await {
            // The process does not read its input, or it is already ending. The caller sees which.
            Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|source| self.fault("stopping", source)),
        }
    }

    /// Kills the process and everything that it started. Does nothing once [`Self::exit`] has returned, since the id
    /// may then belong to another process.
    pub(crate) fn kill(&self) -> Result<(), RunnerError> {
        self.child.id().map_or(Ok(()), kill_group).map_err(|source| self.fault("killing", source))
    }

    fn fault(&self, doing: &'static str, source: io::Error) -> RunnerError {
        RunnerError::Process { program: self.program.clone(), doing, source }
    }
}

/// Kills what an attempt has left behind: processes that its worker started and that outlived it.
pub(crate) fn kill_remains(folder: &Path) {
    for pid in process::of_attempt(folder) {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        // A process that ends meanwhile needs no kill.
        let _: Option<Result<(), _>> = pid.map(|pid| kill_process(pid, Signal::KILL));
    }
}

/// Kills a process group. A group that no longer exists is not an error.
pub(crate) fn kill_group(pid: u32) -> io::Result<()> {
    let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match kill_process_group(group, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        killed => Ok(killed?),
    }
}
