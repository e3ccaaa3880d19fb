//! `run`: trains the missing runs of an experiment, stores their measurements, and renders the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use repmlp_train::DeviceChoice;
use sweep_protocol::{
    Arithmetic, ExperimentRows, FailureKind, ResultsLayout, RunFile, RunId, RunRow, SharedOrders, Status, error_chain,
};
use sweep_report::Table;
use sweep_runner::{OnFailure, Options, Request, SchedulerLock, Slot, WorkItem, available_memory};
use sweep_store::Reader;

use super::{open_results, print_bytes, report, say, say_damage};
use crate::arithmetic;
use crate::cli::RunArgs;
use crate::costed_plan::CostedPlan;
use crate::data_check::{check_data, is_all_carried, refuse_other_data};
use crate::exit::{Exit, UsageError};
use crate::own_program::OwnProgram;
use crate::plan_file;
use crate::program::Program;
use crate::progress::Progress;
use crate::project::Project;
use crate::screen::Screen;
use crate::selection::Selection;
use crate::slots::{devices, slots, timing_slot};
use crate::spec::Spec;
use crate::sweep::{Sweep, patiently, prepare, wait_for_lock};
use crate::timing::{Timing, lacks_throughput};
use crate::up_to_date::{self, Made};
use crate::work::FailedRuns;

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
    let devices = devices(arguments, costed.trainers.of_devices(&costed.plan.configurations))?;
    let layout = project.results(&arguments.results);
    let data = arguments.data.data.as_deref();
    let mut results = open_results(&layout).await?;
    let known = costed.known(&mut results)?;
    let has_work = !items(&costed, &known, arguments)?.is_empty();
    if !has_work
        && !lacks_throughput(&costed.record(), &mut results)
        && data.is_none()
        && let Some(made) = made_before(&costed, &project, &mut results, arguments)?
    {
        results.close().await?;
        return Ok((show_again(&costed, &layout, &known, &made, screen)?, Request::Run));
    }
    // A mixture is refused here, before anything is written. The arithmetic is chosen below, under the lock, when no
    // other scheduler can change the runs.
    if has_work {
        arithmetic_of(&costed, &devices, &known)?;
    }
    say_shared(&costed, &known, &mut results);
    results.close().await?;
    // A finished sweep needs no data. But a named data folder is always checked, and carried data is always available.
    let looks_at_data = has_work || data.is_some() || is_all_carried(&costed)?;
    let mut readers = costed.trainers.data(data, &layout.digests());
    let mut fingerprints = if looks_at_data { Some(check_data(&costed, &mut readers)?) } else { None };
    let lock = if arguments.wait { wait_for_lock(&layout).await? } else { SchedulerLock::acquire(&layout)? };
    let (mut store, damages) = patiently(prepare(&costed, &lock)).await?;
    let mut results = open_results(lock.layout()).await?;
    let known = costed.known(&mut results)?;
    results.close().await?;
    let items = items(&costed, &known, arguments)?;
    if fingerprints.is_none() && !items.is_empty() {
        fingerprints = Some(check_data(&costed, &mut readers)?);
    }
    readers.keep_digests();
    refuse_other_data(&costed, &known, fingerprints.as_deref().unwrap_or_default())?;

    // If nothing is computed, any arithmetic will do.
    let nothing = DeviceChoice::Cpu.arithmetic();
    let arithmetic = if items.is_empty() { nothing } else { arithmetic_of(&costed, &devices, &known)? };
    let slots = slots(&devices, arguments, items.len());
    let mut progress = Progress::new(&costed, &items, lock.layout(), screen, slots.len());
    damages.iter().for_each(|damage| progress.voice().say(&format!("note: {}", error_chain(damage))));
    progress.begin(&costed.works(&known));
    let options = options((&costed, &project, &layout), arguments, slots, &arithmetic)?;
    let sweep = Sweep { lock: &lock, options, until: arguments.until };
    let mut request = sweep.carry_out(items, &mut store, &mut progress).await?;
    store.close().await?;
    let mut results = open_results(lock.layout()).await?;
    let mut timed = Exit::Done;
    if request == Request::Run && !costed.has_work(&costed.known(&mut results)?) {
        let (slot, has_data) = (timing_slot(&devices, arguments), fingerprints.is_some());
        let timing = Timing { costed: &costed, sweep, slot, has_data };
        (request, timed) = timing.measure_what_is_missing(&mut results, &progress.voice()).await?;
    }
    let plan = &costed.plan;
    let rows = results.experiment_rows(&plan.experiment, &plan.profile).await?.context("a recorded plan is known")?;
    say_damage(&mut results);
    // The report of an unfinished sweep would replace a finished one. `report` renders it on request.
    let is_finished = request == Request::Run && !costed.has_work(&known_of(&rows.runs));
    let folder = is_finished.then(|| project.renderings(&arguments.reports, &rows.plan)).transpose()?;
    let tables = match &folder {
        Some(folder) => conclude(&project, (lock.layout(), &mut results), folder, &rows)?,
        None => report::unwritten(&project, &rows)?,
    };
    results.close().await?;
    progress.end(&rows.runs, folder.as_deref());
    print_bytes(report::shown(&tables, screen).as_bytes())?;
    Ok((exit(&costed, &rows.runs, request).or(timed), request))
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
    let mut progress = Progress::new(costed, &[], layout, screen, 0);
    progress.begin(&costed.works(known));
    progress.end(&rows, Some(&made.folder));
    print_bytes(report::shown(&made.tables, screen).as_bytes())?;
    Ok(exit(costed, &rows, Request::Run))
}

