//! Random disturbances of processes and files. Afterwards the same command still finishes the sweep and measures the
//! same values.
//!
//! The number of a round determines what is disturbed, when, and how. `REPMLP_SWEEP_ROUNDS=200` runs more rounds than
//! an ordinary test run has time for. `REPMLP_SWEEP_FIRST=17` starts with another round. A failed round keeps its
//! folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

use rustix::process::{Pid, Signal};

use crate::bench::{Bench, tell};
use crate::disturbances::{Dice, TARGETS, damage, found, found_words, limited};
use crate::processes::{self, kill, stop, wait_for_end, workers};

const SWEEP: &str = "experiments/tiny.toml --profile chaos --slots 2 --threads 1";
const RUNS: usize = 4;
/// First round of an ordinary test run. Its two rounds are [`Blow::KillAll`] and [`Blow::HideSurvivor`].
const FIRST: u64 = 2;
const ROUNDS: u64 = 2;
/// Maximum number of calls until the sweep must be finished.
const CALLS: usize = 8;
/// Exit codes that a disturbed call may have: done, work remains, runs failed, a folder cannot be written.
const CODES: [i32; 4] = [0, 5, 10, 21];

/// Disturbance of the processes of a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    KillScheduler,
    KillWorker,
    KillAll,
    /// A stopped worker outlives its scheduler, and its supervisor's journal is emptied, so that nothing names it.
    HideSurvivor,
    /// A stopped worker outlives its scheduler, and its supervisor's journal names it.
    StopWorker,
    RemoveLock,
    LimitFiles,
    ScribbleOnIndex,
    LetFinish,
}

const BLOWS: [Blow; 9] = [
    Blow::KillScheduler,
    Blow::KillWorker,
    Blow::KillAll,
    Blow::HideSurvivor,
    Blow::StopWorker,
    Blow::RemoveLock,
    Blow::LimitFiles,
    Blow::ScribbleOnIndex,
    Blow::LetFinish,
];

/// One round: a sweep, its disturbances, and the story that is printed if the round fails.
struct Round {
    bench: Bench,
    dice: Dice,
    blow: Blow,
    story: Vec<String>,
    survivor: Option<Pid>,
    is_damaged: bool,
}

impl Round {
    fn new(number: u64) -> Self {
        let mut dice = Dice(number);
        // The blows take turns. Everything else is random.
        let blow = BLOWS[(number % BLOWS.len() as u64) as usize];
        dice.below(1);
        let bench = Bench::new();
        bench.add_profile("chaos", 2, 2);
        Self { bench, dice, blow, story: vec![format!("round {number}: {blow:?}")], survivor: None, is_damaged: false }
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.story.push(what.into());
    }

