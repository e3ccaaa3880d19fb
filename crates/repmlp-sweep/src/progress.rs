//! Shows progress on standard error while runs train: bars on a terminal, plain lines elsewhere. It draws the state of
//! `sweep-progress` and keeps none of its own.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sweep_progress::{Begin, News, Place, PlannedRun, Progress as State, Setup, Standing, fitted, labels};
use sweep_protocol::{MeasurementRow, ResultsLayout, RunId, RunRow, Status, duration, now_ms, printable};
use sweep_runner::{Update, UpdateKind, WorkItem};

use crate::commands::RETRIES;
use crate::costed_plan::CostedPlan;
use crate::event_files::EventFiles;
use crate::screen::{Screen, say};
use crate::work::Work;

/// Prints lines without damaging the bars.
#[derive(Clone)]
pub(crate) struct Voice {
    bars: Option<MultiProgress>,
}

impl Voice {
    pub(crate) fn say(&self, line: &str) {
        match &self.bars {
            // Training goes on even if a bar cannot be drawn.
            Some(bars) => drop(bars.println(line)),
            None => say(line),
        }
    }
}

/// The progress display.
pub(crate) struct Progress {
    voice: Voice,
    screen: Screen,
    layout: ResultsLayout,
    state: State,
    /// The bars of running attempts.
    bars: BTreeMap<RunId, ProgressBar>,
    total: ProgressBar,
    /// Time at which the time left was last computed.
    estimated_ms: u64,
    planned: Vec<RunId>,
    clock: std::time::Instant,
    began_ms: u64,
    event_files: Option<EventFiles>,
}

/// Length of the overall bar. Each part is an equal share of the predicted work.
const PARTS: u64 = 10_000;
/// Milliseconds between two estimates of the time left.
const ESTIMATE_MS: u64 = 1000;
/// Columns of a run's name in its bar.
const NAME: usize = 24;
/// Maximum number of failed runs that the final line names.
const MOST_NAMED: usize = 3;

