//! A sweep of 40 runs that is disturbed again and again until it is done: processes are killed and stopped, the disk is
//! full, and files are damaged between the calls. Afterwards no run is lost, each is done once, and every value is that
//! of an undisturbed sweep.
//!
//! A seed determines what is disturbed and how. `REPMLP_SWEEP_SEED=17` chooses another one. The moments also depend on
//! the machine, so the same seed can meet another step of the program. A failed test keeps its folder.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Stdio};

use rustix::process::{Pid, Signal};

use crate::bench::{Bench, skipped, tell};
use crate::disturbances::{Dice, TARGETS, damage, found, found_words, limited};
use crate::processes::{self, kill, stop, wait_for_end, workers};
use crate::surroundings::Mount;

const SWEEP: &str = "experiments/tiny.toml --profile chaos --slots 2 --threads 1";
const SEEDS: u32 = 20;
const EPOCHS: u32 = 2;
/// Two rows with all seeds.
const RUNS: usize = 2 * SEEDS as usize;
/// Seed of an ordinary test run.
const SEED: u64 = 1;
/// Calls that are disturbed, unless the sweep is done before.
const DISTURBED: usize = 60;
/// Maximum number of calls after the last disturbance until the sweep must be finished.
const CALLS: usize = 8;
/// Exit codes that a disturbed call may have: done, work remains, runs failed, a folder cannot be written.
const CODES: [i32; 4] = [0, 5, 10, 21];
/// Size of the disk in bytes. An undisturbed sweep takes a fifth of it.
const DISK: &str = "size=80m";

/// What happens to a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    /// The scheduler dies, and its workers notice it.
    KillScheduler,
    /// The scheduler dies, and so do its workers.
    KillAll,
    /// The scheduler dies, and a stopped worker outlives it.
    LeaveWorker,
    KillWorker,
    /// A worker stands still for a while.
    StopWorker,
    /// The scheduler stands still until its workers have ended.
    StopScheduler,
    /// As before. Meanwhile a second scheduler is refused.
    StartSecond,
    /// The disk is full for a while.
    FillDisk,
    /// The whole call has a limit of file sizes.
    LimitFiles,
    /// A file or folder is damaged between two calls.
    Damage,
}

/// The blows during a call. Those that end it are rarer, so that the sweep gets on.
const BLOWS: [Blow; 11] = [
    Blow::KillScheduler,
    Blow::KillAll,
    Blow::LeaveWorker,
    Blow::KillWorker,
    Blow::KillWorker,
    Blow::StopWorker,
    Blow::StopWorker,
    Blow::StopScheduler,
    Blow::StartSecond,
    Blow::FillDisk,
    Blow::FillDisk,
];

/// The blows that end a call.
const DEADLY: [Blow; 3] = [Blow::KillScheduler, Blow::KillAll, Blow::LeaveWorker];

