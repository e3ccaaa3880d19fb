//! Carries out a plan under the lock of its results folder: closes what a dead scheduler left, runs attempts, and
//! stores and shows what they report.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Local};
use sweep_protocol::{
    ResultsLayout, RunId, SharedOrders, create_folders, error_chain, read_regular_file, remove_temporaries,
    write_atomically,
};
use sweep_runner::{
    Adopted, Launcher, LocalMachine, OnFailure, Options, Request, Requests, RunnerError, SchedulerLock, Summary,
    Update, UpdateKind, WorkItem,
};
use sweep_slurm::{After, Slurm, SlurmTask};
use sweep_store::{Damage, Store};
use tokio::sync::{mpsc, watch};

use crate::commands::{cancel, say};
use crate::costed_plan::CostedPlan;
use crate::plan_file;
use crate::progress::Progress;
use crate::pruning::Pruning;
use crate::signals::{self, Words};
use crate::slurm_place::SlurmPlace;

/// Number of updates that may wait for the index before the runner waits too.
const UPDATES: usize = 256;
/// Time after which waiting for the index is reported.
const SOON: Duration = Duration::from_secs(5);

/// Waits for work on the index. If it takes long, a line says once that another program may have locked the index.
pub(crate) async fn patiently<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(SOON) => {}
    }
    say("waiting for the index: another program may have locked metrics.sqlite; end its transaction");
    work.await
}

/// Interval at which progress is shown without news.
const LOOK: Duration = Duration::from_secs(1);

/// Interval at which a waiting call tries to take the lock.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Takes the lock of a results folder. If another scheduler holds it, waits until it ends.
pub(crate) async fn wait_for_lock(layout: &ResultsLayout) -> Result<SchedulerLock, RunnerError> {
    let mut is_told = false;
    loop {
        match SchedulerLock::acquire(layout) {
            Err(RunnerError::InUse { path, holder }) => {
                if !std::mem::replace(&mut is_told, true) {
                    let holder = holder.map_or_else(String::new, |holder| format!(", {holder}"));
                    say(&format!("{}: waiting for another scheduler{holder}", path.display()));
                }
                tokio::time::sleep(TRY_AGAIN).await;
            }
            ended => return ended,
        }
    }
}

/// Writes the plan, closes attempts that a dead scheduler left open in any experiment, and brings the index up to date
/// with the journals.
pub(crate) async fn prepare(costed: &CostedPlan<'_>, lock: &SchedulerLock) -> Result<(Store, Vec<Damage>)> {
    let plan = &costed.plan;
    let layout = lock.layout();
    let path = layout.plan(&plan.experiment, &plan.profile);
    let unwritable = |source| RunnerError::Unwritable { path: path.clone(), source };
    if let Some(folder) = path.parent() {
        let is_ours = |file: &str| ["plan.json", "rendered.json"].contains(&file);
        create_folders(folder).and_then(|()| remove_temporaries(folder, is_ours)).map_err(unwritable)?;
    }
    let record = plan_file::claim(layout, costed)?;
    let text = serde_json::to_vec_pretty(&record)?;
    if read_regular_file(&path).ok().as_ref() != Some(&text) {
        write_atomically(&path, &text).map_err(unwritable)?;
    }
    let (mut store, mut damages) = Store::open(layout).await?;
    let unsettled = store.unsettled().await?;
    sweep_runner::recover(lock, &unsettled).await?;
    let configs = plan.runs.iter().map(|run| (run.id, plan.configurations[run.configuration].clone())).collect();
    store.record_plan(&record, &configs).await?;
    damages.extend(store.refresh(&unsettled).await?);
    Ok((store, damages))
}

/// Where the runs of a call go.
pub(crate) struct Place {
    pub(crate) local: LocalMachine,
    /// The cluster that they go to, instead of this machine.
    pub(crate) slurm: Option<SlurmPlace>,
}

/// A sweep under the lock of its results folder.
#[derive(Clone, Copy)]
pub(crate) struct Sweep<'a> {
    pub(crate) lock: &'a SchedulerLock,
    /// Time at which it stops, as one Ctrl-C does.
    pub(crate) until: Option<DateTime<Local>>,
}

