//! Follows a sweep from outside. It only reads the results folder: the plan, the rows of the index, and the journals of
//! open attempts.
//!
//! A look at a folder with very many runs must stay quick. So journals of finished runs are not read again; whether an
//! attempt is new is seen from the time of a run's folder, and the folders of finished runs are looked at in turns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use sweep_progress::{AttemptJournals, Curve, News, PlannedRun, Progress, Scheduler, Setup, Standing, View, labels};
use sweep_protocol::{
    AttemptLayout, Coordinates, Event, JournalLine, JournalPart, JournalReader, PlanRecord, ResultsLayout, RunId,
    RunRow, Status, SupervisorEvent, attempt_numbers, error_chain, file_stamp,
};
use sweep_runner::{Presence, presence};
use sweep_store::Reader;

use crate::commands::RETRIES;

/// Number of ended runs with journals that are read at the beginning: the latest ones. Their times give the first
/// prediction.
const RECALLED: usize = 12;
/// Number of finished runs that one look covers.
const LOOKED_AT: usize = 500;
/// Time in which an attempt surely writes its first line.
const MOMENT: Duration = Duration::from_secs(60);

/// A sweep that is followed.
pub(crate) struct Follower {
    layout: ResultsLayout,
    plan: PathBuf,
    plan_stamp: Option<String>,
    state: Progress,
    runs: Vec<Followed>,
    open: Vec<OpenAttempt>,
    /// Time at which a run's folder was last added.
    runs_changed: Option<SystemTime>,
    round: usize,
    recalled: BTreeSet<RunId>,
    /// What was last noticed.
    note: String,
}

/// A run of the plan.
struct Followed {
    run: RunId,
    /// Time at which its newest attempt was added; `None` if it has none.
    changed: Option<SystemTime>,
    /// Number of its newest attempt; `None` if nobody has looked.
    newest: Option<u32>,
}

/// An attempt that is not closed yet.
struct OpenAttempt {
    run: RunId,
    number: u32,
    folder: AttemptLayout,
    journal: JournalReader<Event>,
    supervisor: JournalReader<SupervisorEvent>,
}

impl OpenAttempt {
    fn new(layout: &ResultsLayout, run: RunId, number: u32) -> Self {
        let folder = layout.run(run).attempt(number);
        let (journal, supervisor) = (JournalReader::new(&folder.journal()), JournalReader::new(&folder.supervisor()));
        Self { run, number, folder, journal, supervisor }
    }
}

/// Returns the time at which a folder or file last changed; `None` if there is none.
pub(crate) fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

/// Returns the time at which anything of a plan last happened: it was written, or an attempt of it was added.
pub(crate) fn last_active(layout: &ResultsLayout, plan: &PlanRecord) -> Option<SystemTime> {
    let launches = plan.runs.iter().filter_map(|run| changed(&layout.run(run.run).attempts()));
    launches.chain(changed(&layout.plan(&plan.experiment, &plan.profile))).max()
}

impl Follower {
    /// Begins to follow a plan.
    pub(crate) fn new(layout: &ResultsLayout, results: &mut Reader, plan: &PlanRecord) -> Result<Self> {
        let path = layout.plan(&plan.experiment, &plan.profile);
        let plan_stamp = file_stamp(&path);
        // The times are taken before the rows, so that no later attempt is missed.
        let runs_changed = changed(&layout.runs());
        let ids: Vec<RunId> = plan.runs.iter().map(|planned| planned.run).collect();
        let times: Vec<_> = ids.iter().map(|run| changed(&layout.run(*run).attempts())).collect();
        let rows = results.run_rows(&ids)?;
        let setup = Setup {
            experiment: plan.experiment.clone(),
            profile: plan.profile.clone(),
            layout: layout.clone(),
            slots: None,
            retries: RETRIES,
        };
        let labels = labels(plan.runs.iter().map(|planned| (planned.run, &planned.coordinates, planned.seed)));
        let planned = plan.runs.iter().zip(&rows).zip(labels);
        // Runs with the same coordinates differ in their seeds only.
        let mut configurations: BTreeMap<&Coordinates, usize> = BTreeMap::new();
        let planned = planned.map(|((planned, row), label)| PlannedRun {
            run: planned.run,
            label,
            configuration: {
                let next = configurations.len();
                *configurations.entry(&planned.coordinates).or_insert(next)
            },
            work: planned.work,
            standing: standing(layout, row),
            checkpoint_step: row.checkpoint_step,
        });
        let state = Progress::new(setup, planned.collect());
        let followed =
            |(run, changed): (_, Option<_>)| Followed { run, changed, newest: changed.is_none().then_some(0) };
        let mut follower = Self {
            layout: layout.clone(),
            plan: path,
            plan_stamp,
            state,
            runs: ids.into_iter().zip(times).map(followed).collect(),
            open: Vec::new(),
            runs_changed,
            round: 0,
            recalled: BTreeSet::new(),
            note: String::new(),
        };
        follower.follow_open(&rows);
        follower.recall_latest(&rows);
        Ok(follower)
    }

