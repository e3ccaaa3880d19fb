//! The training of one run: start or continue, epochs, checks, final metrics. It works towards completion from whatever
//! an earlier attempt left, and stops at any step when asked to.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use repmlp::Mode;
use repmlp::models::Model;
use repmlp::vars::Vars;
use sweep_protocol::{Environment, Event, Form, Measurement, Metric, Outcome, Sink, Split, error_chain};

use crate::batch::{HostBatch, TrainEpoch};
use crate::checkpoint::{self, CheckpointError, CheckpointHeader, Newest, PassedOver};
use crate::config::RunConfig;
use crate::data::{DataError, Dataset, Subset};
use crate::device::DeviceChoice;
use crate::error::TrainError;
use crate::evaluate::EvaluationSplit;
use crate::learner::Learner;
use crate::ledger::Ledger;
use crate::loader::Loader;
use crate::objective::Judge;
use crate::optimizer::{Optimizer, StepPlace};

/// Raised by hand when a change of the trainer changes measurements.
pub const TRAINER_VERSION: u32 = 7;

/// Steps between two looks at the loss: on a GPU every look waits for the device.
const LOG_INTERVAL: u64 = 10;

/// When throughput may be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThroughputTiming {
    /// In this attempt: nothing else runs beside it.
    Now,
    /// In a later attempt: others train beside this one.
    Later,
}

/// What an attempt may use and where it works: nothing of it can change a result.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Where tensors live.
    pub device: DeviceChoice,
    /// Threads, as recorded; the caller has set them up.
    pub threads: usize,
    /// Folder that data sets lie in.
    pub data: Option<PathBuf>,
    /// Folder of this attempt, for checkpoints and weights.
    pub folder: PathBuf,
    /// Folders of earlier attempts.
    pub resume_from: Vec<PathBuf>,
    /// When throughput may be measured.
    pub throughput: ThroughputTiming,
    /// Version and commit of the program, as recorded.
    pub code: String,
    /// Name of the machine, as recorded.
    pub host: String,
    /// Model of the machine's processor, as it is recorded.
    pub processor: Option<String>,
}

/// Raised to make the attempt write a checkpoint and stop.
pub type StopFlag = AtomicBool;

/// Brings a run to completion, or as far as `stop` lets it; says everything to `sink`, the outcome last. On a CPU it works on a thread of
/// candle's pool, and two runs of one process share that pool: their times mean nothing then, their results are the same.
///
/// # Errors
/// When the attempt failed; the outcome is in the sink too, unless the sink itself failed.
pub fn train(
    config: &RunConfig,
    seed: u64,
    orders: &Orders,
    stop: &StopFlag,
    sink: &mut dyn Sink,
) -> Result<Outcome, TrainError> {
    let mut ledger = Ledger::new(sink);
    let result = attempt(config, seed, orders, stop, &mut ledger);
    let outcome = match &result {
        Ok(outcome) => outcome.clone(),
        Err(e) => Outcome::Failed { failure: e.kind(), message: error_chain(e) },
    };
    if !matches!(result, Err(TrainError::Sink(_))) {
        ledger.end(outcome)?;
    }
    result
}

fn attempt(
    config: &RunConfig,
    seed: u64,
    orders: &Orders,
    stop: &StopFlag,
    ledger: &mut Ledger<'_>,
) -> Result<Outcome, TrainError> {
    let faults = config.faults();
    if !faults.is_empty() {
        return Err(TrainError::Config(faults));
    }
    let device = orders.device.open()?;
    // Among a CPU's threads that compute: asked from outside, they would be woken for each operation, and wake the asker after it.
    device.with_context(|| Run::new(config, seed, orders, device.clone())?.complete(stop, ledger))
}

/// Whether an epoch ran to its end.
#[derive(PartialEq, Eq)]
enum Pace {
    Whole,
    Stopped,
}

/// Sums over the steps of the current epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    loss: f64,
    correct: f64,
    /// Images, or pixels that count.
    judged: f64,
    seconds: f64,
    /// Part of them in which no batch was ready.
    waited: f64,
}

/// What a step left on the device.
struct Unread {
    loss_and_hits: Tensor,
    /// Images, or pixels that count.
    judged: usize,
}

pub(crate) struct Run<'a> {
    pub(crate) config: &'a RunConfig,
    seed: u64,
    pub(crate) orders: &'a Orders,
    pub(crate) device: Device,
    pub(crate) data: Dataset,
    /// Of the data, and of the weights that the network starts from.
    fingerprint: String,
    pub(crate) vars: Vars,
    pub(crate) learner: Learner,
    steps_per_epoch: u64,
    step: u64,
    sums: Sums,
}

