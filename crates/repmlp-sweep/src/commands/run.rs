//! `run`: trains the missing runs of an experiment, stores their measurements, and renders the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use repmlp_train::DeviceChoice;
use sweep_plan::{DEFAULT_PROFILE, PlannedRun};
use sweep_protocol::{
    Arithmetic, Epochs, ExperimentRows, FailureKind, ResultsLayout, RunFile, RunId, RunRow, SharedOrders, Status,
    error_chain,
};
use sweep_report::Answers;
use sweep_runner::{
    LocalMachine, OnFailure, Options, Request, SchedulerLock, Slot, WorkItem, available_memory, submitted,
};
use sweep_store::{Damage, Reader, Store};

use super::{open_results, print_bytes, report, say, say_damage};
use crate::arithmetic;
use crate::cli::RunArgs;
use crate::costed_plan::CostedPlan;
use crate::data_check::{check_data, is_all_carried, refuse_other_data};
use crate::event_files::EventFiles;
use crate::exit::{Exit, UsageError};
use crate::own_program::{OwnProgram, Worker};
use crate::plan_file;
use crate::program::Program;
use crate::progress::Progress;
use crate::project::Project;
use crate::pruning::Pruning;
use crate::recorded;
use crate::screen::Screen;
use crate::selection::Selection;
use crate::slots::Asked;
use crate::slurm_place::SlurmPlace;
use crate::spec::Spec;
use crate::sweep::{Place, Sweep, patiently, prepare, wait_for_lock};
use crate::timing::{Timing, lacks_throughput};
use crate::up_to_date::{self, Made};
use crate::work::{FailedRuns, Work};

/// Number of times that a call tries a run again after a failure of the machine.
pub(crate) const RETRIES: u32 = 1;
/// Share of the available memory that runs may take by their forecasts. The rest is for what the forecasts miss.
const MEMORY_SHARE: f64 = 0.9;

/// Time in which an attempt must write its checkpoint after its time limit.
const GRACE: Duration = Duration::from_secs(60);

/// Runs the experiments one after another. Returns the exit code of the first one that is not done.
pub(crate) async fn run(arguments: RunArgs, screen: Screen, program: &Program) -> Result<Exit> {
    let specs = arguments.spec.specs();
    // An invalid file is refused before the first experiment starts.
    for spec in specs.iter().skip(1) {
        CostedPlan::load(spec, program)?;
    }
    let mut exit = Exit::Done;
    for spec in &specs {
        if specs.len() > 1 {
            say(&format!("{}:", spec.path().display()));
        }
        let (ended, request) = sweep(spec, &arguments, screen, program).await?;
        exit = exit.or(ended);
        if request != Request::Run {
            break;
        }
    }
    Ok(exit)
}

/// Runs one experiment. Returns its exit code, and what the user asked for meanwhile.
async fn sweep(spec: &Spec, arguments: &RunArgs, screen: Screen, program: &Program) -> Result<(Exit, Request)> {
    let costed = CostedPlan::load(spec, program)?;
    let project = spec.project();
    project.check_declaration(&costed.record())?;
    project.check_place(&arguments.reports)?;
    let slurm = SlurmPlace::asked(arguments, &costed, &project)?;
    let asked = Asked::of(arguments, &costed.plan.exec, &project)?;
    let devices = match &slurm {
        Some(place) => vec![place.settings.device.clone()],
        None => asked.devices(costed.trainers.of_devices(&costed.plan.configurations))?,
    };
    let layout = project.results(&arguments.results);
    let mut call = Call { costed, project, layout, slurm, asked, devices, has_work: false, arguments, screen };
    let mut results = open_results(&call.layout).await?;
    let known = call.costed.known(&mut results)?;
    let pruning = Pruning::default();
    call.has_work = !call.items(&known, &pruning)?.is_empty();
    if let Some(place) = call.slurm.as_ref().filter(|_| arguments.dry_run) {
        let script = place.dry_run(&call.layout, call.items(&known, &pruning)?.len())?;
        results.close().await?;
        print_bytes(script.as_bytes())?;
        return Ok((Exit::Done, Request::Run));
    }
    if !call.has_work
        && !lacks_throughput(&call.costed.record(), &mut results)
        && arguments.data.data.is_none()
        && !EventFiles::of(&call.costed, &call.layout).is_some_and(|files| files.is_missing())
        && let Some(made) = made_before(&call.costed, &call.project, &mut results, arguments)?
    {
        results.close().await?;
        return Ok((show_again(&call.costed, &call.layout, &known, &made, screen)?, Request::Run));
    }
    // A mixture is refused here, before anything is written. The arithmetic is chosen below, under the lock, when no
    // other scheduler can change the runs.
    if call.has_work {
        arithmetic_of(&call.costed, &call.devices, &known)?;
    }
    say_shared(&call.costed, &known, &mut results);
    results.close().await?;
    call.work().await
}

