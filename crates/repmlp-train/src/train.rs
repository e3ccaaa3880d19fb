//! The training of one run: start or resume, epochs, checks, final metrics. It continues from the state of an earlier
//! attempt, and can stop after any step.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use repmlp::Mode;
use repmlp::models::Model;
use repmlp::vars::Vars;
use repmlp_kernels::Uploads;
use sweep_protocol::{Environment, Event, Form, Measurement, Metric, Outcome, Sink, Split, error_chain};
use sweep_trainer::Origin;

use crate::batch::{HostBatch, TrainEpoch};
use crate::checkpoint::{self, CheckpointError, CheckpointHeader, Newest, PassedOver};
use crate::config::RunConfig;
use crate::data::{DataError, Dataset, DigestCache, Subset};
use crate::device::DeviceChoice;
use crate::error::TrainError;
use crate::evaluate::EvaluationSplit;
use crate::kept;
use crate::learner::Learner;
use crate::ledger::Ledger;
use crate::loader::Loader;
use crate::objective::Judge;
use crate::optimizer::{LoadError, Optimizer, StepPlace};
use crate::watched;

/// Increase this number by hand when a change of the trainer changes measurements.
pub const TRAINER_VERSION: u32 = 7;

/// Steps between two reads of the loss. On a GPU, every read waits for the device.
const LOG_INTERVAL: u64 = 10;

/// Folders, devices and threads of an attempt. They cannot change a result.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Device for all tensors.
    pub device: DeviceChoice,
    /// Number of threads. The caller has configured them; here they are recorded and used for loading.
    pub threads: usize,
    /// Folder with the data sets.
    pub data: Option<PathBuf>,
    /// Folder of known digests of data files.
    pub digests: Option<PathBuf>,
    /// Folder of this attempt, for checkpoints and weights.
    pub folder: PathBuf,
    /// Folders of earlier attempts, the latest first.
    pub resume_from: Vec<PathBuf>,
    /// The program and the machine, for the record.
    pub origin: Origin,
}

/// Flag that makes the attempt write a checkpoint and stop.
pub type StopFlag = AtomicBool;

/// Trains a run to its end, or until `stop` is set. Reports all events to `sink`; the outcome is the last one. On a
/// CPU, it works on a thread of candle's pool. Two runs in one process share this pool: their results are the same, but
/// their times are not meaningful.
///
/// # Errors
/// When the attempt fails. The outcome is reported to the sink too, unless the sink itself fails.
pub fn train(
    config: &RunConfig,
    seed: u64,
    resources: &Resources,
    stop: &StopFlag,
    sink: &mut dyn Sink,
) -> Result<Outcome, TrainError> {
    let mut ledger = Ledger::new(sink);
    let result = attempt(config, seed, resources, stop, &mut ledger);
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
    resources: &Resources,
    stop: &StopFlag,
    ledger: &mut Ledger<'_>,
) -> Result<Outcome, TrainError> {
    let faults = config.faults();
    if !faults.is_empty() {
        return Err(TrainError::Config(faults));
    }
    let device = resources.device.open()?;
    // Runs on a thread of the compute pool. A thread outside of the pool would have to wake the pool and wait for it at
    // each operation.
    device.with_context(|| Run::new(config, seed, resources, device.clone())?.complete(stop, ledger))
}

/// How an epoch ended.
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
    /// Seconds in which no batch was ready. They are part of `seconds`.
    waited: f64,
}

/// Results of a step that are still on the device.
struct Unread {
    loss_and_hits: Tensor,
    /// Images, or pixels that count.
    judged: usize,
}

pub(crate) struct Run<'a> {
    pub(crate) config: &'a RunConfig,
    seed: u64,
    pub(crate) resources: &'a Resources,
    pub(crate) device: Device,
    pub(crate) data: Dataset,
    /// Fingerprint of the data and of the weights that the network starts from.
    fingerprint: String,
    pub(crate) vars: Vars,
    pub(crate) learner: Learner,
    steps_per_epoch: u64,
    step: u64,
    sums: Sums,
}

