//! The launcher: submits attempts, asks for the queue now and then, and follows the journals of tasks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sweep_protocol::{AttemptName, Lease, Outcome, ResultsLayout, SupervisorEvent, log_tail};
use sweep_runner::{
    Ended, EndedBy, Followed, Launcher, Prepared, Process, Record, Request, RunnerError, Slot, Submitted,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::Say;
use crate::queue::{Phase, Queue, TaskState};
use crate::start::next_of;
use crate::{Cluster, Program, Settings, SlurmError, Submission};

/// Number of answers in a row after which a task that Slurm does not know, or could not launch, is lost.
const LOST: u32 = 2;
/// Least time between the first and the last of these answers. A controller that starts may not know all jobs yet.
const LOST_FOR: Duration = Duration::from_secs(5);
/// The same for a task that has begun and that Slurm holds. A copy of it may run on, and it may be silent for long: a
/// command may report only after each epoch.
const LOST_BEGUN: u32 = 40;
/// Number of answers after the end of a task in which its last lines may still arrive over a network file system.
const LATE: u32 = 3;

/// What happens after runs are submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// They are followed until they end.
    Follow,
    /// Those that have ended are closed, and the others go on alone.
    Leave,
}

/// What Slurm said last.
#[derive(Clone)]
enum Answer {
    /// Nothing yet.
    Nothing,
    /// This.
    Queue(Arc<Queue>),
    /// It did not answer.
    Silence,
}

/// A Slurm cluster as the place where attempts run.
pub struct Slurm {
    layout: ResultsLayout,
    settings: Settings,
    program: Program,
    after: After,
    /// The jobs that are asked for.
    jobs: Arc<Mutex<BTreeSet<String>>>,
    /// The latest answer.
    answers: watch::Receiver<Answer>,
    poller: JoinHandle<()>,
    say: Say,
}

impl Slurm {
    /// Starts to ask for the queue. Nothing is asked before the first job.
    pub fn new(layout: &ResultsLayout, settings: Settings, program: Program, after: After, say: Say) -> Self {
        let jobs = Arc::default();
        let (sender, answers) = watch::channel(Answer::Nothing);
        let pause = Duration::from_secs(settings.poll.max(1).into());
        let poller = tokio::spawn(poll(Arc::clone(&jobs), sender, pause, Arc::clone(&say)));
        Self { layout: layout.clone(), settings, program, after, jobs, answers, poller, say }
    }

    /// Returns a task that was submitted earlier.
    pub fn adopt(&self, submitted: &Submitted) -> SlurmTask {
        self.task(submitted.job.clone(), submitted.task, Entry::Adopted)
    }

    fn task(&self, job: String, task: u32, entry: Entry) -> SlurmTask {
        lock(&self.jobs).insert(job.clone());
        let answers = self.answers.clone();
        SlurmTask { job, task, entry, after: self.after, answers, say: Arc::clone(&self.say) }
    }

    async fn submit(&self, attempts: &[Prepared]) -> Result<Vec<SlurmTask>, SlurmError> {
        let folders = attempts.iter().map(|attempt| {
            let folder = attempt.folder.root();
            std::path::absolute(folder).map_err(crate::error::file(folder, "finding the absolute path"))
        });
        let folders = folders.collect::<Result<Vec<_>, _>>()?;
        let size = self.cluster().max_array_size().await? as usize;
        let submission = Submission::write(&self.layout, &self.settings, &self.program, folders)?;
        let chunks = attempts.len().div_ceil(size);
        // The limit holds for all arrays together.
        let at_once = self.settings.array_limit.map(|limit| (limit / u32::try_from(chunks).unwrap_or(1)).max(1));
        let mut jobs = Vec::new();
        let mut tasks = Vec::new();
        for first in (0..attempts.len()).step_by(size) {
            let number = size.min(attempts.len() - first);
            let files = (submission.script(), submission.output()?);
            let submitted = self.cluster().submit((&files.0, &files.1), (first, number), at_once, &self.settings).await;
            let job = match submitted {
                Ok(job) => job,
                Err(refusal) => {
                    self.withdraw(&submission, &jobs).await;
                    return Err(refusal);
                }
            };
            jobs.push(job.clone());
            tasks.extend((0..number).map(|task| (job.clone(), u32::try_from(task).unwrap_or(u32::MAX))));
        }
        let number = attempts.len();
        let plural = if number == 1 { "" } else { "s" };
        (self.say)(&format!("submitted {number} run{plural} to Slurm as job {}", jobs.join(", ")));
        Ok(tasks.into_iter().map(|(job, task)| self.task(job, task, Entry::New)).collect())
    }
}