/// A call for one experiment.
struct Call<'a> {
    costed: CostedPlan<'a>,
    project: Project,
    layout: ResultsLayout,
    /// The cluster that runs go to, if they do not stay on this machine.
    slurm: Option<SlurmPlace>,
    asked: Asked,
    devices: Vec<String>,
    /// Whether there was work to do before the lock was taken.
    has_work: bool,
    arguments: &'a RunArgs,
    screen: Screen,
}

impl Call<'_> {
    /// Does the work under the lock of the results folder.
    async fn work(&self) -> Result<(Exit, Request)> {
        let Self { costed, project, layout, devices, arguments, screen, .. } = self;
        let data = arguments.data.data.as_deref();
        // A finished sweep needs no data. But a named data folder is always checked, and carried data is always
        // available.
        let looks_at_data = self.has_work || data.is_some() || is_all_carried(costed)?;
        let mut readers = costed.trainers.data(data, &layout.digests());
        let mut fingerprints = if looks_at_data { Some(check_data(costed, &mut readers)?) } else { None };
        let lock = if arguments.wait { wait_for_lock(layout).await? } else { SchedulerLock::acquire(layout)? };
        let sweep = Sweep { lock: &lock, until: arguments.until };
        let (mut store, damages) = patiently(prepare(costed, &lock)).await?;
        let Some(Left { known, items, mut pruning }) = self.left(&sweep, &mut store).await? else {
            store.close().await?;
            return Ok((Exit::Remains, Request::Finish));
        };
        if fingerprints.is_none() && !items.is_empty() {
            fingerprints = Some(check_data(costed, &mut readers)?);
        }
        readers.keep_digests();
        refuse_other_data(costed, &known, fingerprints.as_deref().unwrap_or_default())?;

        // If nothing is computed, any arithmetic will do.
        let nothing = DeviceChoice::Cpu.arithmetic();
        let arithmetic = if items.is_empty() { nothing } else { arithmetic_of(costed, devices, &known)? };
        let slots = self.asked.slots(devices, items.len());
        let mut progress =
            Progress::new(costed, &items, layout, *screen, Some(slots.len()).filter(|_| self.slurm.is_none()));
        damages.iter().for_each(|damage| progress.voice().say(&format!("note: {}", error_chain(damage))));
        progress.begin(&costed.works(&known));
        self.log(&mut progress).await?;
        let options = options(arguments, &slots, orders((costed, project, layout), data, &arithmetic)?);
        // The memory of this machine says nothing about that of the nodes.
        let memory = options.memory.filter(|_| self.slurm.is_none());
        let options = Options { memory, ..options };
        let place = Place { local: local((arguments, self.asked.worker()), slots)?, slurm: self.slurm.clone() };
        pruning.begin(&progress);
        let work = (items, &mut pruning);
        let (mut request, summary) = sweep.carry_out(work, (&place, &options), &mut store, &mut progress).await?;
        store.close().await?;
        let mut results = open_results(layout).await?;
        let mut timed = Exit::Done;
        if request == Request::Run && !costed.has_work(&costed.known(&mut results)?) {
            let slot = self.slurm.as_ref().map_or_else(|| self.asked.timing_slot(devices), SlurmPlace::slot);
            let has_data = fingerprints.is_some();
            let timing = Timing { costed, sweep, place, orders: options.orders, slot, has_data };
            (request, timed) = timing.measure_what_is_missing(&mut results, &progress.voice()).await?;
        }
        if pruning.count() > 0 {
            let plural = if pruning.count() == 1 { " is" } else { "s are" };
            progress.voice().say(&format!("{} run{plural} pruned", pruning.count()));
        }
        self.log(&mut progress).await?;
        let (ended, request) = self.conclude(results, &progress, request, timed).await?;
        // The row of a run whose folder cannot be used does not say that it failed.
        let has_failed = summary.has_failed() && ended == Exit::Remains && request == Request::Run;
        Ok((if has_failed { Exit::Failed } else { ended }, request))
    }

    /// Writes event files of all values that are known, if the experiment asks for them. Without that, runs of earlier
    /// calls, and values that are measured after the training, would have none.
    async fn log(&self, progress: &mut Progress) -> Result<()> {
        if !progress.logs() {
            return Ok(());
        }
        let plan = &self.costed.plan;
        let mut results = open_results(&self.layout).await?;
        let rows = results.experiment_rows_of(&plan.experiment, &plan.profile, |_| Epochs::All).await?;
        results.close().await?;
        progress.log(&rows.map(|rows| rows.measurements).unwrap_or_default());
        Ok(())
    }

    /// Returns the pruning that the user asks for, with what is known of the runs.
    async fn pruning(&self, results: &mut Reader) -> Result<Pruning> {
        if self.arguments.prune.is_none() {
            return Ok(Pruning::default());
        }
        let plan = &self.costed.plan;
        let rows = results.experiment_rows_of(&plan.experiment, &plan.profile, |_| Epochs::All).await?;
        Ok(Pruning::of(self.arguments, &rows.ok_or_else(|| self.lost_plan())?))
    }

    /// The error that the plan, which this call has written, cannot be read.
    fn lost_plan(&self) -> Damage {
        Damage::LostPlan { path: self.layout.plan(&self.costed.plan.experiment, &self.costed.plan.profile) }
    }

    /// Returns what is left to do. Before that, closes what a cluster has ended since the last call. Returns nothing if
    /// the user interrupts that.
    async fn left(&self, sweep: &Sweep<'_>, store: &mut Store) -> Result<Option<Left>> {
        let look = async || -> Result<Left> {
            let mut results = open_results(&self.layout).await?;
            let known = self.costed.known(&mut results)?;
            let pruning = self.pruning(&mut results).await?;
            results.close().await?;
            let items = self.items(&known, &pruning)?;
            Ok(Left { known, items, pruning })
        };
        let open = |items: &[WorkItem]| submitted(&self.layout, &items.iter().map(|item| item.run).collect::<Vec<_>>());
        let left = look().await?;
        if open(&left.items)?.is_empty() {
            return Ok(Some(left));
        }
        let mut progress = Progress::new(&self.costed, &left.items, &self.layout, self.screen, None);
        if sweep.collect(left.items, self.slurm.as_ref(), store, &mut progress).await? != Request::Run {
            return Ok(None);
        }
        let left = look().await?;
        if let (None, Some(attempt)) = (&self.slurm, open(&left.items)?.first()) {
            let plan = &self.costed.plan;
            let profile = if plan.profile == DEFAULT_PROFILE { "" } else { &format!(" --profile {}", plan.profile) };
            let text = format!(
                "{} runs of this experiment are in the queue of Slurm (job {}): follow them with --launcher slurm, or \
                 end them with `repmlp-sweep cancel {}{profile}`",
                open(&left.items)?.len(),
                attempt.job,
                self.costed.path.display()
            );
            return Err(UsageError(text).into());
        }
        Ok(Some(left))
    }

    /// Renders the report of a finished sweep, and shows its tables.
    async fn conclude(
        &self,
        mut results: Reader,
        progress: &Progress,
        request: Request,
        timed: Exit,
    ) -> Result<(Exit, Request)> {
        let Self { costed, project, layout, arguments, screen, .. } = self;
        let plan = &costed.plan;
        let rows = recorded::of_report(project, &mut results, (&plan.experiment, &plan.profile)).await?;
        say_damage(&mut results);
        let rows = rows.ok_or_else(|| self.lost_plan())?;
        // The report of an unfinished sweep would replace a finished one. `report` renders it on request.
        let is_finished = request == Request::Run && !costed.has_work(&known_of(&rows.runs));
        let folder = is_finished.then(|| project.renderings(&arguments.reports, &rows.plan)).transpose()?;
        let answers = match &folder {
            Some(folder) => render(project, (layout, &mut results), folder, &rows)?,
            None => report::unwritten(project, &rows)?,
        };
        results.close().await?;
        progress.end(&rows.runs, folder.as_deref());
        print_bytes(report::shown(&answers, *screen).as_bytes())?;
        // Runs that are left or failed are said first: they may still change the claims.
        Ok((exit(costed, &rows.runs, request).or(timed).or(report::verdict(&answers.claims)), request))
    }

    /// Returns the runs that need an attempt in this call, in plan order. Pruned runs do not count for `--limit`.
    fn items(&self, known: &BTreeMap<RunId, RunRow>, pruning: &Pruning) -> Result<Vec<WorkItem>> {
        let Self { costed, arguments, .. } = self;
        let plan = &costed.plan;
        let selection = Selection::read(&arguments.only)?;
        selection.check(plan)?;
        let failed = if arguments.retry_failed { FailedRuns::Retry } else { FailedRuns::Wait };
        let works = costed.works(known);
        let is_open = |(run, work): &(&PlannedRun, &Work)| {
            selection.selects(run) && work.is_open(failed) && !pruning.is_pruned(run.id)
        };
        let item = |(run, _): (&PlannedRun, _)| WorkItem {
            run: run.id,
            file: RunFile { config: plan.configurations[run.configuration].clone(), seed: run.seed },
            forecast: costed.forecast(run.configuration),
        };
        let open = plan.runs.iter().zip(&works).filter(is_open);
        Ok(open.take(arguments.limit.unwrap_or(usize::MAX)).map(item).collect())
    }
}

