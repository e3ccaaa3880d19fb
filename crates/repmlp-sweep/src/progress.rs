//! Shows progress on standard error while runs train: bars on a terminal, plain lines elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::Path;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sweep_protocol::{
    Event, Form, Measurement, Metric, ResultsLayout, RunId, RunRow, Split, Status, SupervisorEvent, printable,
    printable_line,
};
use sweep_runner::{Update, UpdateKind, WorkItem};

use crate::costed_plan::CostedPlan;
use crate::predict::duration;
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

/// The state of one shown run.
struct Shown {
    label: String,
    cost: f64,
    /// Share of finished steps.
    share: f64,
    bar: Option<ProgressBar>,
    steps: u64,
    steps_per_epoch: u64,
    /// Number of epochs; 0 if a command does not say it.
    epochs: u32,
}

/// The progress display.
pub(crate) struct Progress {
    voice: Voice,
    screen: Screen,
    layout: ResultsLayout,
    runs: BTreeMap<RunId, Shown>,
    /// Cost of all runs, and its finished part.
    whole: f64,
    done: f64,
    finished: BTreeSet<RunId>,
    total: ProgressBar,
    planned: Vec<(RunId, String)>,
    clock: std::time::Instant,
}

/// Length of the overall bar. Each part is an equal share of the total cost.
const PARTS: u64 = 10_000;