impl Slurm {
    fn cluster(&self) -> Cluster {
        Cluster::new(Arc::clone(&self.say))
    }

    /// Takes arrays out of the queue whose submission is incomplete: the next call submits all runs again.
    async fn withdraw(&self, submission: &Submission, jobs: &[String]) {
        match self.cluster().remove(jobs).await {
            Ok(()) => submission.withdraw(),
            Err(fault) => (self.say)(&fault.to_string()),
        }
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

fn lock(jobs: &Mutex<BTreeSet<String>>) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks for the queue until nobody listens any more.
async fn poll(jobs: Arc<Mutex<BTreeSet<String>>>, answers: watch::Sender<Answer>, pause: Duration, say: Say) {
    let mut is_failing = false;
    // Only the first question keeps the user waiting.
    let mut cluster = Cluster::new(Arc::clone(&say));
    while !answers.is_closed() {
        let asked: Vec<String> = lock(&jobs).iter().cloned().collect();
        if !asked.is_empty() {
            match std::mem::replace(&mut cluster, Cluster::quiet()).queue(&asked).await {
                Ok(queue) => {
                    if std::mem::take(&mut is_failing) {
                        say("Slurm answers again");
                    }
                    answers.send_replace(Answer::Queue(Arc::new(queue)));
                }
                // A controller that does not answer says nothing about its tasks.
                Err(fault) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        say(&format!("{fault}; asking again every {} s", pause.as_secs()));
                    }
                    answers.send_replace(Answer::Silence);
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
}

impl Launcher for Slurm {
    type Process = SlurmTask;

    /// Slurm decides what waits.
    fn places(&self) -> usize {
        usize::MAX
    }

    /// Slurm gives each task its own memory.
    fn shares_memory(&self) -> bool {
        false
    }

    /// The limit is that of the queue. The next attempt continues from a checkpoint.
    fn retries_time_limits(&self) -> bool {
        true
    }

    fn slot(&self, _place: usize) -> Slot {
        Slot { device: self.settings.device.clone(), threads: self.settings.cpus as usize }
    }

    async fn launch(&self, attempts: Vec<Prepared>) -> Result<Vec<SlurmTask>, RunnerError> {
        self.submit(&attempts).await.map_err(cluster)
    }
}

fn cluster(fault: SlurmError) -> RunnerError {
    RunnerError::Cluster(Box::new(fault))
}

/// How an attempt came to its scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// This scheduler submitted it.
    New,
    /// An earlier scheduler submitted it and recorded this.
    Adopted,
}

/// A task of an array.
pub struct SlurmTask {
    job: String,
    task: u32,
    entry: Entry,
    after: After,
    answers: watch::Receiver<Answer>,
    say: Say,
}

impl SlurmTask {
    fn submitted(&self, of: AttemptName) -> SupervisorEvent {
        SupervisorEvent::Submitted { of, job: self.job.clone(), task: self.task }
    }

    /// Passes on what the task has reported since the last call. If Slurm has started it again, goes on with the
    /// attempt of the latest start.
    async fn look(&self, record: &mut Record) -> Result<(), RunnerError> {
        loop {
            record.follow().await?;
            let has_started_again = next_of(record.folder().root()).is_some_and(|folder| folder.is_dir());
            if !has_started_again {
                return Ok(());
            }
            let end = Ended { by: EndedBy::Requeued, how: "Slurm started it again".to_owned() };
            let next = record.name().attempt.saturating_add(1);
            let of = AttemptName { attempt: next, ..record.name() };
            record.go_on_with(self.submitted(of), next, &end).await?;
        }
    }

    /// Takes the right to write from the task, and passes on its last lines. Returns whether the attempt is over: a
    /// start may have come between the last look and this one, and has a folder of its own.
    async fn give_up(&self, record: &mut Record) -> Result<bool, RunnerError> {
        let (attempt, lease) = (record.name().attempt, record.folder().lease());
        Lease::revoke(&lease).map_err(|source| RunnerError::Unwritable { path: lease, source })?;
        self.look(record).await?;
        Ok(record.name().attempt == attempt)
    }

    /// Returns the end of what the task printed before it found its folder, as the end of a sentence. A line of `setup`
    /// that failed is seen only there.
    fn output(&self, layout: &ResultsLayout) -> String {
        let name = format!("{}_{}.txt", self.job, self.task);
        let folders = std::fs::read_dir(layout.submissions()).into_iter().flatten().flatten();
        let paths = folders.map(|entry| entry.path().join("output").join(&name));
        let printed = paths.filter_map(|path| Some((log_tail(&path).ok()?, path))).find(|(tail, _)| !tail.is_empty());
        printed.map_or_else(String::new, |(tail, path)| format!("; {} ends with:\n{tail}", path.display()))
    }

    /// Takes the task out of the queue, since nothing is left to do. If Slurm does not answer, a later start finds that
    /// the attempt was given up.
    async fn leave_the_queue(&self) {
        let name = format!("{}_{}", self.job, self.task);
        if let Err(fault) = Cluster::new(Arc::clone(&self.say)).remove(&[name]).await {
            (self.say)(&fault.to_string());
        }
    }

    /// Waits for the next answer of Slurm about this job. Returns nothing if the scheduler stops, or if it does not
    /// stay and Slurm does not answer.
    async fn answer(&mut self, requests: &mut watch::Receiver<Request>) -> Option<Arc<Queue>> {
        loop {
            tokio::select! {
                changed = self.answers.changed() => changed.ok()?,
                _ = requests.wait_for(|request| *request != Request::Run) => return None,
            }
            match self.answers.borrow_and_update().clone() {
                Answer::Queue(queue) if queue.is_about(&self.job) => return Some(queue),
                Answer::Silence if self.after == After::Leave => return None,
                Answer::Queue(_) | Answer::Silence | Answer::Nothing => {}
            }
        }
    }

    /// Says what the end of the task means; `None` if it has not ended, or if its last lines may still arrive.
    ///
    /// An attempt that reported a final outcome is over, whatever Slurm says. Slurm may start a task again that is
    /// done, for example after the state of a controller was lost.
    fn end(&self, state: Option<&TaskState>, outcome: Option<&Outcome>, counts: &mut Counts) -> Option<Ended> {
        if matches!(outcome, Some(Outcome::Succeeded | Outcome::Failed { .. })) {
            return Some(Ended { by: EndedBy::Itself, how: "it reported its end".to_owned() });
        }
        let Some(task) = state else {
            // A new job may be missing in the first answer, and an old one has left the queue.
            let how = format!("Slurm no longer knows job {}_{}", self.job, self.task);
            return counts.is_lost(LOST).then_some(Ended { by: EndedBy::Cluster, how });
        };
        let is_complete = task.state == "COMPLETED";
        let by = match task.phase() {
            // The next attempt is a new task, perhaps on another node.
            Phase::NotLaunched => {
                let how = format!("Slurm could not launch job {}_{} ({})", self.job, self.task, task.reason);
                let enough = if counts.is_begun && outcome.is_none() { LOST_BEGUN } else { LOST };
                return counts.is_lost(enough).then_some(Ended { by: EndedBy::Cluster, how });
            }
            Phase::Alive => {
                counts.lost = None;
                return None;
            }
            Phase::OutOfMemory => EndedBy::Memory,
            Phase::TimeLimit => EndedBy::TimeLimit,
            Phase::Cancelled => EndedBy::Request,
            // It stopped before its time limit, and may not queue again.
            Phase::Ended if is_complete && outcome == Some(&Outcome::Stopped) => EndedBy::TimeLimit,
            Phase::Ended => EndedBy::Cluster,
        };
        counts.late += 1;
        let node = if task.node.is_empty() { String::new() } else { format!(" on {}", task.node) };
        let how = format!("Slurm says {} ({}){node}, job {}_{}", task.state, task.reason, self.job, self.task);
        (!is_complete || outcome.is_some() || counts.late >= LATE).then_some(Ended { by, how })
    }
}

/// Numbers of answers of Slurm in a row.
#[derive(Default)]
struct Counts {
    /// Without a task that can run, and the time of the first of them.
    lost: Option<(u32, Instant)>,
    /// With a task that has ended but has not reported its end.
    late: u32,
    /// Whether the task has reported anything.
    is_begun: bool,
    /// Whether the user knows that the task is held.
    is_held: bool,
}

impl Counts {
    /// Counts an answer without a task that can run. Returns whether these answers are enough.
    fn is_lost(&mut self, enough: u32) -> bool {
        let (answers, since) = self.lost.get_or_insert((0, Instant::now()));
        *answers += 1;
        *answers >= enough && since.elapsed() >= LOST_FOR
    }
}

impl Process for SlurmTask {
    async fn follow(
        mut self,
        record: &mut Record,
        mut requests: watch::Receiver<Request>,
    ) -> Result<Followed, RunnerError> {
        if self.entry == Entry::New {
            record.say(self.submitted(record.name())).await?;
            if self.after == After::Leave {
                return Ok(Followed::Left);
            }
        }
        let mut counts = Counts::default();
        loop {
            let Some(queue) = self.answer(&mut requests).await else { return Ok(Followed::Left) };
            let task = queue.task(&self.job, self.task);
            // A task that Slurm holds may run: a controller that lost its latest state starts it again, and the node
            // refuses a second copy.
            if record.is_begun() || task.is_none_or(|task| !task.waits() || task.is_held()) {
                let known = record.lines();
                self.look(record).await?;
                if record.lines() != known {
                    counts.lost = None;
                }
            }
            counts.is_begun = record.is_begun();
            if let Some(end) = self.end(task, record.outcome().as_ref(), &mut counts)
                && self.give_up(record).await?
            {
                if task.is_some_and(TaskState::waits) {
                    self.leave_the_queue().await;
                }
                let how = if record.is_begun() { end.how } else { end.how + &self.output(record.layout()) };
                return Ok(Followed::Ended { end: Ended { how, ..end }, memory: None });
            }
            let is_waiting_for_the_user = |task: &&TaskState| task.is_held() && task.phase() == Phase::Alive;
            if let Some(task) = task.filter(is_waiting_for_the_user)
                && !std::mem::replace(&mut counts.is_held, true)
            {
                let (job, index, reason) = (&self.job, self.task, &task.reason);
                (self.say)(&format!(
                    "Slurm holds task {job}_{index} ({reason}): find the cause, then `scontrol release {job}_{index}`"
                ));
            }
            if self.after == After::Leave && task.is_some_and(|task| task.phase() == Phase::Alive) {
                return Ok(Followed::Left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> SlurmTask {
        let (_, answers) = watch::channel(Answer::Nothing);
        SlurmTask {
            job: "7".to_owned(),
            task: 0,
            entry: Entry::Adopted,
            after: After::Follow,
            answers,
            say: Arc::new(|_: &str| {}),
        }
    }

    fn state(line: &str) -> TaskState {
        TaskState::read(line).unwrap().2
    }

    /// Counts as they are after this number of answers without a task that can run, long enough ago.
    fn after(answers: u32) -> Counts {
        let long_ago = Instant::now().checked_sub(LOST_FOR).unwrap();
        Counts { lost: Some((answers, long_ago)), ..Counts::default() }
    }

    /// The same for a task that has begun.
    fn begun_after(answers: u32) -> Counts {
        Counts { is_begun: true, ..after(answers) }
    }

    #[test]
    fn a_held_task_that_has_begun_is_lost_only_after_many_answers() {
        let held = state("7|0|PENDING|launch failed requeued held|");
        let end = |mut counts: Counts, outcome: Option<&Outcome>| {
            task().end(Some(&held), outcome, &mut counts).map(|end| end.by)
        };
        assert_eq!(end(after(LOST - 1), None), Some(EndedBy::Cluster));
        assert_eq!(end(begun_after(LOST_BEGUN - 2), None), None, "a copy of it may run on");
        assert_eq!(end(begun_after(LOST_BEGUN - 1), None), Some(EndedBy::Cluster));
        assert_eq!(end(begun_after(LOST - 1), Some(&Outcome::Stopped)), Some(EndedBy::Cluster), "it has stopped");
        assert_eq!(end(Counts::default(), None), None, "one answer may be wrong");
        let mut counts = begun_after(LOST_BEGUN);
        assert!(task().end(Some(&state("7|0|RUNNING|None|n1")), None, &mut counts).is_none());
        assert_eq!(end(counts, None), None, "the count begins again");
    }

    #[test]
    fn a_reported_end_counts_whatever_slurm_says() {
        let running = state("7|0|RUNNING|None|n1");
        let end = |outcome: &Outcome| task().end(Some(&running), Some(outcome), &mut Counts::default());
        assert_eq!(end(&Outcome::Succeeded).map(|end| end.by), Some(EndedBy::Itself));
        assert!(end(&Outcome::Stopped).is_none(), "it may be started again");
    }
}