/// What is left to do in a call.
struct Left {
    known: BTreeMap<RunId, RunRow>,
    items: Vec<WorkItem>,
    pruning: Pruning,
}

/// Shows the report of an earlier call.
fn show_again(
    costed: &CostedPlan<'_>,
    layout: &ResultsLayout,
    known: &BTreeMap<RunId, RunRow>,
    made: &Made,
    screen: Screen,
) -> Result<Exit> {
    let rows: Vec<RunRow> = known.values().cloned().collect();
    let mut progress = Progress::new(costed, &[], layout, screen, Some(0));
    progress.begin(&costed.works(known));
    progress.end(&rows, Some(&made.folder));
    print_bytes(report::shown(&made.answers, screen).as_bytes())?;
    Ok(exit(costed, &rows, Request::Run).or(report::verdict(&made.answers.claims)))
}

/// Renders the report of a finished sweep into `folder`. Returns its answers.
fn render(
    project: &Project,
    (layout, results): (&ResultsLayout, &mut Reader),
    folder: &Path,
    rows: &ExperimentRows,
) -> Result<Answers> {
    let inputs = up_to_date::inputs(project, results, &rows.plan, folder)?;
    let made = report::write(project, layout, folder, rows)?;
    // If a declaration was edited meanwhile, it is not known which version was rendered.
    let inputs = inputs.filter(|inputs| {
        let after = up_to_date::inputs(project, results, &rows.plan, folder);
        after.is_ok_and(|after| after.as_ref() == Some(inputs))
    });
    if let Some(inputs) = inputs {
        Made::now(inputs, layout, &rows.plan, folder, made.clone()).keep(layout, &rows.plan);
    }
    Ok(made)
}