impl Progress {
    /// Makes the display of a call that does these items. A cluster has no fixed number of slots.
    pub(crate) fn new(
        costed: &CostedPlan<'_>,
        items: &[WorkItem],
        layout: &ResultsLayout,
        screen: Screen,
        slots: Option<usize>,
    ) -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        let total = match &bars {
            Some(bars) if !items.is_empty() => bars.add(ProgressBar::new(PARTS)),
            _ => ProgressBar::hidden(),
        };
        total.set_style(style("{msg:28} {wide_bar} {percent:>3} %  {prefix}"));
        Self {
            voice: Voice { bars },
            screen,
            layout: layout.clone(),
            state: state(costed, items, layout, slots),
            bars: BTreeMap::new(),
            total,
            estimated_ms: 0,
            planned: costed.plan.runs.iter().map(|run| run.id).collect(),
            clock: std::time::Instant::now(),
            began_ms: now_ms(),
            event_files: EventFiles::of(costed, layout),
        }
    }

    /// The name of a run for people.
    pub(crate) fn label(&self, run: RunId) -> &str {
        self.state.label(run)
    }

    pub(crate) fn voice(&self) -> Voice {
        self.voice.clone()
    }

    /// Prints a line about what is to be done. `works` has what is left of each run of the plan.
    pub(crate) fn begin(&mut self, works: &[Work]) {
        for (run, work) in self.planned.iter().zip(works) {
            if let Work::Continue { step } = work {
                self.state.keep_checkpoint(*run, *step);
            }
        }
        let reused = works.iter().filter(|work| **work == Work::Reuse).count();
        let runs = self.state.counts().runs;
        let mut line = format!("{runs} of {} runs to do, {reused} done and reused", self.planned.len());
        let waits = |(run, work): &(&RunId, &Work)| matches!(work, Work::Failed { .. }) && !self.state.has(**run);
        let failed = self.planned.iter().zip(works).filter(waits).count();
        if failed > 0 {
            line += &format!(", {failed} failed before (--retry-failed tries them again)");
        }
        self.voice.say(&line);
        self.total.set_message(format!("0 of {runs} runs"));
    }

    /// Writes event files of what runs have measured, if the experiment asks for them.
    pub(crate) fn log(&mut self, rows: &[MeasurementRow]) {
        self.with_event_files(|files| files.complete(rows));
    }

    /// Does something with the event files. After a failure there are none.
    fn with_event_files(&mut self, work: impl FnOnce(&mut EventFiles) -> std::io::Result<()>) {
        let Some(files) = &mut self.event_files else { return };
        if let Err(fault) = work(files) {
            self.event_files = None;
            self.voice.say(&format!("note: the event files of TensorBoard are not written any further: {fault}"));
        }
    }

    /// Whether event files are to be written.
    pub(crate) fn logs(&self) -> bool {
        self.event_files.is_some()
    }

    /// Shows new lines of an attempt.
    pub(crate) fn show(&mut self, update: &Update) {
        self.with_event_files(|files| files.follow(update));
        let (run, attempt) = (update.run, update.attempt);
        let news = match &update.kind {
            UpdateKind::Events(lines) => {
                // A task of a cluster may have reported much before this call. What it measured then is not news.
                let (old, new) = lines.split_at(lines.partition_point(|line| line.at_ms < self.began_ms));
                let old = self.state.apply_journal(run, attempt, old);
                let mut news: Vec<News> = old.into_iter().filter(|news| matches!(news, News::Began { .. })).collect();
                news.extend(self.state.apply_journal(run, attempt, new));
                news
            }
            UpdateKind::Supervisor(lines) => self.state.apply_supervisor(run, attempt, lines),
            UpdateKind::Unusable(why) => {
                let remedy = "mend or remove what is named here, then run the same command again";
                self.give_up((run, attempt), &format!("{}; {remedy}", printable(why)))
            }
            UpdateKind::Removed => {
                self.give_up((run, attempt), "its folder was removed; the same command trains it again")
            }
        };
        news.iter().for_each(|news| self.tell(news));
        self.look();
    }

    /// Shows what changes without news: the time left, and runs that say nothing for too long.
    pub(crate) fn look(&mut self) {
        self.show_total(now_ms());
    }

    /// Moves the overall bar. Every run counts by its work and its share of finished steps.
    fn show_total(&mut self, now_ms: u64) {
        self.total.set_position((PARTS as f64 * self.state.share()) as u64);
        if now_ms.abs_diff(self.estimated_ms) < ESTIMATE_MS {
            return;
        }
        self.estimated_ms = now_ms;
        self.state.find_slow(now_ms).iter().for_each(|news| self.tell(news));
        let left = self.state.seconds_left(now_ms).map(|seconds| format!("{} left", duration(seconds)));
        self.total.set_prefix(left.unwrap_or_default());
    }

    fn tell(&mut self, news: &News) {
        match news {
            News::Began { run, place, begin } => self.tell_begin(*run, place, *begin),
            News::Advanced { run, loss } => {
                if let Some(bar) = self.bars.get(run) {
                    bar.set_position(self.state.step(*run));
                    bar.set_message(format!("loss {loss:.3}"));
                }
            }
            News::Measured { run, told } => {
                let value = 100.0 * told.value;
                if let Some(bar) = self.bars.get(run) {
                    bar.set_position(self.state.step(*run));
                    return bar.set_message(format!("{} {value:.2} %", told.split.name()));
                }
                let (epoch, epochs) = (told.epoch, self.state.epochs(*run));
                let of = if epoch <= epochs { format!("/{epochs}") } else { String::new() };
                let (label, split, metric) = (self.state.label(*run), told.split.name(), told.metric.title());
                self.voice.say(&format!("{label} epoch {epoch}{of}: {split} {metric} {value:.2} %"));
            }
            News::Noticed { run, text } => {
                self.voice.say(&format!("{}: {}", self.state.label(*run), printable(text)));
            }
            News::Ended { run, attempt, status, message } => {
                self.tell_end((*run, *attempt), *status, message.as_deref());
            }
            News::Slow { run, place, times } => {
                let (label, id) = (self.state.label(*run), run.short());
                self.voice.say(&format!(
                    "{label} is {times:.1} times as slow as finished runs on {}: see whether other programs use the \
                     machine, and `repmlp-sweep logs {id}`",
                    place.device
                ));
            }
        }
    }

    fn tell_begin(&mut self, run: RunId, place: &Place, begin: Begin) {
        let label = self.state.label(run).to_owned();
        let Some(bars) = &self.voice.bars else {
            let begun = match begin {
                Begin::New => "started".to_owned(),
                Begin::Trained => "is trained; the remaining measurements run".to_owned(),
                Begin::AtStep(step) => format!("continues at step {step}"),
            };
            let (device, threads) = (&place.device, place.threads);
            let plural = if threads == 1 { "" } else { "s" };
            return self.voice.say(&format!("{label} {begun} on {device} with {threads} thread{plural}"));
        };
        let per_epoch = self.state.steps_per_epoch(run);
        let steps = u64::from(self.state.epochs(run)) * per_epoch;
        let bar = bars.insert_before(&self.total, ProgressBar::new(steps.max(1)).with_position(self.state.step(run)));
        let unit = if per_epoch == 1 { "epochs" } else { "steps" };
        // A command may not say how many epochs it trains.
        let place = if steps == 0 { "{pos:>6}" } else { "{bar:12} {pos:>6}/{len}" };
        // `!` and `wide_msg` cut what would not fit into one line: a second line stays on the screen.
        bar.set_style(style(&format!("{{prefix:{NAME}!}} {place} {unit}  {{wide_msg}}")));
        bar.set_prefix(fitted(&label, NAME));
        if let Some(former) = self.bars.insert(run, bar) {
            former.finish_and_clear();
        }
    }

    /// Says that a run is given up. This is no news of its journals.
    fn give_up(&mut self, (run, attempt): (RunId, u32), why: &str) -> Vec<News> {
        self.state.give_up(run, attempt, why);
        self.end_bar(run);
        let label = self.state.label(run);
        self.voice.say(&format!("{} {label} is given up, the other runs go on: {why}", self.screen.alarm("!")));
        Vec::new()
    }

    fn tell_end(&mut self, (run, attempt): (RunId, u32), status: Status, message: Option<&str>) {
        self.end_bar(run);
        let label = self.state.label(run);
        let why = message.map(|message| format!(": {}", printable(message))).unwrap_or_default();
        let line = match status {
            Status::Succeeded => format!("{label} done"),
            // It was stopped, and continues later.
            Status::Cancelled | Status::Pruned | Status::Queued => format!("{label} {status}{why}"),
            _ => {
                let log = self.layout.run(run).attempt(attempt).log();
                format!("{} {label} {status}{why}\n  log: {}", self.screen.alarm("!"), log.display())
            }
        };
        self.voice.say(&line);
    }

    /// Removes the bar of a run, and counts the run in the overall bar.
    fn end_bar(&mut self, run: RunId) {
        if let Some(bar) = self.bars.remove(&run) {
            bar.finish_and_clear();
        }
        let counts = self.state.counts();
        let ended = counts.runs - counts.running - counts.queued;
        self.total.set_message(format!("{ended} of {} runs", counts.runs));
    }

    /// Removes the bars.
    pub(crate) fn clear(&self) {
        self.total.finish_and_clear();
    }

    /// Prints the final line: the number of runs in each status, and the folder of the report.
    pub(crate) fn end(&self, rows: &[RunRow], folder: Option<&Path>) {
        let mut counts: BTreeMap<Status, usize> = BTreeMap::new();
        let statuses: BTreeMap<RunId, Status> = rows.iter().map(|row| (row.run, row.status)).collect();
        for id in &self.planned {
            // The row of a run whose folder cannot be used does not say so.
            let failed = self.state.failure(*id);
            let status = failed.unwrap_or_else(|| statuses.get(id).copied().unwrap_or_default());
            *counts.entry(status).or_default() += 1;
        }
        let counts: Vec<_> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
        let time = duration(self.clock.elapsed().as_secs_f64());
        let report = match folder {
            Some(folder) => format!("report in {}", folder.display()),
            None => "the report is written when all runs are finished; `report` writes it now".to_owned(),
        };
        let failed = self.failed(&statuses);
        self.voice.say(&format!("{} after {time}; {report}{failed}\n", counts.join(", ")));
    }

    /// Names the runs that failed, on a line of its own; empty if there are none.
    fn failed(&self, statuses: &BTreeMap<RunId, Status>) -> String {
        let has_failed = |run: &&RunId| matches!(statuses.get(run), Some(Status::Failed(_) | Status::TimedOut));
        let failed: Vec<RunId> = self.planned.iter().filter(has_failed).copied().collect();
        if failed.is_empty() {
            return String::new();
        }
        let named = failed.iter().take(MOST_NAMED).map(|run| format!("{} {}", run.short(), self.state.label(*run)));
        let named = named.map(|name| name.trim_end().to_owned()).collect::<Vec<_>>().join("; ");
        let more = failed.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("\nfailed: {named}{more}; `repmlp-sweep logs ID` shows why")
    }
}

/// Makes the state of a call that does these items.
fn state(costed: &CostedPlan<'_>, items: &[WorkItem], layout: &ResultsLayout, slots: Option<usize>) -> State {
    let setup = Setup {
        experiment: costed.plan.experiment.clone(),
        profile: costed.plan.profile.clone(),
        layout: layout.clone(),
        slots: slots.map(|slots| u32::try_from(slots).unwrap_or(u32::MAX)),
        retries: RETRIES,
    };
    let all = labels(costed.plan.runs.iter().map(|run| (run.id, &run.coordinates, run.seed)));
    let place: BTreeMap<RunId, usize> = costed.plan.runs.iter().enumerate().map(|(at, run)| (run.id, at)).collect();
    let planned = |item: &WorkItem| {
        let label = place.get(&item.run).map_or_else(String::new, |at| all[*at].clone());
        let work = Some(item.forecast.work).filter(|work| *work > 0);
        let configuration = place.get(&item.run).map_or(0, |at| costed.plan.runs[*at].configuration);
        PlannedRun { run: item.run, label, configuration, work, standing: Standing::Queued, checkpoint_step: 0 }
    };
    State::new(setup, items.iter().map(planned).collect())
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
}