    /// Reads what is new.
    pub(crate) fn look(&mut self, now_ms: u64) {
        self.state.set_scheduler(match presence(&self.layout) {
            Presence::Absent => Scheduler::Absent,
            Presence::Present { pid, since_ms } => Scheduler::Present { pid, since_ms },
            Presence::Elsewhere(holder) => {
                Scheduler::Elsewhere { pid: holder.pid, host: holder.host.unwrap_or_default() }
            }
        });
        self.find_attempts();
        let open = std::mem::take(&mut self.open);
        self.open = open.into_iter().filter_map(|attempt| self.read(attempt)).collect();
        let news = self.state.find_slow(now_ms);
        self.notice(news);
    }

    /// Everything about the sweep at a time.
    pub(crate) fn view(&self, now_ms: u64) -> View<'_> {
        self.state.view(now_ms)
    }

    /// Reads the journals of a run that has ended, when its curve is first wanted.
    pub(crate) fn recall(&mut self, run: RunId) {
        if self.recalled.insert(run) && self.state.curve(run).is_none() {
            self.recall_last_attempt(run);
        }
    }

    /// The learning curve of a run, if it is known.
    pub(crate) fn curve(&self, run: RunId) -> Option<&Curve> {
        self.state.curve(run)
    }

    /// What was last noticed; empty if nothing was.
    pub(crate) fn note(&self) -> &str {
        &self.note
    }

    /// Whether another plan was written in the place of this one.
    pub(crate) fn is_replaced(&self) -> bool {
        file_stamp(&self.plan) != self.plan_stamp
    }

    /// Whether no attempt of the plan is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether it follows this plan.
    pub(crate) fn follows(&self, plan: &PlanRecord) -> bool {
        self.plan == self.layout.plan(&plan.experiment, &plan.profile)
    }

    /// Finds attempts that were added since the last look.
    fn find_attempts(&mut self) {
        let runs_changed = changed(&self.layout.runs());
        let has_new_folder = runs_changed != self.runs_changed;
        self.runs_changed = runs_changed;
        let rounds = self.runs.len().div_ceil(LOOKED_AT).max(1);
        self.round = (self.round + 1) % rounds;
        for at in 0..self.runs.len() {
            let Followed { run, changed: known, newest } = self.runs[at];
            let is_likely = match known {
                None => has_new_folder,
                Some(_) => !self.state.has_succeeded(run),
            };
            if !is_likely && at % rounds != self.round {
                continue;
            }
            let now = changed(&self.layout.run(run).attempts());
            if now.is_none() {
                (self.runs[at].changed, self.runs[at].newest) = (None, Some(0));
                continue;
            }
            // Times are coarse: a folder that is still empty may be filled without another time.
            if now != known && self.follow_new(at, newest) {
                self.runs[at].changed = now;
            }
        }
    }

    /// Follows the attempts that are open at the beginning. An attempt of a moment ago may have no line yet, and so its
    /// row does not know it.
    fn follow_open(&mut self, rows: &[RunRow]) {
        let latest = self.runs.iter().filter_map(|followed| followed.changed).max();
        let moment_ago = latest.and_then(|latest| latest.checked_sub(MOMENT));
        for (at, row) in rows.iter().enumerate() {
            let is_recent = self.runs[at].changed.is_some() && self.runs[at].changed >= moment_ago;
            let is_new =
                || attempt_numbers(&self.layout.run(row.run)).is_ok_and(|all| all.len() > row.attempts as usize);
            if row.status == Status::Running || is_recent && is_new() {
                self.follow_new(at, None);
            }
        }
    }

    /// Follows the attempts of a run after a number, or only the newest one. Returns whether there is any.
    fn follow_new(&mut self, at: usize, after: Option<u32>) -> bool {
        let run = self.runs[at].run;
        let numbers = attempt_numbers(&self.layout.run(run)).unwrap_or_default();
        let Some(&newest) = numbers.last() else { return false };
        let after = after.unwrap_or(newest - 1);
        let new: Vec<u32> = numbers.into_iter().filter(|number| *number > after).collect();
        self.runs[at].newest = Some(newest);
        self.open.extend(new.iter().map(|number| OpenAttempt::new(&self.layout, run, *number)));
        !new.is_empty()
    }

    /// Reads the new lines of an attempt. Returns it if it is still open.
    fn read(&mut self, mut attempt: OpenAttempt) -> Option<OpenAttempt> {
        let (run, number) = (attempt.run, attempt.number);
        // The supervisor writes its closing line after the attempt's last line. Read in this order, no line is missed.
        let supervisor = self.lines(attempt.supervisor.read_new());
        let journal = self.lines(attempt.journal.read_new());
        if supervisor.is_empty() && journal.is_empty() {
            if attempt.folder.root().exists() {
                return Some(attempt);
            }
            self.state.forget(run, number);
            let gone = self.runs.iter_mut().filter(|followed| followed.run == run);
            gone.for_each(|followed| (followed.changed, followed.newest) = (None, Some(number - 1)));
            return None;
        }
        let is_closing = |line: &JournalLine<SupervisorEvent>| matches!(line.event, SupervisorEvent::Closed { .. });
        let (closing, launching): (Vec<_>, Vec<_>) = supervisor.into_iter().partition(is_closing);
        let mut news = Vec::new();
        if !launching.is_empty() {
            news.extend(self.state.apply_supervisor(run, number, &launching));
        }
        if !journal.is_empty() {
            news.extend(self.state.apply_journal(run, number, &journal));
        }
        if !closing.is_empty() {
            news.extend(self.state.apply_supervisor(run, number, &closing));
        }
        self.notice(news);
        closing.is_empty().then_some(attempt)
    }

    /// The lines that could be read. Damage becomes the note.
    fn lines<T>(&mut self, part: Result<JournalPart<T>, sweep_protocol::JournalError>) -> Vec<JournalLine<T>> {
        match part {
            Ok(JournalPart { lines, damage }) => {
                if let Some(damage) = damage.into_iter().next_back() {
                    self.note = damage.to_string();
                }
                lines
            }
            Err(fault) => {
                self.note = error_chain(&fault);
                Vec::new()
            }
        }
    }

    /// Keeps the latest of what attempts tell.
    fn notice(&mut self, news: Vec<News>) {
        for news in news {
            match news {
                News::Noticed { run, text } => self.note = format!("{}: {text}", self.state.label(run)),
                News::Slow { run, place, times } => {
                    let label = self.state.label(run);
                    self.note = format!("{label} is {times:.1} times as slow as finished runs on {}", place.device);
                }
                _ => {}
            }
        }
    }

    /// Recalls the latest of the runs that have succeeded, and of those that wait with a checkpoint.
    fn recall_latest(&mut self, rows: &[RunRow]) {
        let has_succeeded = |row: &RunRow| row.status == Status::Succeeded;
        let waits =
            |row: &RunRow| row.checkpoint_step > 0 && !matches!(row.status, Status::Succeeded | Status::Running);
        for is_wanted in [&has_succeeded as &dyn Fn(&RunRow) -> bool, &waits] {
            let wanted = self.runs.iter().zip(rows).filter(|(_, row)| is_wanted(row));
            let mut wanted: Vec<(Option<SystemTime>, RunId)> =
                wanted.map(|(followed, row)| (followed.changed, row.run)).collect();
            wanted.sort();
            wanted.into_iter().rev().take(RECALLED).for_each(|(_, run)| self.recall(run));
        }
    }

    fn recall_last_attempt(&mut self, run: RunId) {
        let Some(number) = last_attempt(&self.layout, run) else { return };
        let mut attempt = OpenAttempt::new(&self.layout, run, number);
        let supervisor = self.lines(attempt.supervisor.read_new());
        let journal = self.lines(attempt.journal.read_new());
        self.state.recall(run, AttemptJournals { attempt: number, journal: &journal, supervisor: &supervisor });
    }
}

