//! What Slurm says about tasks. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Tasks as `squeue` lists them, by the names of their job and their index in its array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Jobs that were asked for.
    asked: BTreeSet<String>,
    tasks: BTreeMap<(String, u32), TaskState>,
    /// Jobs that are listed as a whole: Slurm does not split an array that was cancelled before it began.
    jobs: BTreeMap<String, TaskState>,
}

impl Queue {
    /// An answer that names no task of these jobs.
    pub(crate) fn empty(asked: &[String]) -> Self {
        Self { asked: asked.iter().cloned().collect(), ..Self::default() }
    }

    /// Reads the lines of an answer about these jobs. Plug-ins of a site may add lines of their own. Returns `None` if
    /// no line can be read: such an answer says nothing, least of all that the tasks are gone.
    pub(crate) fn read(asked: &[String], text: &str) -> Option<Self> {
        let mut queue = Self::empty(asked);
        let lines: Vec<_> = text.lines().filter_map(TaskState::read).collect();
        if lines.is_empty() && !text.trim().is_empty() {
            return None;
        }
        for (job, task, state) in lines.into_iter().filter(|(.., state)| state.is_ours()) {
            match task {
                Some(task) => drop(queue.tasks.insert((job, task), state)),
                None => drop(queue.jobs.insert(job, state)),
            }
        }
        Some(queue)
    }

    /// Whether a task waits in the queue, for its first start or for another one.
    pub fn waits(&self, job: &str, task: u32) -> bool {
        self.task(job, task).is_some_and(TaskState::waits)
    }

    /// Whether the answer is about this job. Without this, the job of a later submission would seem to be lost.
    pub(crate) fn is_about(&self, job: &str) -> bool {
        self.asked.contains(job)
    }

    /// Returns what is known of a task.
    pub(crate) fn task(&self, job: &str, task: u32) -> Option<&TaskState> {
        self.tasks.get(&(job.to_owned(), task)).or_else(|| self.jobs.get(job))
    }
}

/// State of a task, in Slurm's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskState {
    /// `PENDING`, `RUNNING`, `COMPLETED`, …
    pub(crate) state: String,
    /// `None`, `NonZeroExitCode`, `Priority`, …
    pub(crate) reason: String,
    /// Empty before it runs.
    pub(crate) node: String,
    /// The script that was submitted, with its arguments. Empty if Slurm does not say it.
    command: String,
}

/// What a state means for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It waits, runs, or does something that this program does not know.
    Alive,
    /// It ended by itself.
    Ended,
    /// It ran out of memory.
    OutOfMemory,
    /// It was killed at its time limit.
    TimeLimit,
    /// A user or administrator ended it.
    Cancelled,
    /// A node refused it, and Slurm holds it until somebody releases it.
    NotLaunched,
}

impl TaskState {
    /// Reads a line `job|task|state|reason|node|command`. The task `N/A` stands for all tasks of the job. Lines of
    /// another form are no tasks.
    pub(crate) fn read(line: &str) -> Option<(String, Option<u32>, Self)> {
        let mut fields = line.splitn(6, '|');
        let (job, task) = (fields.next()?.trim(), fields.next()?.trim().parse().ok());
        if job.is_empty() || !job.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (state, reason) = (fields.next()?.trim().to_owned(), fields.next()?.trim().to_owned());
        let node = fields.next().unwrap_or_default().trim().to_owned();
        let command = fields.next().unwrap_or_default().trim().to_owned();
        Some((job.to_owned(), task, Self { state, reason, node, command }))
    }

    /// Whether it can be a task of this program. A controller that lost its state gives ids again, so a job of the same
    /// id may be another one. Paths are not compared: the same folder may have several.
    fn is_ours(&self) -> bool {
        let script = self.command.split(".sh").next().unwrap_or_default();
        let mut parts = script.rsplit('/');
        let is_submission = parts.next() == Some("script") && parts.next().is_some_and(|n| n.parse::<u32>().is_ok());
        self.command.is_empty() || self.command == "(null)" || is_submission
    }

