//! The process of a command: it is started with its environment, its lines are read, and it is asked to stop.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Interval at which the journal file and the request to stop are checked.
const POLL: Duration = Duration::from_millis(50);
/// Time in which lines may still arrive after the process has ended.
const REST: Duration = Duration::from_millis(500);
/// Maximum number of bytes of a line. The rest of a longer line is a line of its own.
const MOST_LINE: u64 = 1 << 20;
/// Number of lines that may wait.
const WAITING: usize = 1024;

/// A command that is running.
pub(super) struct CommandProcess {
    child: Child,
    lines: Receiver<String>,
    is_silent: bool,
    journal: Tail,
}

/// What happened next.
pub(super) enum Next {
    /// Lines of the standard output. They are also part of the log.
    Output(String),
    /// A line of the journal file.
    Journal(String),
    /// Nothing, for a short time.
    Nothing,
    /// The process has ended, and all lines were returned.
    Ended(ExitStatus),
}

impl CommandProcess {
    /// Starts a command in a folder with additional environment variables. `journal` is the file that it may write to.
    pub(super) fn start(
        command: &[String],
        folder: &Path,
        environment: &[(&'static str, String)],
        journal: PathBuf,
    ) -> io::Result<Self> {
        let (program, words) = command.split_first().ok_or_else(|| io::Error::other("no program is named"))?;
        // A path is relative to the folder that the command runs in. A plain name is searched as usual.
        let program = if program.contains('/') { folder.join(program) } else { PathBuf::from(program) };
        // One pipe for both outputs, so that the log keeps the order of the lines.
        let (output, writer) = io::pipe()?;
        let mut prepared = Command::new(program);
        prepared
            .args(words)
            .current_dir(folder)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let child = prepared.spawn()?;
        // Only the child holds the writing end now, so the output ends when the child and what it started end.
        drop(prepared);
        let (sender, lines) = sync_channel(WAITING);
        thread::Builder::new().name("output".to_owned()).spawn(move || read_lines(output, &sender))?;
        Ok(Self { child, lines, is_silent: false, journal: Tail::new(journal) })
    }

    /// Sends SIGTERM to the process.
    pub(super) fn ask_to_stop(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A process that has ended cannot be asked any more.
        let _: Option<Result<(), _>> = pid.map(|pid| kill_process(pid, Signal::TERM));
    }

    /// Waits a short time for the next line, or for the end of the process.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        if let Some(line) = self.journal.next() {
            return Ok(Next::Journal(line));
        }
        if self.is_silent {
            thread::sleep(POLL);
        } else {
            match self.lines.recv_timeout(POLL) {
                Ok(line) => return Ok(Next::Output(line)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.is_silent = true,
            }
        }
        let Some(status) = self.child.try_wait()? else { return Ok(Next::Nothing) };
        // A process that it started may hold the output open, so the end of the output is not waited for for ever.
        if !self.is_silent
            && let Ok(line) = self.lines.recv_timeout(REST)
        {
            return Ok(Next::Output(line));
        }
        Ok(self.journal.next().map_or(Next::Ended(status), Next::Journal))
    }
}

fn read_lines(output: impl Read, lines: &SyncSender<String>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match output.by_ref().take(MOST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        if lines.send(line).is_err() {
            return;
        }
    }
}

/// Reads a growing file line by line.
struct Tail {
    path: PathBuf,
    read: u64,
    waiting: std::collections::VecDeque<String>,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, read: 0, waiting: std::collections::VecDeque::new() }
    }

    /// Returns the next complete line. A file that does not exist yet has none.
    fn next(&mut self) -> Option<String> {
        if self.waiting.is_empty() {
            self.read_more();
        }
        self.waiting.pop_front()
    }

    fn read_more(&mut self) {
        let Ok(mut file) = File::open(&self.path) else { return };
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(self.read)).is_err() || file.take(MOST_LINE).read_to_end(&mut bytes).is_err() {
            return;
        }
        // An incomplete last line is read again when it is complete, unless it is too long.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let whole = if whole == 0 && bytes.len() as u64 == MOST_LINE { bytes.len() } else { whole };
        self.read += whole as u64;
        self.waiting.extend(String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_file_is_read_by_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("said");
        let mut tail = Tail::new(path.clone());
        assert_eq!(tail.next(), None);
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        assert_eq!([tail.next(), tail.next(), tail.next()], [Some("one".into()), Some("two".into()), None]);
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!([tail.next(), tail.next()], [Some("three".into()), None]);
    }
}