/// A running call of the sweep.
struct Call {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Call {
    fn scheduler(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Reads lines of standard error. Returns whether there were that many.
    fn read(&mut self, lines: usize) -> bool {
        (0..lines).all(|_| self.stderr.read_line(&mut self.said).unwrap() > 0)
    }
}

/// A disturbed sweep, and the story that is printed if the test fails.
struct Chaos {
    /// Unmounted before the folder is removed.
    disk: Option<Mount>,
    bench: Bench,
    dice: Dice,
    blows: BTreeMap<Blow, u32>,
    calls: u32,
    /// Workers that were stopped before their scheduler died.
    left: Vec<Pid>,
    /// Attempts whose folders were removed.
    removed_attempts: usize,
    /// Folders of runs with damaged files. Such a run may succeed more than once.
    damaged_runs: Vec<PathBuf>,
    story: Vec<String>,
}

impl fmt::Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts = found(&self.bench, "attempt folder").len() + self.removed_attempts;
        write!(f, "{} calls, {attempts} attempts, {:?}", self.calls, self.blows)
    }
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let bench = Bench::empty();
        let disk = Mount::new(bench.folder(), &["-t", "tmpfs", "-o", DISK, "tmpfs"]);
        if let Err(why) = &disk {
            skipped("a full disk", why);
        }
        bench.fill();
        bench.add_profile("chaos", EPOCHS, SEEDS);
        Self {
            disk: disk.ok(),
            bench,
            dice: Dice(seed),
            blows: BTreeMap::new(),
            calls: 0,
            left: Vec::new(),
            removed_attempts: 0,
            damaged_runs: Vec::new(),
            story: Vec::new(),
        }
    }

    fn count(&mut self, blow: Blow) {
        *self.blows.entry(blow).or_default() += 1;
        self.story.push(format!("{blow:?}"));
    }

    /// Calls the sweep and disturbs it until the call ends. Returns whether nothing was left to do.
    fn disturb(&mut self) -> Result<bool, String> {
        let is_limited = self.dice.below(8) == 0;
        let command = if is_limited {
            self.count(Blow::LimitFiles);
            limited(&self.bench, 1 + self.dice.below(160), SWEEP)
        } else {
            self.bench.command(SWEEP)
        };
        self.calls += 1;
        let mut child = { command }.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut call = Call { child, stderr, said: String::new() };
        let mut goes_on = !is_limited;
        while goes_on && call.read(1 + self.dice.below(4)) {
            self.wait_for_journal();
            let blow = self.dice.pick(&BLOWS).unwrap();
            goes_on = self.strike(blow, &mut call)?;
        }
        let Call { mut child, mut stderr, mut said } = call;
        stderr.read_to_string(&mut said).unwrap();
        let code = child.wait().unwrap().code();
        self.story.push(format!("{said}it ended with {code:?}"));
        // A killed call has no code.
        if code.is_some_and(|code| !CODES.contains(&code)) {
            return Err("an unexpected end".to_owned());
        }
        Ok(is_finished(&said) && code == Some(0))
    }

    /// Waits until the journal of a worker has some length, or the worker has ended. So blows also fall between the
    /// moments at which the scheduler prints a line.
    fn wait_for_journal(&mut self) {
        let length = self.dice.below(4000) as u64;
        let Some(worker) = self.dice.pick(&self.workers()) else { return };
        let Some(folder) = folder_of(worker) else { return };
        let has_ended = || folder_of(worker).is_none();
        while !has_ended() && fs::metadata(folder.join("journal.jsonl")).map_or(0, |file| file.len()) < length {
            std::thread::yield_now();
        }
    }

    /// Returns the workers that were not stopped before their scheduler died.
    fn workers(&self) -> Vec<Pid> {
        workers(self.bench.folder()).into_iter().filter(|worker| !self.left.contains(worker)).collect()
    }

    /// Disturbs a call once. Returns whether it goes on.
    fn strike(&mut self, blow: Blow, call: &mut Call) -> Result<bool, String> {
        let (scheduler, workers) = (call.scheduler(), self.workers());
        let worker = self.dice.pick(&workers);
        match (blow, worker) {
            (Blow::KillScheduler, _) => processes::signal(scheduler, Signal::KILL),
            (Blow::KillAll, _) => {
                processes::signal(scheduler, Signal::KILL);
                kill(&workers);
            }
            (Blow::LeaveWorker, Some(worker)) => {
                stop(worker);
                processes::signal(scheduler, Signal::KILL);
                self.left.push(worker);
            }
            (Blow::KillWorker, Some(worker)) => processes::signal(worker, Signal::KILL),
            (Blow::StopWorker, Some(worker)) => {
                stop(worker);
                // The scheduler prints a line when another worker ends.
                let others = workers.iter().filter(|&&other| other != worker && folder_of(other).is_some());
                if others.count() > 0 {
                    call.read(1);
                }
                processes::signal(worker, Signal::CONT);
            }
            (Blow::StopScheduler | Blow::StartSecond, Some(_)) => {
                stop(scheduler);
                // This line is printed under the lock.
                let is_locked = call.said.contains("runs to do");
                let second = (blow == Blow::StartSecond && is_locked).then(|| self.bench.run(SWEEP));
                workers.iter().for_each(|&worker| wait_for_end(worker));
                processes::signal(scheduler, Signal::CONT);
                if let Some(second) = second.filter(|second| second.code() != 20) {
                    return Err(format!("a second scheduler ended with {}: {}", second.code(), second.stderr()));
                }
            }
            (Blow::FillDisk, _) if self.disk.is_some() => {
                let filler = self.bench.path("filler");
                fill(&filler, self.dice.below(400_000) as u64);
                call.read(1 + self.dice.below(6));
                fs::remove_file(filler).unwrap();
            }
            // There is no worker, or no disk.
            _ => return Ok(true),
        }
        self.count(blow);
        Ok(!DEADLY.contains(&blow))
    }

    /// Damages some files between two calls.
    fn damage_files(&mut self) {
        for _ in 0..self.dice.below(3) {
            // Workers that lost their scheduler may still write.
            self.workers().iter().for_each(|&worker| wait_for_end(worker));
            let target = TARGETS[self.dice.below(TARGETS.len())];
            let Some(path) = self.dice.pick(&found(&self.bench, target)) else { continue };
            let attempts = found(&self.bench, "attempt folder").len();
            self.count(Blow::Damage);
            let what = damage(&path, &mut self.dice);
            self.story.push(what);
            self.removed_attempts += attempts - found(&self.bench, "attempt folder").len();
            let runs = self.bench.path("results/runs");
            self.damaged_runs.extend(path.ancestors().find(|path| path.parent() == Some(&runs)).map(Path::to_owned));
        }
    }

    /// Disturbs the sweep until it is done.
    fn carry_out(&mut self, expected: &[String]) -> Result<(), String> {
        for _ in 0..DISTURBED {
            if self.disturb()? {
                break;
            }
            self.damage_files();
        }
        self.finish()?;
        self.check(expected)?;
        // Nothing names a worker that was stopped when its scheduler died and whose supervisor's journal was damaged.
        let survivors = workers(self.bench.folder());
        if !survivors.is_empty() {
            self.story.push(format!("{} survivors go on", survivors.len()));
            survivors.iter().for_each(|&survivor| processes::signal(survivor, Signal::CONT));
            survivors.iter().for_each(|&survivor| wait_for_end(survivor));
            self.finish()?;
            self.check(expected)?;
        }
        Ok(())
    }

    /// Runs the same command until nothing is left to do.
    fn finish(&mut self) -> Result<(), String> {
        for _ in 0..CALLS {
            self.calls += 1;
            let ran = self.bench.run(SWEEP);
            let (code, said) = (ran.0.status.code(), ran.stderr());
            self.story.push(format!("{said}ended with {code:?}"));
            if !code.is_some_and(|code| CODES.contains(&code)) {
                return Err("an unexpected end".to_owned());
            }
            if code == Some(0) && is_finished(&said) {
                return Ok(());
            }
        }
        Err(format!("not finished after {CALLS} calls"))
    }

    fn check(&self, expected: &[String]) -> Result<(), String> {
        let measured = self.bench.measurements("chaos");
        if measured != expected {
            let differ = measured.iter().zip(expected).find(|(found, expected)| found != expected);
            return Err(format!("{} of {} values; first difference: {differ:?}", measured.len(), expected.len()));
        }
        let status = self.bench.done("status tiny --profile chaos").stdout();
        if status.lines().filter(|line| line.contains("succeeded")).count() != RUNS {
            return Err(status);
        }
        let runs = found(&self.bench, "run folder");
        let successes = |run: &Path| found_words(run, "supervisor.jsonl", "\"status\":\"succeeded\"");
        let wrong = runs.iter().find(|run| match successes(run) {
            0 => true,
            1 => false,
            _ => !self.damaged_runs.contains(run),
        });
        match wrong {
            Some(run) => Err(format!("{} has {} successes", run.display(), successes(run))),
            None if runs.len() != RUNS => Err(format!("there are {} runs", runs.len())),
            None => Ok(()),
        }
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        kill(&workers(self.bench.folder()));
    }
}

