//! The process of a command: it is started with its environment, its lines are read, and it is asked to stop.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Interval at which the journal file and the request to stop are checked.
const POLL: Duration = Duration::from_millis(50);
/// Time to wait for further lines after the process has ended. A process that it left running may hold the outputs
/// open.
const REST: Duration = Duration::from_millis(500);
/// Number of lines that are still read after the process has ended: more than the pipes and the channel can hold. A
/// process that it left running may go on writing.
const MOST_REST: usize = 200_000;
/// Maximum number of bytes of a line. The rest of a longer line is a line of its own.
const MOST_LINE: u64 = 1 << 20;
/// Number of lines that may wait.
const WAITING: usize = 1024;

/// A command that is running.
pub(super) struct CommandProcess {
    child: Child,
    lines: Receiver<Line>,
    /// No process can write to the outputs any more.
    is_silent: bool,
    journal: Tail,
    ended: Option<Ended>,
}

/// How the process ended, and what was done since then to read its last lines.
#[derive(Clone, Copy)]
struct Ended {
    status: ExitStatus,
    /// Time of waiting. The time that the caller takes for a line does not count.
    waited: Duration,
    lines: usize,
}

/// A line that the command wrote.
pub(super) enum Line {
    /// To its standard output. It is part of the log unless it is a statement.
    Output(String),
    /// To its standard error. It is part of the log.
    Error(String),
    /// To its journal file.
    Journal(String),
}

/// What happened next.
pub(super) enum Next {
    Line(Line),
    /// Nothing, for a short time.
    Nothing,
    /// The process has ended, and its lines were returned.
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
        let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no program is named"))?;
        // A path is relative to the folder that the command runs in. A plain name is searched as usual.
        let program = if program.contains('/') { folder.join(program) } else { PathBuf::from(program) };
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("it has no output");
        let (output, errors) = (child.stdout.take().ok_or_else(missing)?, child.stderr.take().ok_or_else(missing)?);
        // Both outputs pass through one channel, so that the log keeps the order of their lines.
        let (sender, lines) = sync_channel(WAITING);
        let of_errors = sender.clone();
        thread::Builder::new().name("output".to_owned()).spawn(move || read_lines(output, &sender, Line::Output))?;
        thread::Builder::new().name("errors".to_owned()).spawn(move || read_lines(errors, &of_errors, Line::Error))?;
        Ok(Self { child, lines, is_silent: false, journal: Tail::new(journal), ended: None })
    }

    /// Sends SIGTERM to the process.
    pub(super) fn ask_to_stop(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A process that has ended cannot be asked any more.
        let _: Option<Result<(), _>> = pid.map(|pid| kill_process(pid, Signal::TERM));
    }

    /// Waits a short time for the next line, or for the end of the process.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        if self.ended.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            self.ended = Some(Ended { status, waited: Duration::ZERO, lines: 0 });
            self.journal.end();
        }
        if let Some(line) = self.journal.next() {
            return Ok(Next::Line(Line::Journal(line)));
        }
        let is_late = self.ended.is_some_and(|ended| ended.waited >= REST || ended.lines >= MOST_REST);
        if !self.is_silent && !is_late {
            let begun = Instant::now();
            let received = self.lines.recv_timeout(POLL);
            if let Some(ended) = &mut self.ended {
                ended.waited += begun.elapsed();
                ended.lines += 1;
            }
            match received {
                Ok(line) => return Ok(Next::Line(line)),
                Err(RecvTimeoutError::Timeout) => return Ok(Next::Nothing),
                Err(RecvTimeoutError::Disconnected) => self.is_silent = true,
            }
        }
        let Some(Ended { status, .. }) = self.ended else {
            thread::sleep(POLL);
            return Ok(Next::Nothing);
        };
        Ok(self.journal.rest().map_or(Next::Ended(status), |line| Next::Line(Line::Journal(line))))
    }

    /// Whether the journal file became shorter while it was read, so that lines may be lost.
    pub(super) fn has_lost_lines(&self) -> bool {
        self.journal.was_cut
    }
}

fn read_lines(output: impl Read, lines: &SyncSender<Line>, line_of: fn(String) -> Line) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        match output.by_ref().take(MOST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        if lines.send(line_of(line)).is_err() {
            return;
        }
    }
}