impl<'a> Run<'a> {
    /// Before its first step.
    fn new(config: &'a RunConfig, seed: u64, orders: &'a Orders, device: Device) -> Result<Self, TrainError> {
        let data = config.data.load(orders.data.as_deref(), seed)?;
        let steps_per_epoch = data.count.batches(config.training.batch)?;
        let vars = Vars::new(seed, DType::F32, &device);
        let model = Model::new(&config.model, config.task(), &vars.root())?;
        let fingerprint = config.begin(&data.fingerprint, &vars, orders.data.as_deref())?;
        let judge = Judge::new(config, &vars)?;
        let optimizer = Optimizer::new(&config.training.optimizer, &vars)?;
        Ok(Self {
            config,
            seed,
            orders,
            device,
            data,
            fingerprint,
            vars,
            learner: Learner { model, judge, optimizer, seed },
            steps_per_epoch,
            step: 0,
            sums: Sums::default(),
        })
    }

    /// From wherever an earlier attempt has left it, to its end or to the step at which it is told to stop.
    fn complete(mut self, stop: &StopFlag, ledger: &mut Ledger<'_>) -> Result<Outcome, TrainError> {
        let inherited = self.resume(ledger)?;
        self.start(ledger)?;
        ledger.inherit(inherited)?;
        while self.step < self.steps() {
            if self.train_epoch(stop, ledger)? == Pace::Stopped {
                return Ok(Outcome::Stopped);
            }
        }
        self.finish(ledger)
    }

    fn steps(&self) -> u64 {
        self.steps_per_epoch * u64::from(self.config.training.epochs)
    }

    fn start(&self, ledger: &mut Ledger<'_>) -> Result<(), TrainError> {
        let environment = Environment {
            trainer_version: TRAINER_VERSION,
            code: self.orders.code.clone(),
            device: self.orders.device.decide().to_string(),
            arithmetic: Some(self.orders.device.arithmetic()),
            processor: self.orders.processor.clone(),
            threads: self.orders.threads,
            host: self.orders.host.clone(),
            pid: std::process::id(),
            data_fingerprint: self.fingerprint.clone(),
        };
        ledger.say(Event::Started {
            environment,
            epochs: self.config.training.epochs,
            steps_per_epoch: u32::try_from(self.steps_per_epoch).unwrap_or(u32::MAX),
            resumed_at_step: self.step,
        })?;
        Ok(())
    }

    /// Goes on from the newest intact checkpoint of earlier attempts; returns what they had measured by then.
    fn resume(&mut self, ledger: &mut Ledger<'_>) -> Result<Vec<Measurement>, TrainError> {
        let Newest { found, passed_over } =
            checkpoint::newest(&self.orders.resume_from, &self.orders.device.arithmetic());
        let next =
            if found.is_some() { "the run goes on from the checkpoint before it" } else { "the run starts over" };
        for PassedOver { path, why } in passed_over {
            ledger.say(Event::Noticed { text: format!("{} {why}; {next}", path.display()) })?;
        }
        let Some(found) = found else { return Ok(Vec::new()) };
        let foreign = |reason: String| CheckpointError::Foreign { path: found.path.clone(), reason };
        if found.header.data_fingerprint != self.fingerprint {
            let reason = format!(
                "it was made from {}, this run is made from {}",
                found.header.data_fingerprint, self.fingerprint
            );
            return Err(foreign(reason).into());
        }
        self.vars.load(&found.tensors)?;
        for (name, var) in self.learner.optimizer.state() {
            let tensor = found.tensors.get(&name).ok_or_else(|| foreign(format!("it lacks `{name}`")))?;
            var.set(&tensor.to_device(&self.device)?)?;
        }
        let [loss, correct, judged, seconds, waited] = found.header.sums.map(f64::from_bits);
        self.sums = Sums { loss, correct, judged, seconds, waited };
        self.step = found.header.step;
        Ok(found.header.measured)
    }

    fn save_checkpoint(&self, ledger: &mut Ledger<'_>) -> Result<(), TrainError> {
        ledger.may_write()?;
        let Sums { loss, correct, judged, seconds, waited } = self.sums;
        let header = CheckpointHeader {
            step: self.step,
            data_fingerprint: self.fingerprint.clone(),
            trainer_version: TRAINER_VERSION,
            arithmetic: Some(self.orders.device.arithmetic()),
            sums: [loss, correct, judged, seconds, waited].map(f64::to_bits),
            measured: ledger.so_far().to_vec(),
        };
        let mut tensors = self.weights();
        tensors.extend(self.learner.optimizer.state().into_iter().map(|(name, var)| (name, var.as_tensor().clone())));
        let file = checkpoint::save(&self.orders.folder, &header, &tensors)?;
        ledger.say(Event::Checkpointed { step: self.step, file })?;
        checkpoint::prune(&self.orders.folder)?;
        Ok(())
    }