impl Progress {
    pub(crate) fn new(costed: &CostedPlan<'_>, items: &[WorkItem], layout: &ResultsLayout, screen: Screen) -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        let label = |run: &sweep_plan::PlannedRun| {
            let coordinates = printable_line(&run.coordinates.to_string()).into_owned();
            let name = if coordinates.is_empty() { run.id.short() } else { coordinates };
            if costed.plan.seeds.len() > 1 { format!("{name} seed {}", run.seed) } else { name }
        };
        let planned: Vec<_> = costed.plan.runs.iter().map(|run| (run.id, label(run))).collect();
        let costs = costed.training_flops();
        let labels: BTreeMap<RunId, &String> = planned.iter().map(|(id, label)| (*id, label)).collect();
        let shown = |item: &WorkItem| {
            let label = labels.get(&item.run).map_or_else(String::new, |label| (*label).clone());
            let cost = costs.get(&item.run).copied().unwrap_or(1.0);
            (item.run, Shown { label, cost, share: 0.0, bar: None, steps: 1, steps_per_epoch: 1, epochs: 0 })
        };
        let runs: BTreeMap<RunId, Shown> = items.iter().map(shown).collect();
        let total = match &bars {
            Some(bars) if !items.is_empty() => bars.add(ProgressBar::new(PARTS)),
            _ => ProgressBar::hidden(),
        };
        total.set_style(style("{msg:28} {wide_bar} {percent:>3} %  {eta} left"));
        Self {
            voice: Voice { bars },
            screen,
            layout: layout.clone(),
            whole: runs.values().map(|shown| shown.cost).sum(),
            done: 0.0,
            runs,
            finished: BTreeSet::new(),
            total,
            planned,
            clock: std::time::Instant::now(),
        }
    }

    pub(crate) fn voice(&self) -> Voice {
        self.voice.clone()
    }

    /// Prints a line about what is to be done. `works` has what is left of each run of the plan.
    pub(crate) fn begin(&self, works: &[Work]) {
        let reused = works.iter().filter(|work| **work == Work::Reuse).count();
        let mut line = format!("{} of {} runs to do, {reused} done and reused", self.runs.len(), self.planned.len());
        let failed = works.iter().filter(|work| matches!(work, Work::Failed { .. })).count();
        if failed > 0 {
            line += &format!(", {failed} failed before (see --retry-failed)");
        }
        self.voice.say(&line);
        self.total.set_message(format!("0 of {} runs", self.runs.len()));
    }

    /// Shows new lines of an attempt.
    pub(crate) fn show(&mut self, update: &Update) {
        match &update.kind {
            UpdateKind::Events(lines) => lines.iter().for_each(|line| self.show_event(update.run, &line.event)),
            UpdateKind::Supervisor(lines) => {
                for line in lines {
                    if let SupervisorEvent::Closed { status, message, .. } = &line.event {
                        self.show_end(update, *status, message.as_deref());
                    }
                }
            }
        }
    }

    fn show_event(&mut self, run: RunId, event: &Event) {
        let voice = self.voice.clone();
        let Some(shown) = self.runs.get_mut(&run) else { return };
        match event {
            Event::Started { environment, epochs, steps_per_epoch, resumed_at_step } => {
                shown.epochs = *epochs;
                shown.steps_per_epoch = u64::from(*steps_per_epoch).max(1);
                shown.steps = (u64::from(*epochs) * shown.steps_per_epoch).max(1);
                let begun = match *resumed_at_step {
                    0 => "started".to_owned(),
                    step if step == shown.steps => "is trained; the remaining measurements run".to_owned(),
                    step => format!("continues at step {step}"),
                };
                match &voice.bars {
                    Some(bars) => {
                        let bar = bars
                            .insert_before(&self.total, ProgressBar::new(shown.steps).with_position(*resumed_at_step));
                        let unit = if shown.steps_per_epoch == 1 { "epochs" } else { "steps" };
                        bar.set_style(style(&format!("{{prefix:28}} {{bar:24}} {{pos:>6}}/{{len}} {unit}  {{msg}}")));
                        bar.set_prefix(shown.label.clone());
                        shown.bar = Some(bar);
                    }
                    None => {
                        let (device, threads) = (&environment.device, environment.threads);
                        let plural = if threads == 1 { "" } else { "s" };
                        voice.say(&format!("{} {begun} on {device} with {threads} thread{plural}", shown.label));
                    }
                }
            }
            Event::Progressed { step, loss, .. } => {
                if let Some(bar) = &shown.bar {
                    bar.set_position(*step);
                    bar.set_message(format!("loss {loss:.3}"));
                }
                let share = *step as f64 / shown.steps as f64;
                self.advance(run, share);
            }
            Event::Measured { measurements } => {
                // A command may report no steps.
                let epoch = measurements.iter().filter_map(|m| m.epoch).max();
                if let Some(epoch) = epoch.filter(|epoch| *epoch <= shown.epochs) {
                    let step = u64::from(epoch) * shown.steps_per_epoch;
                    shown.bar.iter().for_each(|bar| bar.set_position(step));
                    let share = step as f64 / shown.steps as f64;
                    self.advance(run, share);
                }
                let Some(shown) = self.runs.get_mut(&run) else { return };
                if let Some((split, m)) = told(measurements) {
                    let (epoch, epochs) = (m.epoch.unwrap_or(0), shown.epochs);
                    let of = if epoch <= epochs { format!("/{epochs}") } else { String::new() };
                    let line = format!(
                        "{} epoch {epoch}{of}: {} {} {:.2} %",
                        shown.label,
                        split.name(),
                        m.metric.title(),
                        100.0 * m.value
                    );
                    match &shown.bar {
                        Some(bar) => bar.set_message(format!("{} {:.2} %", split.name(), 100.0 * m.value)),
                        None => voice.say(&line),
                    }
                }
            }
            Event::Noticed { text } => voice.say(&format!("{}: {}", shown.label, printable(text))),
            Event::Inherited { .. } | Event::Checkpointed { .. } | Event::Ended { .. } => {}
        }
    }

    /// Moves the overall bar. Every run counts by its cost and its share of finished steps.
    fn advance(&mut self, run: RunId, share: f64) {
        let Some(shown) = self.runs.get_mut(&run) else { return };
        self.done += shown.cost * (share - shown.share);
        shown.share = share;
        self.total.set_position((PARTS as f64 * self.done / self.whole) as u64);
    }

    fn show_end(&mut self, update: &Update, status: Status, message: Option<&str>) {
        let Some(shown) = self.runs.get_mut(&update.run) else { return };
        if let Some(bar) = &shown.bar {
            if status == Status::Succeeded {
                bar.set_position(shown.steps);
            }
            bar.finish_and_clear();
        }
        let label = shown.label.clone();
        if status == Status::Succeeded {
            self.advance(update.run, 1.0);
        }
        let line = match status {
            Status::Succeeded => format!("{label} done"),
            _ => {
                let why = message.map(|message| format!(": {}", printable(message))).unwrap_or_default();
                let log = self.layout.run(update.run).attempt(update.attempt).log();
                format!("{} {label} {status}{why}\n  log: {}", self.screen.alarm("!"), log.display())
            }
        };
        self.voice.say(&line);
        if status.is_finished() {
            self.finished.insert(update.run);
            self.total.set_message(format!("{} of {} runs", self.finished.len(), self.runs.len()));
        }
    }

    /// Removes the bars.
    pub(crate) fn clear(&self) {
        self.total.finish_and_clear();
    }

    /// Prints the final line: the number of runs in each status, and the folder of the report.
    pub(crate) fn end(&self, rows: &[RunRow], folder: Option<&Path>) {
        let mut counts: BTreeMap<Status, usize> = BTreeMap::new();
        let statuses: BTreeMap<RunId, Status> = rows.iter().map(|row| (row.run, row.status)).collect();
        for (id, _) in &self.planned {
            let status = statuses.get(id).copied().unwrap_or_default();
            *counts.entry(status).or_default() += 1;
        }
        let counts: Vec<_> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
        let time = duration(self.clock.elapsed().as_secs_f64());
        let report = match folder {
            Some(folder) => format!("report in {}", folder.display()),
            None => "the report is written when all runs are finished; `report` writes it now".to_owned(),
        };
        self.voice.say(&format!("{} after {time}; {report}\n", counts.join(", ")));
    }
}

/// Selects the value of an epoch that is printed: accuracy on the validation set, or on the test set if there is no
/// validation set.
fn told(measurements: &[Measurement]) -> Option<(Split, &Measurement)> {
    let on = |split: Split| {
        let is_it = |m: &&Measurement| {
            let is_told = [Metric::Accuracy, Metric::VerificationAccuracy].contains(&m.metric);
            is_told && m.split == Some(split) && m.form != Some(Form::Deployed)
        };
        measurements.iter().find(is_it).map(|m| (split, m))
    };
    on(Split::Validation).or_else(|| on(Split::Test))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
}
