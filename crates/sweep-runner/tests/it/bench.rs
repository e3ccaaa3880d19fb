//! A test bench: a results folder, a shell script as the program of every attempt, and a handle to a running sweep.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use sweep_protocol::{
    AttemptLayout, Event, JournalReader, ResultsLayout, RunFile, RunId, RunLayout, SharedOrders, Status,
    SupervisorEvent,
};
use sweep_runner::{
    Adopted, Forecast, LocalMachine, OnFailure, Options, Request, RunnerError, SchedulerLock, Slot, Summary, TimingEnd,
    Update, UpdateKind, WorkItem, run, time,
};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Ends a test that hangs. No test waits this long otherwise.
const SAFETY_NET: Duration = Duration::from_secs(30);

/// Shell functions for every script. They write events into the journal. `ready` tells the test that the script has
/// reached a certain point.
const WORDS: &str = r#"
seq=0
say() { printf '{"seq":%d,"at_ms":1,"event":%s}\n' "$seq" "$1" >> "$folder/journal.jsonl"; seq=$((seq+1)); }
ready() { say '{"kind":"noticed","text":"ready"}'; }
succeeded() { say '{"kind":"ended","outcome":{"kind":"succeeded"}}'; }
stopped() { say '{"kind":"ended","outcome":{"kind":"stopped"}}'; }
diverged() { say '{"kind":"ended","outcome":{"kind":"failed","failure":"diverged","message":"loss is not a number"}}'; }
hang() { ready; tail -f /dev/null & wait; }
"#;

pub(crate) struct Bench {
    folder: TempDir,
    pub(crate) lock: Arc<SchedulerLock>,
    pub(crate) local: LocalMachine,
    pub(crate) options: Options,
}

impl Bench {
    /// Makes a bench with one slot, no time limit and no retries. Its attempts run the lines of `script`.
    pub(crate) fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.sh");
        fs::write(&path, format!("folder=$1\nresults=$folder/../../../..\n{WORDS}\n{script}\n")).unwrap();
        let lock = Arc::new(SchedulerLock::acquire(&ResultsLayout::new(folder.path().join("results"))).unwrap());
        let local = LocalMachine {
            program: "/bin/sh".into(),
            name: None,
            arguments: vec![path.into()],
            slots: vec![Slot { device: "cpu".into(), threads: 3 }],
            timeout: None,
            grace: Duration::from_secs(60),
        };
        let orders = SharedOrders::default();
        let options = Options { orders, retries: 0, memory: None, on_failure: OnFailure::Continue };
        Self { folder, lock, local, options }
    }

    pub(crate) fn with_slots(mut self, number: usize) -> Self {
        self.local.slots = vec![Slot { device: "cpu".into(), threads: 1 }; number];
        self
    }

    pub(crate) fn run_layout(&self, run: RunId) -> RunLayout {
        self.lock.layout().run(run)
    }

    pub(crate) fn attempt(&self, run: RunId, number: u32) -> AttemptLayout {
        self.run_layout(run).attempt(number)
    }

    /// The last event in the journal of an attempt's supervisor.
    pub(crate) fn closing(&self, run: RunId, number: u32) -> SupervisorEvent {
        let path = self.attempt(run, number).supervisor();
        JournalReader::new(&path).read_new().unwrap().lines.pop().unwrap().event
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn start(&self, items: &[WorkItem]) -> Sweep {
        let (requests, requested) = watch::channel(Request::Run);
        let (sender, updates) = mpsc::channel(4);
        let (lock, items) = (Arc::clone(&self.lock), items.to_vec());
        let (local, options) = (self.local.clone(), self.options.clone());
        let task =
            tokio::spawn(
                async move { run(&lock, (items, Adopted::new()), (&local, &options), requested, sender).await },
            );
        Sweep { requests, updates, task, seen: Vec::new() }
    }

    /// Runs the sweep to its end.
    pub(crate) async fn run(&self, items: &[WorkItem]) -> (Summary, Vec<Update>) {
        let (summary, seen) = self.start(items).end().await;
        (summary.unwrap(), seen)
    }

    /// Measures throughput with two threads.
    pub(crate) async fn time(&self, requests: watch::Receiver<Request>) -> TimingEnd {
        let (orders, log) = (self.path().join("orders.json"), self.path().join("log.txt"));
        fs::write(&orders, "{}").unwrap();
        time(&self.lock, &self.local, (&orders, &log), &Slot { device: "cpu".into(), threads: 2 }, requests)
            .await
            .unwrap()
    }

    /// Runs the sweep to its end, which must be an error.
    pub(crate) async fn fault(&self, items: &[WorkItem]) -> RunnerError {
        self.start(items).end().await.0.unwrap_err()
    }
}

pub(crate) struct Sweep {
    pub(crate) requests: watch::Sender<Request>,
    pub(crate) updates: mpsc::Receiver<Update>,
    pub(crate) task: JoinHandle<Result<Summary, RunnerError>>,
    seen: Vec<Update>,
}

impl Sweep {
    /// Waits until this many attempts have reported `ready`.
    pub(crate) async fn ready(&mut self, attempts: usize) {
        while self.seen.iter().filter(|update| is_ready(update)).count() < attempts {
            let update = timeout(SAFETY_NET, self.updates.recv()).await.unwrap().expect("the sweep ended early");
            self.seen.push(update);
        }
    }

    pub(crate) async fn end(mut self) -> (Result<Summary, RunnerError>, Vec<Update>) {
        let rest = async {
            while let Some(update) = self.updates.recv().await {
                self.seen.push(update);
            }
            self.task.await.unwrap()
        };
        (timeout(SAFETY_NET, rest).await.unwrap(), self.seen)
    }
}

fn is_ready(update: &Update) -> bool {
    let UpdateKind::Events(lines) = &update.kind else { return false };
    lines.iter().any(|line| matches!(&line.event, Event::Noticed { text } if text == "ready"))
}

/// Work items that differ in their seeds.
pub(crate) fn items(number: u64) -> Vec<WorkItem> {
    let item = |seed| WorkItem {
        run: RunId::of("{}", seed),
        file: RunFile { config: "{}".into(), seed },
        forecast: Forecast::default(),
    };
    (0..number).map(item).collect()
}

/// Events of the supervisors, as `<index of the run>.<attempt> launched|<status>`.
pub(crate) fn story(items: &[WorkItem], updates: &[Update]) -> Vec<String> {
    let mut story = Vec::new();
    for update in updates {
        let UpdateKind::Supervisor(lines) = &update.kind else { continue };
        let index = items.iter().position(|item| item.run == update.run).unwrap();
        for line in lines {
            let what = match &line.event {
                SupervisorEvent::Launched { .. } | SupervisorEvent::Submitted { .. } => "launched".to_owned(),
                SupervisorEvent::Closed { status, .. } => status.to_string(),
            };
            story.push(format!("{index}.{} {what}", update.attempt));
        }
    }
    story
}

/// The counts of a summary, as `status=number`.
pub(crate) fn counts(summary: &Summary) -> Vec<String> {
    summary.counts.iter().map(|(status, number): (&Status, _)| format!("{status}={number}")).collect()
}