    /// The rest of the current epoch, its evaluation and its checkpoint.
    fn train_epoch(&mut self, stop: &StopFlag, ledger: &mut Ledger<'_>) -> Result<Pace, TrainError> {
        let epoch = self.step / self.steps_per_epoch;
        let mut batches = self.batches(epoch)?;
        let mut unread = Vec::new();
        let mut clock = Instant::now();
        while self.step < (epoch + 1) * self.steps_per_epoch {
            if stop.load(Ordering::Relaxed) {
                self.read_losses(&mut unread, &mut clock, ledger)?;
                self.save_checkpoint(ledger)?;
                return Ok(Pace::Stopped);
            }
            let asked = Instant::now();
            let Some(batch) = batches.next().transpose()? else { break };
            self.sums.waited += asked.elapsed().as_secs_f64();
            let batch = batch.onto(&self.device)?;
            let loss_and_hits = self.learner.step(&batch, self.place())?;
            unread.push(Unread { loss_and_hits, judged: batch.judged });
            self.step += 1;
            if self.step.is_multiple_of(LOG_INTERVAL) {
                self.read_losses(&mut unread, &mut clock, ledger)?;
            }
        }
        self.read_losses(&mut unread, &mut clock, ledger)?;
        self.end_epoch(ledger)?;
        Ok(Pace::Whole)
    }

    /// The batches that are left of an epoch, made beside the training.
    fn batches(&self, epoch: u64) -> Result<Loader<HostBatch>, DataError> {
        let images = TrainEpoch::new(&self.data, self.config.training.batch, (self.seed, epoch));
        let left = (self.step % self.steps_per_epoch) as usize..self.steps_per_epoch as usize;
        Loader::new(left, self.orders.threads, move |index| images.batch(index))
    }

    /// That of the next step.
    fn place(&self) -> StepPlace {
        let share = self.config.training.schedule.share(self.step, self.steps(), self.steps_per_epoch);
        StepPlace { number: self.step + 1, learning_rate_share: share }
    }

    /// Fetches losses that were left on the device, and looks whether they still are numbers.
    fn read_losses(
        &mut self,
        unread: &mut Vec<Unread>,
        clock: &mut Instant,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), TrainError> {
        if unread.is_empty() {
            return Ok(());
        }
        let tensors: Vec<&Tensor> = unread.iter().map(|step| &step.loss_and_hits).collect();
        let rows = Tensor::stack(&tensors, 0)?.to_vec2::<f32>()?;
        let first = self.step - rows.len() as u64;
        let mut latest = 0.0;
        for (i, row) in rows.iter().enumerate() {
            latest = f64::from(row[0]);
            if !latest.is_finite() {
                let step = first + i as u64 + 1;
                return Err(TrainError::Diverged { loss: latest, step, epoch: (step - 1) / self.steps_per_epoch + 1 });
            }
            self.sums.loss += latest;
            self.sums.correct += f64::from(row[1]);
            self.sums.judged += unread[i].judged as f64;
        }
        self.sums.seconds += clock.elapsed().as_secs_f64();
        *clock = Instant::now();
        unread.clear();
        let epoch = (self.step / self.steps_per_epoch) as u32;
        ledger.say(Event::Progressed { epoch, step: self.step, loss: latest })?;
        Ok(())
    }

    fn end_epoch(&mut self, ledger: &mut Ledger<'_>) -> Result<(), TrainError> {
        let epoch = Some((self.step / self.steps_per_epoch) as u32);
        let form = Some(Form::Training);
        let mut measurements = Vec::new();
        let mut add = |metric, split, value| measurements.push(Measurement { metric, split, form, epoch, value });
        let Sums { loss, correct, judged, seconds, waited } = self.sums;
        add(Metric::Loss, Some(Split::Train), loss / self.steps_per_epoch as f64);
        // Cuts of scenes may show nothing but pixels that do not count.
        if judged > 0.0 {
            add(Metric::Accuracy, Some(Split::Train), correct / judged);
        }
        add(Metric::TrainTime, None, seconds);
        add(Metric::DataWait, None, waited);
        let schedule = &self.config.training.schedule;
        let share = schedule.share(self.step - 1, self.steps(), self.steps_per_epoch);
        add(Metric::LearningRate, None, self.config.training.optimizer.learning_rate() * share);
        for (split, subset) in [(Split::Validation, &self.data.validation), (Split::Test, &self.data.test)] {
            if !subset.images.is_empty() {
                for (metric, value) in self.learner.judge.evaluate(self.split(subset), |x| self.evaluated(x))? {
                    if !value.is_finite() {
                        let epoch = self.step / self.steps_per_epoch;
                        return Err(TrainError::Diverged { loss: value, step: self.step, epoch });
                    }
                    add(metric, Some(split), value);
                }
            }
        }
        ledger.measured(measurements)?;
        self.sums = Sums::default();
        self.save_checkpoint(ledger)
    }

    pub(crate) fn evaluated(&self, images_nchw: &Tensor) -> candle_core::Result<Tensor> {
        Ok(self.learner.model.forward(images_nchw, Mode::Evaluate)?.detach())
    }

    pub(crate) fn split<'s>(&'s self, subset: &'s Subset) -> EvaluationSplit<'s> {
        let threads = self.orders.threads;
        EvaluationSplit { subset, preparation: &self.data.preparation, device: &self.device, threads }
    }
}