/// Returns the arithmetic of the runs that are left to do.
fn arithmetic_of(costed: &CostedPlan<'_>, devices: &[String], known: &BTreeMap<RunId, RunRow>) -> Result<Arithmetic> {
    let devices_of_candle: Vec<DeviceChoice> = devices.iter().filter_map(|name| name.parse().ok()).collect();
    arithmetic::choose(costed.plan.exec.kernels.as_deref(), &devices_of_candle, known.values())
}

/// Returns this machine as the place where attempts run.
fn local((arguments, worker): (&RunArgs, Option<&Worker>), slots: Vec<Slot>) -> Result<LocalMachine> {
    let program = match worker {
        Some(Worker { path }) => OwnProgram { path: path.clone(), name: None },
        None => OwnProgram::find()?,
    };
    Ok(LocalMachine {
        program: program.path,
        name: program.name,
        arguments: vec!["train".into()],
        slots,
        timeout: arguments.timeout,
        grace: GRACE,
    })
}

/// Returns the options of the scheduler.
fn options(arguments: &RunArgs, slots: &[Slot], orders: SharedOrders) -> Options {
    // On a GPU, runs take the memory of the GPU.
    let is_on_cpu = slots.iter().all(|slot| slot.device == "cpu");
    Options {
        orders,
        retries: RETRIES,
        memory: available_memory().filter(|_| is_on_cpu).map(|bytes| (MEMORY_SHARE * bytes as f64) as u64),
        on_failure: if arguments.fail_fast { OnFailure::Stop } else { OnFailure::Continue },
    }
}

