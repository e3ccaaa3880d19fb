//! `run`: trains the missing runs of an experiment, stores their measurements, and renders the report.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use repmlp_train::DeviceChoice;
use repmlp_train::data::DataError;
use sweep_protocol::{
    Arithmetic, ExperimentRows, FailureKind, ResultsLayout, RunId, RunRow, Status, create_folders, error_chain,
    read_regular_file, remove_temporaries, write_atomically,
};
use sweep_report::Table;
use sweep_runner::{OnFailure, Options, Request, RunnerError, SchedulerLock, Slot, Update, UpdateKind, WorkItem};
use sweep_store::{Damage, Reader, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::{open_results, print_bytes, report, say, say_damage};
use crate::arithmetic;
use crate::cli::{ReportsArgs, RunArgs};
use crate::costed_plan::CostedPlan;
use crate::data_check::check_data;
use crate::exit::{Exit, UsageError};
use crate::plan_file;
use crate::progress::Progress;
use crate::project::Project;
use crate::screen::Screen;
use crate::up_to_date::{self, Made};
use crate::work::{FailedRuns, Work};

/// Number of updates that may wait for the index before the runner waits too.
const UPDATES: usize = 256;
/// Time after which waiting for the index is reported.
const SOON: Duration = Duration::from_secs(5);
/// Time in which an attempt must write its checkpoint after its time limit.
const GRACE: Duration = Duration::from_secs(60);

pub(crate) async fn run(arguments: RunArgs, screen: Screen) -> Result<Exit> {
    let costed = CostedPlan::load(&arguments.spec)?;
    let project = Project::of(&arguments.spec.path);
    project.check_declaration(&costed.record())?;
    project.check_place(&arguments.reports)?;
    let devices = devices(&arguments)?;
    let layout = project.results(&arguments.results);
    let data = arguments.data.data.as_deref();
    let mut results = open_results(&layout).await?;
    let known = costed.known(&mut results)?;
    let has_work = !items(&costed, &known, &arguments)?.is_empty();
    if !has_work
        && data.is_none()
        && let Some(made) = made_before(&costed, &project, &mut results, &arguments)?
    {
        let rows: Vec<RunRow> = known.values().cloned().collect();
        let progress = Progress::new(&costed, &[], &layout, screen);
        progress.begin(&known);
        progress.end(&rows, Some(&made.folder));
        print_bytes(report::shown(&made.tables, screen).as_bytes())?;
        results.close().await?;
        return Ok(exit(&costed, &rows, Request::Run));
    }
    // A mixture is refused here, before anything is written. The arithmetic is chosen below, under the lock, when no
    // other scheduler can change the runs.
    let choose = |known: &BTreeMap<RunId, RunRow>, has_work: bool| match has_work {
        true => arithmetic::choose(costed.plan.kernels.as_deref(), &devices, known.values()),
        // Nothing is computed, so any arithmetic will do.
        false => Ok(DeviceChoice::Cpu.arithmetic()),
    };
    choose(&known, has_work)?;
    say_shared(&costed, &known, &mut results);
    results.close().await?;
    // A finished sweep needs no data. But a named data folder is always checked, and carried data is always available.
    let looks_at_data = has_work || data.is_some() || is_all_carried(&costed)?;
    let mut fingerprints = if looks_at_data { Some(check_data(&costed, data)?) } else { None };
    let lock = SchedulerLock::acquire(&layout)?;
    let (mut store, damages) = patiently(prepare(&costed, &lock)).await?;
    let mut results = open_results(lock.layout()).await?;
    let known = costed.known(&mut results)?;
    results.close().await?;
    let items = items(&costed, &known, &arguments)?;
    if fingerprints.is_none() && !items.is_empty() {
        fingerprints = Some(check_data(&costed, data)?);
    }
    refuse_other_data(&costed, &known, fingerprints.as_deref().unwrap_or_default())?;

    let arithmetic = choose(&known, !items.is_empty())?;
    let slots = slots(&devices, &arguments, items.len());
    let mut progress = Progress::new(&costed, &items, lock.layout(), screen);
    damages.iter().for_each(|damage| progress.voice().say(&format!("note: {}", error_chain(damage))));
    progress.begin(&known);
    let request = carry_out(&lock, items, options(&arguments, slots, &arithmetic)?, &mut store, &mut progress).await?;
    store.close().await?;
    let name = (costed.plan.experiment.as_str(), costed.plan.profile.as_str());
    let mut results = open_results(lock.layout()).await?;
    let rows = results.experiment_rows(name.0, name.1).await?.context("a recorded plan is known")?;
    say_damage(&mut results);
    let reports = &arguments.reports;
    let (tables, folder) = conclude(&costed, &project, (lock.layout(), &mut results), reports, &rows)?;
    results.close().await?;
    progress.end(&rows.runs, folder.as_deref());
    print_bytes(report::shown(&tables, screen).as_bytes())?;
    Ok(exit(&costed, &rows.runs, request))
}

/// Renders the report if nothing is left to do. Returns the tables, and the report's folder if the report was written.
fn conclude(
    costed: &CostedPlan,
    project: &Project,
    (layout, results): (&ResultsLayout, &mut Reader),
    reports: &ReportsArgs,
    rows: &ExperimentRows,
) -> Result<(Vec<Table>, Option<PathBuf>)> {
    // The report of an unfinished sweep would replace a finished one. `report` renders it on request.
    let finished = rows.runs.iter().all(|row| !work(costed, Some(row)).is_open(FailedRuns::Wait));
    let folder = project.renderings(reports, &rows.plan)?;
    if !finished {
        return Ok((report::unwritten(project, rows)?, None));
    }
    let inputs = up_to_date::inputs(project, results, &rows.plan, &folder)?;
    let tables = report::write(project, layout, &folder, rows)?;
    // If a declaration was edited meanwhile, it is not known which version was rendered.
    let inputs = inputs.filter(|inputs| {
        let after = up_to_date::inputs(project, results, &rows.plan, &folder);
        after.is_ok_and(|after| after.as_ref() == Some(inputs))
    });
    if let Some(inputs) = inputs {
        Made::now(inputs, layout, &rows.plan, &folder, tables.clone()).keep(layout, &rows.plan);
    }
    Ok((tables, Some(folder)))
}

/// Returns the options of the runner.
fn options(arguments: &RunArgs, slots: Vec<Slot>, arithmetic: &Arithmetic) -> Result<Options> {
    let program = OwnProgram::find()?;
    Ok(Options {
        program: program.path,
        name: program.name,
        arguments: vec!["train".into()],
        slots,
        quiet_threads: arguments.threads.map_or_else(cores, |threads| threads as usize),
        orders: orders(arguments.data.data.as_deref(), arithmetic)?,
        timeout: arguments.timeout,
        grace: GRACE,
        crash_retries: 1,
        on_failure: if arguments.fail_fast { OnFailure::Stop } else { OnFailure::Continue },
    })
}

/// Prints a note about runs that are measured again with another instruction set and also belong to another experiment:
/// the report of that experiment changes.
fn say_shared(costed: &CostedPlan, known: &BTreeMap<RunId, RunRow>, results: &mut Reader) {
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
    costed: &CostedPlan,
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

/// Whether the program contains the data of all runs.
fn is_all_carried(costed: &CostedPlan) -> Result<bool> {
    for configuration in 0..costed.costs.len() {
        if !costed.config(configuration)?.data.source.is_carried() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The program that carries out attempts: the running program itself, even if its file is replaced or moved meanwhile.
/// So all attempts of a sweep use the same trainer.
struct OwnProgram {
    path: PathBuf,
    name: Option<OsString>,
}

impl OwnProgram {
    fn find() -> Result<Self> {
        let path = std::env::current_exe().context("the path of this program is unknown")?;
        let running = Path::new("/proc/self/exe");
        if running.exists() {
            return Ok(Self { path: running.to_owned(), name: Some(path.into_os_string()) });
        }
        Ok(Self { path, name: None })
    }
}

/// Returns the requested devices. Each is opened once, so that an unavailable device is refused before anything starts.
fn devices(arguments: &RunArgs) -> Result<Vec<DeviceChoice>> {
    let open = |name: &String| {
        let device: DeviceChoice = name.parse()?;
        device.open()?;
        Ok(device.decide())
    };
    arguments.device.iter().map(open).collect()
}

/// Maximum number of parallel runs on a CPU, unless the user sets it. Each run holds a network and its gradients in
/// memory.
const CPU_SLOTS: usize = 8;

/// Returns the slots. Parallel runs with one thread each finish sooner than successive runs with all threads, since
/// much of a training step runs on one thread.
fn slots(devices: &[DeviceChoice], arguments: &RunArgs, work: usize) -> Vec<Slot> {
    let cores = cores();
    let on = |device: &DeviceChoice| match (arguments.slots, device) {
        (Some(slots), _) => slots as usize,
        (None, DeviceChoice::Cpu) => work.clamp(1, cores.min(CPU_SLOTS)),
        (None, _) => 1,
    };
    let devices: Vec<String> =
        devices.iter().flat_map(|device| std::iter::repeat_n(device.to_string(), on(device))).collect();
    let threads = arguments.threads.map_or((cores / devices.len()).max(1), |threads| threads as usize);
    devices.into_iter().map(|device| Slot { device, threads }).collect()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Refuses a run that was measured on other data with the same name: it can be neither continued nor reused.
fn refuse_other_data(costed: &CostedPlan, known: &BTreeMap<RunId, RunRow>, fingerprints: &[String]) -> Result<()> {
    for run in &costed.plan.runs {
        let seen = known.get(&run.id).and_then(|row| row.data_fingerprint.as_ref());
        let Some(now) = fingerprints.get(run.configuration) else { return Ok(()) };
        if let Some(seen) = seen.filter(|seen| *seen != now) {
            let (run, seen, now) = (run.id.short(), seen.clone(), now.clone());
            return Err(DataError::Changed { run, seen, now }.into());
        }
    }
    Ok(())
}

/// Waits for work on the index. If it takes long, a line says once that another program may have locked the index.
async fn patiently<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(SOON) => {}
    }
    say("waiting for the index: another program may have locked metrics.sqlite; end its transaction");
    work.await
}

/// Writes the plan, closes attempts that a dead scheduler left open in any experiment, and brings the index up to date
/// with the journals.
async fn prepare(costed: &CostedPlan, lock: &SchedulerLock) -> Result<(Store, Vec<Damage>)> {
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

/// Returns the runs that need an attempt, in plan order.
fn items(costed: &CostedPlan, known: &BTreeMap<RunId, RunRow>, arguments: &RunArgs) -> Result<Vec<WorkItem>> {
    let plan = &costed.plan;
    for prefix in &arguments.only {
        if !plan.runs.iter().any(|run| run.id.starts_with(prefix)) {
            return Err(UsageError(format!(
                "no run of this plan has an id that starts with `{prefix}`; `plan` lists the ids"
            ))
            .into());
        }
    }
    let wanted = |id: RunId| arguments.only.is_empty() || arguments.only.iter().any(|prefix| id.starts_with(prefix));
    let failed = if arguments.retry_failed { FailedRuns::Retry } else { FailedRuns::Wait };
    let open = |id: RunId| work(costed, known.get(&id)).is_open(failed);
    let runs = plan.runs.iter().filter(|run| wanted(run.id) && open(run.id));
    let item = |run: &sweep_plan::PlannedRun| WorkItem {
        run: run.id,
        config_json: plan.configurations[run.configuration].clone(),
        seed: run.seed,
    };
    Ok(runs.take(arguments.limit.unwrap_or(usize::MAX)).map(item).collect())
}

/// Returns what is left to do for a run of the plan.
fn work(costed: &CostedPlan, row: Option<&RunRow>) -> Work {
    Work::of(row, costed.plan.kernels.as_deref())
}

/// Returns the orders of every attempt, except those that depend on its slot.
fn orders(data: Option<&Path>, arithmetic: &Arithmetic) -> Result<serde_json::Map<String, serde_json::Value>> {
    let data: Option<PathBuf> = data.map(std::path::absolute).transpose()?;
    if let Some(path) = data.as_ref().filter(|path| path.to_str().is_none()) {
        let path = path.display();
        return Err(
            UsageError(format!("--data {path}: the path is not UTF-8 text; rename the folder or link to it")).into()
        );
    }
    let kernels = (arithmetic.device == "cpu").then_some(&arithmetic.kernels);
    Ok(serde_json::Map::from_iter([
        ("data".to_owned(), serde_json::to_value(data)?),
        ("kernels".to_owned(), serde_json::to_value(kernels)?),
    ]))
}

/// Starts the runner, and stores and shows its updates. Returns the highest request of the user.
async fn carry_out(
    lock: &SchedulerLock,
    items: Vec<WorkItem>,
    options: Options,
    store: &mut Store,
    progress: &mut Progress,
) -> Result<Request> {
    let (requests, requested) = watch::channel(Request::Run);
    let listener = tokio::spawn(listen(requests.clone(), progress.voice()));
    let (sender, mut receiver) = mpsc::channel::<Update>(UPDATES);
    let follow = async {
        let mut fault = None;
        while let Some(update) = receiver.recv().await {
            progress.show(&update);
            // After an error of the index the journals still hold everything, so the attempts are only asked to stop.
            if fault.is_some() {
                continue;
            }
            match patiently(apply(store, &update)).await {
                Ok(damages) => {
                    damages.iter().for_each(|damage| progress.voice().say(&format!("note: {}", error_chain(damage))));
                }
                Err(first) => {
                    fault = Some(first);
                    requests.send_modify(|request| *request = Request::Finish.max(*request));
                }
            }
        }
        fault.map_or(Ok(()), Err)
    };
    let (summary, followed) = tokio::join!(sweep_runner::run(lock, items, options, requested, sender), follow);
    listener.abort();
    progress.clear();
    summary?;
    followed?;
    let request = *requests.borrow();
    Ok(request)
}

async fn apply(store: &mut Store, update: &Update) -> Result<Vec<Damage>> {
    let Update { run, attempt, kind } = update;
    Ok(match kind {
        UpdateKind::Events(lines) => {
            store.apply_journal(*run, *attempt, lines).await?;
            Vec::new()
        }
        UpdateKind::Supervisor(lines) => store.apply_supervisor(*run, *attempt, lines).await?,
    })
}

/// Handles signals. The first Ctrl-C asks attempts to write a checkpoint and stop, and the second kills them. SIGTERM
/// has the same effect, and so has SIGHUP when the terminal is lost. Under `nohup`, SIGHUP stays ignored.
async fn listen(requests: watch::Sender<Request>, voice: crate::progress::Voice) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    let mut hang_up = if ignores_hang_up() { None } else { signal(SignalKind::hangup()).ok() };
    for (request, word) in [
        (Request::Finish, "stopping: attempts write a checkpoint; interrupt again to kill them"),
        (Request::Kill, "killing all attempts"),
    ] {
        let hung_up = async {
            match &mut hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = tokio::signal::ctrl_c() => {}
            Some(()) = terminate.recv() => {}
            Some(()) = hung_up => {}
        }
        voice.say(word);
        requests.send_modify(|current| *current = request.max(*current));
    }
}

/// Whether the process ignores SIGHUP, signal 1.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

fn exit(costed: &CostedPlan, rows: &[RunRow], request: Request) -> Exit {
    let known: BTreeMap<RunId, Status> = rows.iter().map(|row| (row.run, row.status)).collect();
    let all: Vec<Status> = costed.plan.runs.iter().map(|run| known.get(&run.id).copied().unwrap_or_default()).collect();
    if request == Request::Kill {
        return Exit::Interrupted;
    }
    if all.contains(&Status::Failed(FailureKind::Equivalence)) {
        return Exit::Mismatch;
    }
    if all.iter().any(|status| matches!(status, Status::Failed(_) | Status::TimedOut)) {
        return Exit::Failed;
    }
    let is_open = |row: &RunRow| work(costed, Some(row)).is_open(FailedRuns::Wait);
    let is_done = all.iter().all(|status| *status == Status::Succeeded) && !rows.iter().any(is_open);
    if is_done { Exit::Done } else { Exit::Remains }
}
