//! A test bench: a separate project folder for each test, and the program in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::processes::{in_folder, signal};

/// Longest life of a project folder. The slowest test needs a third of it on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// Returns the root folder of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Prints a line that is shown even if the test passes.
pub(crate) fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Prints why a test is skipped on this machine.
pub(crate) fn skipped(what: &str, why: &str) {
    tell(&format!("{what} is not tested: {why}"));
}

/// A project folder with the tiny experiment. Programs that wait in it for ever are killed, so that their test fails
/// instead of all tests never ending.
pub(crate) struct Bench {
    folder: TempDir,
    /// Ends the watch over the folder when it is dropped.
    _alive: Sender<()>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self::empty();
        bench.fill();
        bench
    }

    /// Makes an empty folder.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (alive, test) = channel();
        let watched = folder.path().to_owned();
        std::thread::spawn(move || kill_when_late(&watched, &test));
        Self { folder, _alive: alive }
    }

    /// Copies the tiny experiment into the folder.
    pub(crate) fn fill(&self) {
        for file in ["tiny.toml", "base/tiny.toml"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/experiments").join(file);
            let to = self.path("experiments").join(file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
    }

    /// Adds a profile to the tiny experiment, with a number of epochs and a number of seeds.
    pub(crate) fn add_profile(&self, name: &str, epochs: u32, seeds: u32) {
        let path = self.path("experiments/tiny.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let profile = format!(
            "\n[profile.{name}]\nseeds = {seeds}\n\n[profile.{name}.overlay]\ntraining = {{ epochs = {epochs} }}\n"
        );
        std::fs::write(path, text + &profile).unwrap();
    }

    /// Returns the project folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder, so that a failed test can be examined.
    pub(crate) fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// Returns a path below the project folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the program with these arguments, in the project folder, without the caller's environment settings.
    pub(crate) fn command(&self, words: &str) -> Command {
        self.here(Command::new(env!("CARGO_BIN_EXE_repmlp-sweep")), words)
    }

    /// Returns the program started by a shell that first changes its environment. In `script`, `"$0" "$@"` stands for
    /// the program.
    pub(crate) fn through_shell(&self, script: &str, words: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_repmlp-sweep")]);
        self.here(shell, words)
    }

    fn here(&self, mut command: Command, words: &str) -> Command {
        command.args(words.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        for variable in ["REPMLP_SWEEP_RESULTS", "REPMLP_SWEEP_REPORTS", "REPMLP_SWEEP_DATA", "COLUMNS"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs the program with these arguments.
    pub(crate) fn run(&self, words: &str) -> Ran {
        Ran(self.command(words).output().unwrap())
    }

    /// Runs the program with these arguments. It must succeed.
    pub(crate) fn done(&self, words: &str) -> Ran {
        let ran = self.run(words);
        assert_eq!(ran.code(), 0, "{words}\n{}{}", ran.stdout(), ran.stderr());
        ran
    }

    /// Starts the program and waits until a line of its standard error contains `word`.
    pub(crate) fn start_until(&self, words: &str, word: &str) -> Started {
        Started::until(self.command(words), word)
    }

    /// Returns all measurements except times and throughput, in a fixed order.
    pub(crate) fn measurements(&self, profile: &str) -> Vec<String> {
        let timing = |line: &&str| ["throughput", "train_time", "data_wait"].iter().any(|word| line.contains(word));
        let csv = self.done(&format!("export experiments/tiny.toml --profile {profile}")).stdout();
        csv.lines().filter(|line| !timing(line)).map(str::to_owned).collect()
    }
}

/// Kills the processes in a folder if its test has not ended in time.
fn kill_when_late(folder: &Path, test: &Receiver<()>) {
    while test.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
        tell(&format!("{}: killed what runs here after {} s", folder.display(), PATIENCE.as_secs()));
        in_folder(folder).into_iter().for_each(|pid| signal(pid, Signal::KILL));
    }
}

/// A running program.
pub(crate) struct Started {
    pub(crate) child: Child,
    /// Kept open, so that the program can go on writing.
    pub(crate) stderr: BufReader<std::process::ChildStderr>,
}

impl Started {
    /// Starts a program and waits until a line of its standard error contains `word`.
    pub(crate) fn until(mut command: Command, word: &str) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut started = Self { child, stderr };
        started.read_until(word);
        started
    }

    /// Reads lines of the program's standard error until one contains `word`.
    pub(crate) fn read_until(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "it ended before it printed `{word}`");
        }
    }

    /// Kills the program alone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

/// The exit code and output of a program.
pub(crate) struct Ran(pub(crate) Output);

impl Ran {
    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }
}