fn last_attempt(layout: &ResultsLayout, run: RunId) -> Option<u32> {
    attempt_numbers(&layout.run(run)).ok()?.last().copied()
}

/// Where a run stands by its row. The attempt that failed is the one with the last folder.
fn standing(layout: &ResultsLayout, row: &RunRow) -> Standing {
    match Standing::of(row) {
        Standing::Failed { status, message, attempt } => {
            Standing::Failed { status, message, attempt: last_attempt(layout, row.run).unwrap_or(attempt) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use sweep_protocol::{Environment, JournalWriter, PlannedRunRecord};

    use super::*;

    /// A results folder with a plan of two runs.
    struct Folder {
        layout: ResultsLayout,
        plan: PlanRecord,
        _folder: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let run = |seed| PlannedRunRecord {
                run: RunId::of("{}", seed),
                seed,
                coordinates: Coordinates::default(),
                networks: BTreeMap::new(),
                work: Some(100),
            };
            let plan = PlanRecord {
                experiment: "groups".to_owned(),
                profile: "default".to_owned(),
                question: String::new(),
                axes: Vec::new(),
                baseline: Coordinates::default(),
                runs: vec![run(0), run(1)],
                exclusions: Vec::new(),
                metrics: Vec::new(),
                commands: false,
                scale: None,
                source: None,
                claims: BTreeMap::new(),
            };
            Self { layout: ResultsLayout::new(folder.path()), plan, _folder: folder }
        }

        fn attempt(&self, run: usize, number: u32) -> AttemptLayout {
            self.layout.run(self.plan.runs[run].run).attempt(number)
        }

        fn prepare(&self, run: usize, number: u32) {
            fs::create_dir_all(self.attempt(run, number).root()).unwrap();
        }

        fn supervise(&self, run: usize, number: u32, event: SupervisorEvent) {
            JournalWriter::open(&self.attempt(run, number).supervisor()).unwrap().append(event).unwrap();
        }

        fn launch(&self, run: usize, number: u32) {
            self.prepare(run, number);
            self.supervise(run, number, SupervisorEvent::Launched { pid: 1, slot: 0, process: None, of: None });
            let environment = Environment {
                trainer_version: 1,
                code: "0".to_owned(),
                device: "cpu".to_owned(),
                arithmetic: None,
                processor: None,
                threads: 1,
                host: "here".to_owned(),
                pid: 1,
                data_fingerprint: "set".to_owned(),
            };
            let started = Event::Started { environment, epochs: 2, steps_per_epoch: 5, resumed_at_step: 0 };
            let mut journal = JournalWriter::open(&self.attempt(run, number).journal()).unwrap();
            journal.append(started).unwrap();
            journal.append(Event::Progressed { epoch: 0, step: 3, loss: 1.0 }).unwrap();
        }

        fn close(&self, run: usize, number: u32, status: Status) {
            let message = (status != Status::Succeeded).then(|| "it had to".to_owned());
            let closed = SupervisorEvent::Closed { status, message, journal_lines: None, measured: None };
            self.supervise(run, number, closed);
        }

        fn follow(&self) -> Follower {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut results = runtime.block_on(Reader::open(&self.layout)).unwrap();
            Follower::new(&self.layout, &mut results, &self.plan).unwrap()
        }
    }

    /// Looks, and returns the numbers of runs that are queued, running, succeeded and failed.
    fn look(follower: &mut Follower) -> [usize; 4] {
        follower.look(0);
        let counts = follower.view(0).counts;
        [counts.queued, counts.running, counts.succeeded, counts.failed]
    }

    #[test]
    fn attempts_are_followed_from_their_launch_to_their_end() {
        let folder = Folder::new();
        let mut follower = folder.follow();
        assert_eq!(look(&mut follower), [2, 0, 0, 0]);
        folder.launch(0, 1);
        assert_eq!(look(&mut follower), [1, 1, 0, 0]);
        assert_eq!(follower.view(0).slots[0].running.as_ref().unwrap().step, 3);
        folder.close(0, 1, Status::Succeeded);
        folder.launch(1, 1);
        assert_eq!(look(&mut follower), [0, 1, 1, 0]);
        // A run that crashes is tried again.
        folder.close(1, 1, Status::Failed(sweep_protocol::FailureKind::Crash));
        assert_eq!(look(&mut follower), [1, 0, 1, 0]);
        folder.launch(1, 2);
        folder.close(1, 2, Status::Failed(sweep_protocol::FailureKind::Crash));
        assert_eq!(look(&mut follower), [0, 0, 1, 1]);
        assert!(follower.view(0).failures[0].log.ends_with("attempts/2/log.txt"));
        assert!(follower.is_idle());
        // A new reader misses the end of the first run's journal.
        assert_eq!(look(&mut folder.follow()), [1, 0, 0, 1]);
    }

    #[test]
    fn an_attempt_without_lines_is_followed_too() {
        let folder = Folder::new();
        folder.prepare(0, 1);
        let mut follower = folder.follow();
        assert_eq!(look(&mut follower), [2, 0, 0, 0]);
        fs::create_dir_all(folder.layout.run(folder.plan.runs[1].run).attempts()).unwrap();
        assert_eq!(look(&mut follower), [2, 0, 0, 0]);
        folder.launch(0, 1);
        folder.launch(1, 1);
        assert_eq!(look(&mut follower), [0, 2, 0, 0]);
    }

    #[test]
    fn a_removed_attempt_and_a_damaged_journal_are_survived() {
        let folder = Folder::new();
        folder.launch(0, 1);
        folder.launch(1, 1);
        let mut follower = folder.follow();
        assert_eq!(look(&mut follower), [0, 2, 0, 0]);
        fs::remove_dir_all(folder.layout.run(folder.plan.runs[0].run).root()).unwrap();
        let journal = folder.attempt(1, 1).journal();
        let text = fs::read_to_string(&journal).unwrap();
        fs::write(&journal, text + "no line\n").unwrap();
        assert_eq!(look(&mut follower), [1, 1, 0, 0]);
        assert!(follower.note().contains("line 3: cannot be parsed"), "{}", follower.note());
        folder.launch(0, 1);
        assert_eq!(look(&mut follower), [0, 2, 0, 0]);
    }
}