/// Renders the report of a finished sweep into `folder`. Returns the tables.
fn conclude(
    project: &Project,
    (layout, results): (&ResultsLayout, &mut Reader),
    folder: &Path,
    rows: &ExperimentRows,
) -> Result<Vec<Table>> {
    let inputs = up_to_date::inputs(project, results, &rows.plan, folder)?;
    let tables = report::write(project, layout, folder, rows)?;
    // If a declaration was edited meanwhile, it is not known which version was rendered.
    let inputs = inputs.filter(|inputs| {
        let after = up_to_date::inputs(project, results, &rows.plan, folder);
        after.is_ok_and(|after| after.as_ref() == Some(inputs))
    });
    if let Some(inputs) = inputs {
        Made::now(inputs, layout, &rows.plan, folder, tables.clone()).keep(layout, &rows.plan);
    }
    Ok(tables)
}

/// Returns the arithmetic of the runs that are left to do.
fn arithmetic_of(costed: &CostedPlan<'_>, devices: &[String], known: &BTreeMap<RunId, RunRow>) -> Result<Arithmetic> {
    let devices_of_candle: Vec<DeviceChoice> = devices.iter().filter_map(|name| name.parse().ok()).collect();
    arithmetic::choose(costed.plan.kernels.as_deref(), &devices_of_candle, known.values())
}

/// Returns the options of the runner.
fn options(
    (costed, project, layout): (&CostedPlan<'_>, &Project, &ResultsLayout),
    arguments: &RunArgs,
    slots: Vec<Slot>,
    arithmetic: &Arithmetic,
) -> Result<Options> {
    let program = OwnProgram::find()?;
    // On a GPU, runs take the memory of the GPU.
    let is_on_cpu = slots.iter().all(|slot| slot.device == "cpu");
    let memory = available_memory().filter(|_| is_on_cpu).map(|bytes| (MEMORY_SHARE * bytes as f64) as u64);
    Ok(Options {
        program: program.path,
        name: program.name,
        arguments: vec!["train".into()],
        slots,
        orders: orders((costed, project, layout), arguments.data.data.as_deref(), arithmetic)?,
        timeout: arguments.timeout,
        grace: GRACE,
        retries: RETRIES,
        memory,
        on_failure: if arguments.fail_fast { OnFailure::Stop } else { OnFailure::Continue },
    })
}

/// Prints a note about runs that are measured again with another instruction set and also belong to another experiment:
/// the report of that experiment changes.
fn say_shared(costed: &CostedPlan<'_>, known: &BTreeMap<RunId, RunRow>, results: &mut Reader) {
    let (plan, kernels) = (&costed.plan, costed.plan.kernels.as_deref());
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

/// Returns the runs that need an attempt, in plan order.
fn items(costed: &CostedPlan<'_>, known: &BTreeMap<RunId, RunRow>, arguments: &RunArgs) -> Result<Vec<WorkItem>> {
    let plan = &costed.plan;
    let selection = Selection::read(&arguments.only)?;
    selection.check(plan)?;
    let failed = if arguments.retry_failed { FailedRuns::Retry } else { FailedRuns::Wait };
    let works = costed.works(known);
    let runs = plan.runs.iter().zip(&works).filter(|(run, work)| selection.selects(run) && work.is_open(failed));
    let item = |(run, _): (&sweep_plan::PlannedRun, _)| WorkItem {
        run: run.id,
        file: RunFile { config: plan.configurations[run.configuration].clone(), seed: run.seed },
        forecast: costed.forecast(run.configuration),
    };
    Ok(runs.take(arguments.limit.unwrap_or(usize::MAX)).map(item).collect())
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
    let status = |run: &sweep_plan::PlannedRun| known.get(&run.id).map(|row| row.status).unwrap_or_default();
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