/// Prints a note about runs that are measured again with another instruction set and also belong to another experiment:
/// the report of that experiment changes.
fn say_shared(costed: &CostedPlan<'_>, known: &BTreeMap<RunId, RunRow>, results: &mut Reader) {
    let (plan, kernels) = (&costed.plan, costed.plan.exec.kernels.as_deref());
    let is_replaced = |id: &RunId| known.get(id).is_some_and(|row| arithmetic::other(kernels, row).is_some());
    let replaced: BTreeSet<RunId> = plan.runs.iter().map(|run| run.id).filter(is_replaced).collect();
    if replaced.is_empty() {
        return;
    }
    for other in results
        .plans()
        .into_iter()
        .filter(|other| (&other.experiment, &other.profile) != (&plan.experiment, &plan.profile))
    {
        let shared = other.runs.iter().filter(|planned| replaced.contains(&planned.run)).count();
        if shared > 0 {
            say(&format!(
                "note: {shared} of the runs that are measured again also belong to `{}` ({}); name the same `[exec] \
                 kernels` in both files, or use another results folder with --results",
                other.experiment, other.profile
            ));
        }
    }
}

/// Returns the report of an earlier call, if everything that it was made from is unchanged: plan, runs, declaration and
/// program.
fn made_before(
    costed: &CostedPlan<'_>,
    project: &Project,
    results: &mut Reader,
    arguments: &RunArgs,
) -> Result<Option<Made>> {
    let layout = project.results(&arguments.results);
    let Some(plan) = plan_file::recorded_as_asked(&layout, costed) else { return Ok(None) };
    let folder = project.renderings(&arguments.reports, &plan)?;
    let inputs = up_to_date::inputs(project, results, &plan, &folder)?;
    Ok(inputs.and_then(|inputs| Made::read(&layout, &plan, &inputs)))
}

/// Returns the orders of every attempt, except those that depend on its slot.
fn orders(
    (costed, project, layout): (&CostedPlan<'_>, &Project, &ResultsLayout),
    data: Option<&Path>,
    arithmetic: &Arithmetic,
) -> Result<SharedOrders> {
    let data: Option<PathBuf> = data.map(std::path::absolute).transpose()?;
    if let Some(path) = data.as_ref().filter(|path| path.to_str().is_none()) {
        let path = path.display();
        return Err(
            UsageError(format!("--data {path}: the path is not UTF-8 text; rename the folder or link to it")).into()
        );
    }
    let kernels = (arithmetic.device == "cpu").then(|| arithmetic.kernels.clone());
    let project = Some(std::path::absolute(project.root())?);
    let digests = Some(std::path::absolute(layout.digests())?);
    Ok(SharedOrders { data, kernels, project, digests, metrics: costed.plan.metrics.clone() })
}

fn known_of(rows: &[RunRow]) -> BTreeMap<RunId, RunRow> {
    rows.iter().map(|row| (row.run, row.clone())).collect()
}

fn exit(costed: &CostedPlan<'_>, rows: &[RunRow], request: Request) -> Exit {
    let known = known_of(rows);
    let status = |run: &PlannedRun| known.get(&run.id).map(|row| row.status).unwrap_or_default();
    let all: Vec<Status> = costed.plan.runs.iter().map(status).collect();
    if request == Request::Kill {
        return Exit::Interrupted;
    }
    if all.contains(&Status::Failed(FailureKind::Equivalence)) {
        return Exit::Mismatch;
    }
    if all.iter().any(|status| matches!(status, Status::Failed(_) | Status::TimedOut)) {
        return Exit::Failed;
    }
    let is_done = all.iter().all(|status| *status == Status::Succeeded) && !costed.has_work(&known);
    if is_done { Exit::Done } else { Exit::Remains }
}