impl Sweep<'_> {
    /// Brings runs to their end, and stores and shows what they report. Returns the highest request of the user, and
    /// the statuses that the runs ended in.
    pub(crate) async fn carry_out(
        &self,
        (items, pruning): (Vec<WorkItem>, &mut Pruning),
        (place, options): (&Place, &Options),
        store: &mut Store,
        progress: &mut Progress,
    ) -> Result<(Request, Summary)> {
        let Some(slurm) = &place.slurm else {
            let work = (items, Adopted::new(), pruning);
            let launching = (&place.local, options, signals::ON_THIS_MACHINE);
            return self.run(work, launching, store, progress).await;
        };
        let slurm = slurm.launcher(self.lock.layout(), progress.voice())?;
        let runs: Vec<RunId> = items.iter().map(|item| item.run).collect();
        let adopted = adopted(&slurm, self.lock.layout(), &items)?;
        let (request, summary) =
            self.run((items, adopted, pruning), (&slurm, options, signals::ON_A_CLUSTER), store, progress).await?;
        if options.on_failure == OnFailure::Stop && summary.has_failed() {
            let attempts = sweep_runner::submitted(self.lock.layout(), &runs)?;
            cancel::end(&attempts).await?;
        }
        Ok((request, summary))
    }

    /// Closes attempts that a cluster has ended since the last call. Others go on.
    pub(crate) async fn collect(
        &self,
        items: Vec<WorkItem>,
        slurm: Option<&SlurmPlace>,
        store: &mut Store,
        progress: &mut Progress,
    ) -> Result<Request> {
        let slurm = SlurmPlace { after: After::Leave, ..slurm.cloned().unwrap_or_default() };
        let slurm = slurm.launcher(self.lock.layout(), progress.voice())?;
        let adopted = adopted(&slurm, self.lock.layout(), &items)?;
        let items = items.into_iter().filter(|item| adopted.contains_key(&item.run)).collect();
        let orders = SharedOrders::default();
        let options = Options { orders, retries: 0, memory: None, on_failure: OnFailure::Continue };
        let launching = (&slurm, &options, signals::ON_A_CLUSTER);
        Ok(self.run((items, adopted, &mut Pruning::default()), launching, store, progress).await?.0)
    }

    async fn run<L: Launcher>(
        &self,
        (items, adopted, pruning): (Vec<WorkItem>, Adopted<L::Process>, &mut Pruning),
        (launcher, options, words): (&L, &Options, Words),
        store: &mut Store,
        progress: &mut Progress,
    ) -> Result<(Request, Summary)> {
        let (requests, requested) = watch::channel(Request::Run);
        let (prune, pruned) = watch::channel(BTreeSet::new());
        let requests_to_runner = Requests { to_all: requested, pruned };
        let listener = tokio::spawn(signals::listen(requests.clone(), (progress.voice(), words), self.until));
        let (sender, mut receiver) = mpsc::channel::<Update>(UPDATES);
        let follow = async {
            let mut fault = None;
            let mut clock = tokio::time::interval(LOOK);
            loop {
                let update = tokio::select! {
                    update = receiver.recv() => update,
                    _ = clock.tick() => {
                        progress.look();
                        continue;
                    }
                };
                let Some(update) = update else { break };
                progress.show(&update);
                pruning.follow(&update, progress, &prune);
                // After an error of the index the journals still hold everything. The attempts are only asked to stop.
                if fault.is_some() {
                    continue;
                }
                match patiently(apply(store, &update)).await {
                    Ok(damages) => {
                        damages
                            .iter()
                            .for_each(|damage| progress.voice().say(&format!("note: {}", error_chain(damage))));
                    }
                    Err(first) => {
                        fault = Some(first);
                        requests.send_modify(|request| *request = Request::Finish.max(*request));
                    }
                }
            }
            fault.map_or(Ok(()), Err)
        };
        let runner = sweep_runner::run(self.lock, (items, adopted), (launcher, options), requests_to_runner, sender);
        let (summary, followed) = tokio::join!(runner, follow);
        listener.abort();
        progress.clear();
        let summary = summary?;
        followed?;
        let request = *requests.borrow();
        Ok((request, summary))
    }
}

/// Returns the processes of runs that are in the queue of a cluster.
fn adopted(slurm: &Slurm, layout: &ResultsLayout, items: &[WorkItem]) -> Result<Adopted<SlurmTask>, RunnerError> {
    let runs: Vec<RunId> = items.iter().map(|item| item.run).collect();
    let attempts = sweep_runner::submitted(layout, &runs)?;
    Ok(attempts.iter().map(|found| (found.of.run, (found.of.attempt, slurm.adopt(found)))).collect())
}

async fn apply(store: &mut Store, update: &Update) -> Result<Vec<Damage>> {
    let Update { run, attempt, kind } = update;
    Ok(match kind {
        UpdateKind::Events(lines) => {
            store.apply_journal(*run, *attempt, lines).await?;
            Vec::new()
        }
        UpdateKind::Supervisor(lines) => store.apply_supervisor(*run, *attempt, lines).await?,
        UpdateKind::Unusable(_) | UpdateKind::Removed => Vec::new(),
    })
}