    /// Whether it waits in the queue.
    pub(crate) fn waits(&self) -> bool {
        self.state == "PENDING"
    }

    /// Whether it waits until somebody releases it.
    pub(crate) fn is_held(&self) -> bool {
        self.waits() && self.reason.to_ascii_lowercase().contains("held")
    }

    pub(crate) fn phase(&self) -> Phase {
        // With underscores or spaces, depending on the version.
        if self.is_held() && self.reason.to_ascii_lowercase().replace('_', " ").contains("launch failed") {
            return Phase::NotLaunched;
        }
        // Some versions append words: `CANCELLED by 1000`.
        match self.state.split([' ', '+']).next().unwrap_or_default() {
            "COMPLETED" | "FAILED" | "BOOT_FAIL" | "NODE_FAIL" | "PREEMPTED" | "REVOKED" => Phase::Ended,
            "OUT_OF_MEMORY" => Phase::OutOfMemory,
            "TIMEOUT" | "DEADLINE" => Phase::TimeLimit,
            "CANCELLED" => Phase::Cancelled,
            _ => Phase::Alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_several_versions_are_read() {
        let text = "12|0|RUNNING|None|n1\n12|1|PENDING|Resources|\n12|2|CANCELLED by 1000|None|n2\n\
                    12|3|OUT_OF_MEMORY|OutOfMemory|n3\n12|4|TIMEOUT|TimeLimit|n1\n13|0|COMPLETED|None|n1\n\
                    7|N/A|CANCELLED|None|\nslurm_load_jobs error\n12|5|SPECIAL_EXIT|x|n\n12|6|FAILED|NonZeroExitCode";
        let queue = Queue::read(&["12".to_owned(), "8".to_owned()], text).unwrap();
        assert!(queue.is_about("12") && queue.is_about("8") && !queue.is_about("14"));
        let phase = |job: &str, task| queue.task(job, task).map(TaskState::phase);
        assert_eq!(phase("12", 0), Some(Phase::Alive));
        assert_eq!(phase("12", 1), Some(Phase::Alive));
        assert_eq!(phase("12", 2), Some(Phase::Cancelled));
        assert_eq!(phase("12", 3), Some(Phase::OutOfMemory));
        assert_eq!(phase("12", 4), Some(Phase::TimeLimit));
        assert_eq!(phase("13", 0), Some(Phase::Ended));
        assert_eq!(phase("12", 5), Some(Phase::Alive), "an unknown state is never taken for the end");
        assert_eq!(phase("12", 6), Some(Phase::Ended));
        assert_eq!(phase("7", 3), Some(Phase::Cancelled), "the whole array was cancelled");
        assert_eq!(phase("8", 0), None);
        for unreadable in ["<html>502</html>", "a|b|c|d|e", "error\n|||||"] {
            assert_eq!(Queue::read(&["12".to_owned()], unreadable), None, "{unreadable}");
        }
        let empty = Queue::read(&["12".to_owned()], "\n").unwrap();
        assert!(empty.is_about("12") && empty.task("12", 0).is_none());
        let of = |command: &str| Queue::read(&["12".to_owned()], &format!("12|0|RUNNING|None|n1|{command}")).unwrap();
        let is_known = |command: &str| of(command).task("12", 0).is_some();
        assert!(is_known("/a b|c/results/slurm/3/script.sh 0") && is_known("") && is_known("(null)"));
        assert!(!is_known("/home/me/train.sh") && !is_known("bash"), "a job that has our id by chance");
        let held = |reason: &str| TaskState::read(&format!("1|0|PENDING|{reason}|")).unwrap().2.is_held();
        let refused = TaskState::read("1|0|PENDING|launch failed requeued held|").unwrap().2;
        assert_eq!(refused.phase(), Phase::NotLaunched);
        assert_eq!(TaskState::read("1|0|PENDING|JobHeldUser|").unwrap().2.phase(), Phase::Alive);
        assert!(held("JobHeldAdmin") && held("launch failed requeued held") && !held("Priority"));
    }
}
