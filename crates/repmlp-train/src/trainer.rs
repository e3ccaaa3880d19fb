//! The trainer of this crate, as a program that runs sweeps sees it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use repmlp::OwnKinds;
use serde_json::Value;
use sweep_protocol::{ConfigFault, FailureKind, Machine, Sink, ThroughputRecord, TimedNetwork, TimingOrders, now_ms};
use sweep_trainer::{Attempt, Cost, DataReader, Origin, Trainer, TrainerError};

use crate::config::RunConfig;
use crate::data_reader::CandleData;
use crate::device::DeviceChoice;
use crate::error::TrainError;
use crate::predict;
use crate::resolve::{canonical, config_schema, typed};
use crate::speed;
use crate::throughput::{self, Place, Subject, Timing};
use crate::train::{Resources, TRAINER_VERSION, train};

/// Trains networks with candle, in this process.
pub struct CandleTrainer {
    kinds: OwnKinds,
    schema: Value,
}

impl CandleTrainer {
    /// Creates the trainer. It knows the blocks and networks of [`repmlp`], and these.
    pub fn new(kinds: OwnKinds) -> Self {
        Self { schema: config_schema(&kinds), kinds }
    }

    /// Returns the kinds of blocks and networks that it knows besides those of [`repmlp`].
    pub fn kinds(&self) -> &OwnKinds {
        &self.kinds
    }

    /// Returns the JSON Schema (draft 07) of its configurations.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Returns the typed form of a canonical configuration.
    ///
    /// # Errors
    /// When the text is not a configuration.
    pub fn config(&self, canonical: &str) -> Result<RunConfig, TrainerError> {
        let unreadable = |fault: String| {
            TrainerError::new(FailureKind::Config, format!("a canonical configuration cannot be read back: {fault}"))
        };
        let mut config: RunConfig = serde_json::from_str(canonical).map_err(|fault| unreadable(fault.to_string()))?;
        config.model.bind(&self.kinds).map_err(|fault| unreadable(fault.to_string()))?;
        Ok(config)
    }
}

impl Trainer for CandleTrainer {
    fn version(&self) -> u32 {
        TRAINER_VERSION
    }

    fn resolve(&self, table: &Value) -> Result<String, ConfigFault> {
        canonical(&typed(table, &self.schema, &self.kinds)?)
    }

    fn costs(&self, configs: &[String]) -> Result<Vec<Cost>, TrainerError> {
        predict::costs(configs.iter().map(|config| self.config(config)))
    }

    fn flops_per_s(&self, config: &str) -> Result<Option<f64>, TrainerError> {
        let config = self.config(config)?;
        Ok(Device::Cpu.with_context(|| speed::flops_per_s(&config)).map_err(TrainError::from)?)
    }

    fn device(&self, name: &str) -> Result<String, TrainerError> {
        let device: DeviceChoice = name.parse().map_err(TrainError::from)?;
        device.open().map_err(TrainError::from)?;
        Ok(device.decide().to_string())
    }

    fn data<'a>(&'a self, folder: Option<&'a Path>, digests: &Path) -> Box<dyn DataReader + 'a> {
        Box::new(CandleData::new(self, folder, digests))
    }

    fn train(&self, attempt: &Attempt<'_>, sink: &mut dyn Sink) -> Result<(), TrainerError> {
        let Attempt { run, folder, orders, origin, stop } = attempt;
        choose_kernels(orders.kernels.as_deref())?;
        let config = self.config(&run.config)?;
        let resources = Resources {
            device: orders.device.parse().map_err(TrainError::from)?,
            threads: orders.threads,
            data: orders.data.clone(),
            digests: orders.digests.clone(),
            folder: (*folder).to_owned(),
            resume_from: orders.resume_from.clone(),
            origin: (*origin).clone(),
        };
        train(&config, run.seed, &resources, stop, sink)?;
        Ok(())
    }

    fn time(
        &self,
        orders: &TimingOrders,
        origin: &Origin,
        stop: &AtomicBool,
    ) -> Result<Option<ThroughputRecord>, TrainerError> {
        choose_kernels(orders.kernels.as_deref())?;
        let subject = |network: &TimedNetwork| {
            let TimedNetwork { id, form, config } = network;
            Ok(Subject { id: id.clone(), form: *form, config: self.config(config)? })
        };
        let subjects = orders.networks.iter().map(subject).collect::<Result<Vec<_>, TrainerError>>()?;
        let choice: DeviceChoice = orders.device.parse().map_err(TrainError::from)?;
        let device = choice.open().map_err(TrainError::from)?;
        let (data, digests) = (orders.data.as_deref(), orders.digests.as_deref());
        let place = Place { device: &device, threads: orders.threads, data, digests };
        // On a thread of the compute pool, as in a training.
        let Some(timing) = device.with_context(|| throughput::measure(&subjects, &place, stop))? else {
            return Ok(None);
        };
        let Timing { warmup_rounds, clock_mhz, networks } = timing;
        let machine = Machine {
            host: origin.host.clone(),
            processor: choice.gpu_model().or_else(|| origin.processor.clone()),
            device: orders.device.clone(),
            arithmetic: choice.arithmetic(),
            threads: orders.threads,
        };
        let (measured_at_ms, code) = (now_ms(), origin.code.clone());
        Ok(Some(ThroughputRecord { measured_at_ms, code, machine, warmup_rounds, clock_mhz, networks }))
    }
}

/// Makes the kernels use an instruction set. Without a name they keep their own choice.
fn choose_kernels(name: Option<&str>) -> Result<(), TrainerError> {
    let unknown = |fault| TrainerError::new(FailureKind::Config, fault);
    name.map_or(Ok(()), |name| repmlp_kernels::choose_instruction_set(name).map_err(unknown))
}

impl From<TrainError> for TrainerError {
    fn from(error: TrainError) -> Self {
        Self::new(error.kind(), error)
    }
}