    /// Starts the sweep; with a limited file size if this round asks for it.
    fn start(&mut self) -> (Child, BufReader<ChildStderr>) {
        let mut command = self.bench.command(SWEEP);
        if self.blow == Blow::LimitFiles {
            let blocks = 1 + self.dice.below(160);
            self.tell(format!("files of at most {blocks} blocks"));
            command = limited(&self.bench, blocks, SWEEP);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        (child, stderr)
    }

    /// Starts the sweep and disturbs it after some of its output lines.
    fn strike(&mut self) {
        let (mut child, mut stderr) = self.start();
        let lines = 1 + self.dice.below(24);
        let mut said = String::new();
        let is_whole = matches!(self.blow, Blow::LimitFiles | Blow::LetFinish);
        while said.lines().count() < lines && !is_whole && stderr.read_line(&mut said).unwrap() > 0 {}
        self.tell(format!("after {} lines", said.lines().count()));
        let scheduler = Pid::from_child(&child);
        let workers = workers(self.bench.folder());
        let worker = self.dice.pick(&workers);
        match self.blow {
            Blow::KillScheduler => processes::signal(scheduler, Signal::KILL),
            Blow::KillWorker => worker.into_iter().for_each(|worker| processes::signal(worker, Signal::KILL)),
            Blow::KillAll => {
                processes::signal(scheduler, Signal::KILL);
                workers.iter().for_each(|&worker| processes::signal(worker, Signal::KILL));
            }
            Blow::HideSurvivor | Blow::StopWorker => self.leave_behind(scheduler, worker),
            Blow::RemoveLock => {
                fs::remove_file(self.bench.path("results/scheduler.lock")).ok();
                let second = self.bench.run(SWEEP).code();
                self.tell(format!("a second scheduler ended with {second}"));
            }
            Blow::ScribbleOnIndex => {
                // A scheduler that goes on removes the log of the index when it ends.
                stop(scheduler);
                let index = found(&self.bench, self.dice.pick(&["metrics.sqlite", "metrics.sqlite-wal"]).unwrap());
                let scribbled = index.first().map(|path| damage(path, &mut self.dice));
                self.story.extend(scribbled);
                processes::signal(scheduler, Signal::CONT);
            }
            Blow::LimitFiles | Blow::LetFinish => {}
        }
        stderr.read_to_string(&mut said).unwrap();
        let code = child.wait().unwrap().code();
        self.tell(format!("{said}it ended with {code:?}"));
    }

    /// Stops a worker, then kills the scheduler.
    fn leave_behind(&mut self, scheduler: Pid, worker: Option<Pid>) {
        worker.into_iter().for_each(stop);
        processes::signal(scheduler, Signal::KILL);
        let Some(worker) = worker else { return };
        self.survivor = Some(worker);
        let words = fs::read(format!("/proc/{}/cmdline", worker.as_raw_nonzero())).unwrap_or_default();
        let folder = words.split(|&byte| byte == 0).nth(2).map(|word| String::from_utf8(word.to_vec()).unwrap());
        if let Some(folder) = folder.filter(|_| self.blow == Blow::HideSurvivor) {
            wait_for_end(scheduler);
            fs::write(Path::new(&folder).join("supervisor.jsonl"), "").ok();
        }
    }

    /// Damages some of the remaining files.
    fn damage_files(&mut self, counts: &mut BTreeMap<String, u32>) {
        // Workers that lost their scheduler may still write and remove files.
        let ending = workers(self.bench.folder()).into_iter().filter(|&worker| Some(worker) != self.survivor);
        ending.for_each(wait_for_end);
        for _ in 0..self.dice.below(4) {
            let target = TARGETS[self.dice.below(TARGETS.len())];
            let Some(path) = self.dice.pick(&found(&self.bench, target)) else { continue };
            *counts.entry(target.to_owned()).or_default() += 1;
            self.is_damaged = true;
            let what = damage(&path, &mut self.dice);
            self.tell(what);
        }
    }

    /// Runs the same command until nothing is left to do.
    fn finish(&mut self) -> Result<(), String> {
        for _ in 0..CALLS {
            let ran = self.bench.run(SWEEP);
            let (code, said) = (ran.0.status.code(), ran.stderr());
            self.tell(format!("{said}ended with {code:?}"));
            if !code.is_some_and(|code| CODES.contains(&code)) {
                return Err("an unexpected end".to_owned());
            }
            if code == Some(0) && said.contains(&format!("0 of {RUNS} runs to do, {RUNS} done and reused")) {
                return Ok(());
            }
        }
        Err(format!("not finished after {CALLS} calls"))
    }

    fn check(&mut self, expected: &[String]) -> Result<(), String> {
        let found = self.bench.measurements("chaos");
        if found != expected {
            let differ = found.iter().zip(expected).find(|(found, expected)| found != expected);
            return Err(format!("{} of {} values; first difference: {differ:?}", found.len(), expected.len()));
        }
        let status = self.bench.done("status tiny --profile chaos").stdout();
        let succeeded = status.lines().filter(|line| line.contains("succeeded")).count();
        if succeeded != RUNS {
            return Err(status);
        }
        let closed = found_words(&self.bench.path("results"), "supervisor.jsonl", "\"status\":\"succeeded\"");
        if self.is_damaged || closed == RUNS { Ok(()) } else { Err(format!("{closed} attempts succeeded")) }
    }

    fn carry_out(&mut self, expected: &[String], counts: &mut BTreeMap<String, u32>) -> Result<(), String> {
        *counts.entry(format!("{:?}", self.blow)).or_default() += 1;
        self.strike();
        self.damage_files(counts);
        self.finish()?;
        self.check(expected)?;
        if let Some(survivor) = self.survivor {
            self.tell("the survivor goes on");
            processes::signal(survivor, Signal::CONT);
            wait_for_end(survivor);
            self.check(expected)?;
            self.finish()?;
        }
        Ok(())
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        kill(&workers(self.bench.folder()));
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn after_any_disturbance_the_same_command_finishes_with_the_same_values() {
    let bench = Bench::new();
    bench.add_profile("chaos", 2, 2);
    bench.done(SWEEP);
    let expected = bench.measurements("chaos");
    let first = number("REPMLP_SWEEP_FIRST").unwrap_or(FIRST);
    let rounds = number("REPMLP_SWEEP_ROUNDS");
    let mut counts = BTreeMap::new();
    for number in first..first + rounds.unwrap_or(ROUNDS) {
        let mut round = Round::new(number);
        if rounds.is_some() {
            tell(&round.story[0]);
        }
        if let Err(why) = round.carry_out(&expected, &mut counts) {
            round.bench.keep();
            panic!("{}\n{why}\nkept in {}", round.story.join("\n"), round.bench.folder().display());
        }
    }
    if rounds.is_some() {
        tell(&format!("rounds from {first}: {counts:?}"));
    }
}