/// Reads a growing file line by line.
struct Tail {
    path: PathBuf,
    read: u64,
    /// Number of bytes that count. What is written later belongs to another process.
    end: Option<u64>,
    waiting: VecDeque<String>,
    was_cut: bool,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, read: 0, end: None, waiting: VecDeque::new(), was_cut: false }
    }

    /// Ends the file where it ends now.
    fn end(&mut self) {
        self.end = std::fs::symlink_metadata(&self.path).ok().map(|found| found.len());
    }

    /// Returns the next complete line. A file that does not exist yet has none.
    fn next(&mut self) -> Option<String> {
        if self.waiting.is_empty() {
            let (bytes, whole) = self.unread()?;
            // An incomplete last line is read again when it is complete, unless it is too long.
            let whole = if whole == 0 && bytes.len() as u64 == MOST_LINE { bytes.len() } else { whole };
            self.take(&bytes[..whole]);
        }
        self.waiting.pop_front()
    }

    /// Returns the next line after the writer has ended, complete or not.
    fn rest(&mut self) -> Option<String> {
        if self.waiting.is_empty() {
            let (bytes, _) = self.unread()?;
            self.take(&bytes);
        }
        self.waiting.pop_front()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.read += bytes.len() as u64;
        self.waiting.extend(String::from_utf8_lossy(bytes).lines().map(str::to_owned));
    }

    /// Returns bytes that were not read yet, and how many of them are whole lines.
    fn unread(&mut self) -> Option<(Vec<u8>, usize)> {
        // Opening a pipe would wait for its other end.
        let found = std::fs::symlink_metadata(&self.path).ok().filter(std::fs::Metadata::is_file)?;
        if found.len() < self.read {
            (self.was_cut, self.read) = (true, 0);
        }
        let mut file = File::open(&self.path).ok()?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.read)).ok()?;
        let left = self.end.map_or(MOST_LINE, |end| end.saturating_sub(self.read).min(MOST_LINE));
        file.take(left).read_to_end(&mut bytes).ok()?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        Some((bytes, whole))
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
        std::fs::write(&path, "one\ntwo\nthree\nfour").unwrap();
        assert_eq!([tail.next(), tail.next()], [Some("three".into()), None]);
        assert_eq!([tail.rest(), tail.rest()], [Some("four".into()), None]);
        assert!(!tail.was_cut);
        std::fs::write(&path, "five\n").unwrap();
        assert_eq!((tail.next(), tail.was_cut), (Some("five".into()), true));
        std::fs::write(&path, "five\nsix\n").unwrap();
        tail.end();
        std::fs::write(&path, "five\nsix\nseven\n").unwrap();
        assert_eq!([tail.next(), tail.next(), tail.rest()], [Some("six".into()), None, None]);
    }

    /// Reads a shell command to its end.
    fn lines_of(folder: &Path, script: &str) -> Vec<String> {
        let command = ["sh", "-c", script].map(str::to_owned);
        let journal = folder.join("said");
        let mut process = CommandProcess::start(&command, folder, &[], journal).unwrap();
        let mut lines = Vec::new();
        loop {
            match process.next().unwrap() {
                Next::Line(Line::Output(line) | Line::Error(line) | Line::Journal(line)) => lines.push(line),
                Next::Nothing => {}
                Next::Ended(status) => return if status.success() { lines } else { panic!("{status}") },
            }
        }
    }

    #[test]
    fn every_line_before_the_end_is_read_and_a_left_process_does_not_hold_it_up() {
        let folder = tempfile::tempdir().unwrap();
        let lines = lines_of(folder.path(), "seq 1 3000 >> said; seq 3001 6000; seq 6001 9000 >&2");
        let mut numbers: Vec<u32> = lines.iter().map(|line| line.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=9000).collect::<Vec<_>>());
        for left in ["yes &", "while sleep 0.1; do echo y || exit; done &"] {
            let lines = lines_of(folder.path(), &format!("rm said; echo first; {left}"));
            assert_eq!(lines.iter().filter(|line| *line == "first").count(), 1, "{left}");
        }
    }
}