impl<'a> Run<'a> {
    /// Makes a run before its first step.
    fn new(config: &'a RunConfig, seed: u64, resources: &'a Resources, device: Device) -> Result<Self, TrainError> {
        let folder = resources.data.as_deref();
        let data = match &resources.digests {
            Some(digests) => config.data.load_known(folder, seed, &DigestCache::new(digests))?,
            None => config.data.load(folder, seed)?,
        };
        let steps_per_epoch = data.count.batches(config.training.batch)?;
        watched::check_data(&config.training, &data)?;
        let vars = Vars::new(seed, DType::F32, &device);
        let model = Model::new(&config.model, config.task(), &vars.root())?;
        let fingerprint = config.begin(&data.fingerprint, &vars, resources.data.as_deref())?;
        let weights = config.training.class_weights.of(&data.train, config.task().classes, &device)?;
        let judge = Judge::new(&config.aim(), config.model.outputs(config.task()), &vars)?.weighted(weights);
        let optimizer = Optimizer::new(&config.training.optimizer, &vars)?;
        Ok(Self {
            config,
            seed,
            resources,
            device,
            data,
            fingerprint,
            vars,
            learner: Learner { model, judge, optimizer, factors: config.training.precision.factors(), seed },
            steps_per_epoch,
            step: 0,
            sums: Sums::default(),
        })
    }

    /// Resumes the run and trains it to its end, or until `stop` is set.
    fn complete(mut self, stop: &StopFlag, ledger: &mut Ledger<'_>) -> Result<Outcome, TrainError> {
        let inherited = self.resume(ledger)?;
        self.start(ledger)?;
        ledger.inherit(inherited)?;
        while self.step < self.steps() && !self.is_stopped_early(ledger) {
            if self.train_epoch(stop, ledger)? == Pace::Stopped {
                return Ok(Outcome::Stopped);
            }
        }
        self.finish(ledger)
    }

    /// Whether the patience of early stopping is over. Like the rest of a run's state, it follows from the measurements
    /// of its checkpoint.
    fn is_stopped_early(&self, ledger: &Ledger<'_>) -> bool {
        // Within an epoch, the answer is that of the epoch before.
        self.step.is_multiple_of(self.steps_per_epoch)
            && self.config.training.stop_early.as_ref().is_some_and(|stop| stop.is_over(ledger.so_far()))
    }

    /// Returns the number of epochs that are done.
    pub(crate) fn epochs_done(&self) -> u32 {
        (self.step / self.steps_per_epoch) as u32
    }

    fn steps(&self) -> u64 {
        self.steps_per_epoch * u64::from(self.config.training.epochs)
    }