/// Whether a call found nothing to do.
fn is_finished(said: &str) -> bool {
    said.contains(&format!("0 of {RUNS} runs to do, {RUNS} done and reused"))
}

/// Returns the folder that a worker works on; `None` if it has ended.
fn folder_of(worker: Pid) -> Option<PathBuf> {
    let words = fs::read(format!("/proc/{}/cmdline", worker.as_raw_nonzero())).ok()?;
    let folder = words.split(|&byte| byte == 0).nth(2)?;
    Some(PathBuf::from(std::str::from_utf8(folder).ok()?))
}

/// Fills a disk with a file, except for some bytes.
fn fill(filler: &Path, free: u64) {
    let mut file = File::create(filler).unwrap();
    let full = io::copy(&mut io::repeat(0), &mut file).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(free)).unwrap();
}

#[test]
fn forty_runs_under_many_disturbances_are_each_done_once_with_the_same_values() {
    let bench = Bench::new();
    bench.add_profile("chaos", EPOCHS, SEEDS);
    bench.done(SWEEP);
    let expected = bench.measurements("chaos");
    let seed = std::env::var("REPMLP_SWEEP_SEED").map_or(SEED, |text| text.parse().unwrap());
    let mut chaos = Chaos::new(seed);
    let ended = chaos.carry_out(&expected);
    tell(&format!("{RUNS} runs disturbed with seed {seed}: {chaos}"));
    if let Err(why) = ended {
        chaos.bench.keep();
        // The folder stays mounted.
        std::mem::forget(chaos.disk.take());
        panic!("{}\nseed {seed}: {why}\nkept in {}", chaos.story.join("\n"), chaos.bench.folder().display());
    }
}
