//! One attempt, as its two journals describe it.

use serde::Serialize;
use sweep_protocol::{Event, Form, JournalLine, Measurement, Metric, RunId, Split, Status, SupervisorEvent};

use crate::curve::{Curve, is_accuracy};
use crate::news::{Begin, News};

/// Where an attempt runs. Only times of the same place are compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// `cpu`, `cuda:0`, …
    pub device: String,
    /// Number of threads.
    pub threads: usize,
}

/// The accuracy that displays show: on validation images, or on test images if there is no validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Told {
    /// The images.
    pub split: Split,
    /// The metric.
    pub metric: Metric,
    /// Number of completed epochs; 0 if none is named.
    pub epoch: u32,
    /// The value; a fraction.
    pub value: f64,
}

/// What an attempt says when it begins.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) at_ms: u64,
    pub(crate) place: Place,
    /// Number of epochs; 0 if a command does not say it.
    pub(crate) epochs: u32,
    pub(crate) steps_per_epoch: u64,
    pub(crate) resumed_at_step: u64,
}

impl Begun {
    /// Number of steps of the whole run, if it is known.
    pub(crate) fn steps(&self) -> Option<u64> {
        (self.epochs > 0).then(|| u64::from(self.epochs) * self.steps_per_epoch)
    }
}

/// An attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) slot: Option<u32>,
    pub(crate) launched_ms: Option<u64>,
    pub(crate) begun: Option<Begun>,
    pub(crate) step: u64,
    /// Time at which `step` last grew.
    pub(crate) stepped_ms: Option<u64>,
    pub(crate) loss: Option<f64>,
    /// The task of a cluster that runs it, in the cluster's words.
    pub(crate) job: Option<String>,
    pub(crate) told: Option<Told>,
    pub(crate) checkpoint_step: Option<u64>,
    pub(crate) curve: Curve,
    pub(crate) closed_ms: Option<u64>,
    /// Time of its latest line.
    pub(crate) heard_ms: u64,
    pub(crate) has_succeeded: bool,
    /// How many times slower than finished runs it is, once that was told.
    pub(crate) slow: Option<f64>,
}

impl Attempt {
    pub(crate) fn new(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// Takes one line of its supervisor.
    pub(crate) fn supervised(&mut self, line: &JournalLine<SupervisorEvent>) {
        self.heard_ms = line.at_ms;
        match &line.event {
            SupervisorEvent::Launched { slot, .. } => {
                (self.slot, self.launched_ms) = (Some(*slot), Some(line.at_ms));
            }
            SupervisorEvent::Submitted { job, task, .. } => self.job = Some(format!("{job}_{task}")),
            SupervisorEvent::Closed { status, .. } => {
                self.closed_ms = Some(line.at_ms);
                self.has_succeeded = *status == Status::Succeeded;
            }
        }
    }

    /// Takes one of its own lines. Returns what a display tells about it.
    pub(crate) fn said(&mut self, run: RunId, line: &JournalLine<Event>) -> Option<News> {
        self.heard_ms = line.at_ms;
        match &line.event {
            Event::Started { environment, epochs, steps_per_epoch, resumed_at_step } => {
                let place = Place { device: environment.device.clone(), threads: environment.threads };
                let begun = Begun {
                    at_ms: line.at_ms,
                    place: place.clone(),
                    epochs: *epochs,
                    steps_per_epoch: u64::from(*steps_per_epoch).max(1),
                    resumed_at_step: *resumed_at_step,
                };
                let begin = match *resumed_at_step {
                    0 => Begin::New,
                    step if Some(step) == begun.steps() => Begin::Trained,
                    step => Begin::AtStep(step),
                };
                (self.step, self.begun) = (*resumed_at_step, Some(begun));
                Some(News::Began { run, place, begin })
            }
            Event::Progressed { step, loss, .. } => {
                self.advance(*step, line.at_ms);
                self.loss = Some(*loss);
                Some(News::Advanced { run, loss: *loss })
            }
            Event::Measured { measurements } => {
                self.curve.add(measurements);
                self.finish_epoch(measurements, line.at_ms);
                self.told = told(measurements).or(self.told);
                told(measurements).map(|told| News::Measured { run, told })
            }
            Event::Inherited { measurements } => {
                self.curve.add(measurements);
                None
            }
            Event::Checkpointed { step, .. } => {
                self.checkpoint_step = Some(*step);
                None
            }
            Event::Noticed { text } => Some(News::Noticed { run, text: text.clone() }),
            Event::Predicted { .. } | Event::Ended { .. } => None,
        }
    }

    /// Advances to the end of the epoch that was measured. A command may report epochs only.
    fn finish_epoch(&mut self, measurements: &[Measurement], at_ms: u64) {
        let Some(begun) = &self.begun else { return };
        let epoch = measurements.iter().filter_map(|m| m.epoch).max();
        if let Some(epoch) = epoch.filter(|epoch| *epoch <= begun.epochs) {
            self.advance(u64::from(epoch) * begun.steps_per_epoch, at_ms);
        }
    }

    fn advance(&mut self, step: u64, at_ms: u64) {
        if step > self.step {
            (self.step, self.stepped_ms) = (step, Some(at_ms));
        }
    }

    /// Share of the run's steps that are done, if their number is known.
    pub(crate) fn share(&self) -> Option<f64> {
        let steps = self.begun.as_ref()?.steps()?;
        Some(ratio(self.step, steps))
    }

    /// Share of the run's steps that were done before this attempt; 0 if it is not known.
    pub(crate) fn resumed_share(&self) -> f64 {
        let begun = self.begun.as_ref();
        begun.and_then(|begun| Some(ratio(begun.resumed_at_step, begun.steps()?))).unwrap_or(0.0)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed_ms.is_none()
    }
}

/// A share of steps: at most 1, also if a command reports more steps than it announced.
pub(crate) fn ratio(step: u64, steps: u64) -> f64 {
    if steps == 0 { 0.0 } else { (step as f64 / steps as f64).min(1.0) }
}

/// Selects the accuracy of an epoch.
fn told(measurements: &[Measurement]) -> Option<Told> {
    let on = |split: Split| {
        let is_it =
            |m: &&Measurement| is_accuracy(m.metric) && m.split == Some(split) && m.form != Some(Form::Deployed);
        let told = |m: &Measurement| Told { split, metric: m.metric, epoch: m.epoch.unwrap_or(0), value: m.value };
        measurements.iter().find(is_it).map(told)
    };
    on(Split::Validation).or_else(|| on(Split::Test))
}