    fn start(&self, ledger: &mut Ledger<'_>) -> Result<(), TrainError> {
        let environment = Environment {
            trainer_version: TRAINER_VERSION,
            code: self.resources.origin.code.clone(),
            device: self.resources.device.decide().to_string(),
            arithmetic: Some(self.resources.device.arithmetic()),
            processor: self.resources.origin.processor.clone(),
            threads: self.resources.threads,
            host: self.resources.origin.host.clone(),
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

    /// Resumes from the newest intact checkpoint of earlier attempts. Returns the measurements up to that checkpoint.
    fn resume(&mut self, ledger: &mut Ledger<'_>) -> Result<Vec<Measurement>, TrainError> {
        let folders = &self.resources.resume_from;
        let misses = |header: &CheckpointHeader| {
            let best = self.config.training.keep.as_ref()?.best(&header.measured)?;
            kept::load(folders, best).is_none().then(|| format!("the weights of epoch {best}, the best so far"))
        };
        let Newest { found, passed_over } = checkpoint::newest(folders, &self.resources.device.arithmetic(), misses);
        let next = if found.is_some() {
            "the run continues from an earlier checkpoint"
        } else {
            "the run starts from the beginning"
        };
        for PassedOver { path, why } in passed_over {
            ledger.say(Event::Noticed { text: format!("{} {why}; {next}", path.display()) })?;
        }
        let Some(found) = found else { return Ok(Vec::new()) };
        let foreign = |reason: String| CheckpointError::Foreign { path: found.path.clone(), reason };
        if found.header.data_fingerprint != self.fingerprint {
            let reason =
                format!("it belongs to {}, but this run uses {}", found.header.data_fingerprint, self.fingerprint);
            return Err(foreign(reason).into());
        }
        self.vars.load(&found.tensors)?;
        self.learner.optimizer.load(&found.tensors).map_err(|fault| match fault {
            LoadError::Missing(_) | LoadError::Shape(_) => foreign(fault.to_string()).into(),
            LoadError::Candle(fault) => TrainError::from(fault),
        })?;
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
            arithmetic: Some(self.resources.device.arithmetic()),
            sums: [loss, correct, judged, seconds, waited].map(f64::to_bits),
            measured: ledger.so_far().to_vec(),
        };
        let mut tensors = self.weights();
        tensors.extend(self.learner.optimizer.state()?);
        let file = checkpoint::save(&self.resources.folder, &header, &tensors)?;
        ledger.say(Event::Checkpointed { step: self.step, file })?;
        checkpoint::prune(&self.resources.folder)?;
        Ok(())
    }

    /// Trains the rest of the current epoch, evaluates and writes a checkpoint.
    fn train_epoch(&mut self, stop: &StopFlag, ledger: &mut Ledger<'_>) -> Result<Pace, TrainError> {
        let epoch = self.step / self.steps_per_epoch;
        let mut batches = self.batches(epoch)?;
        let mut unread = Vec::new();
        let mut uploads = Uploads::to(&self.device);
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
            let batch = batch.through(&mut uploads)?;
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

    /// Starts to load the remaining batches of an epoch in the background.
    fn batches(&self, epoch: u64) -> Result<Loader<HostBatch>, DataError> {
        let images = TrainEpoch::new(&self.data, self.config.training.batch, (self.seed, epoch));
        let left = (self.step % self.steps_per_epoch) as usize..self.steps_per_epoch as usize;
        Loader::new(left, self.resources.threads, move |index| images.batch(index))
    }

    /// Returns the position of the next step.
    fn place(&self) -> StepPlace {
        let share = self.config.training.schedule.share(self.step, self.steps(), self.steps_per_epoch);
        StepPlace { number: self.step + 1, learning_rate_share: share }
    }

    /// Reads the losses from the device and checks that they are finite.
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
        let epoch = self.epochs_done();
        ledger.say(Event::Progressed { epoch, step: self.step, loss: latest })?;
        Ok(())
    }

    fn end_epoch(&mut self, ledger: &mut Ledger<'_>) -> Result<(), TrainError> {
        let epoch = Some(self.epochs_done());
        let form = Some(Form::Training);
        let mut measurements = Vec::new();
        let mut add = |metric, split, value| measurements.push(Measurement { metric, split, form, epoch, value });
        let Sums { loss, correct, judged, seconds, waited } = self.sums;
        add(Metric::Loss, Some(Split::Train), loss / self.steps_per_epoch as f64);
        // All pixels of the training crops may be ignored.
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
                let evaluation = self.learner.judge.evaluate(self.split(subset), |x| self.evaluated(x))?;
                for (metric, value) in evaluation.values {
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
        self.keep_weights(ledger)?;
        self.save_checkpoint(ledger)
    }

    /// Keeps the weights of the epoch that just ended, if the configuration asks for them. This comes before the
    /// checkpoint: a checkpoint needs the weights of the best epoch.
    fn keep_weights(&self, ledger: &Ledger<'_>) -> Result<(), TrainError> {
        let Some(keep) = &self.config.training.keep else { return Ok(()) };
        let (epoch, measured) = (self.epochs_done(), ledger.so_far());
        if keep.wants(epoch, measured) {
            ledger.may_write()?;
            kept::save(&self.resources.folder, epoch, &self.weights())?;
            kept::prune(&self.resources.folder, keep, (epoch, measured))?;
        }
        Ok(())
    }

    pub(crate) fn evaluated(&self, images_nchw: &Tensor) -> candle_core::Result<Tensor> {
        Ok(self.learner.model.forward(images_nchw, Mode::Evaluate)?.detach())
    }

    pub(crate) fn split<'s>(&'s self, subset: &'s Subset) -> EvaluationSplit<'s> {
        let threads = self.resources.threads;
        EvaluationSplit { subset, preparation: &self.data.preparation, device: &self.device, threads }
    }
}
