//! The trainer of this crate, as a program that runs sweeps sees it.

use std::path::Path;

use repmlp::OwnKinds;
use serde_json::Value;
use sweep_protocol::{ConfigFault, FailureKind, Sink};
use sweep_trainer::{Attempt, Cost, DataReader, Trainer, TrainerError};

use crate::config::RunConfig;
use crate::data_reader::CandleData;
use crate::device::DeviceChoice;
use crate::error::TrainError;
use crate::predict;
use crate::resolve::{canonical, config_schema, typed};
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
        if let Some(kernels) = &orders.kernels {
            let unknown = |fault| TrainerError::new(FailureKind::Config, fault);
            repmlp_kernels::choose_instruction_set(kernels).map_err(unknown)?;
        }
        let config = self.config(&run.config)?;
        let resources = Resources {
            device: orders.device.parse().map_err(TrainError::from)?,
            threads: orders.threads,
            data: orders.data.clone(),
            digests: orders.digests.clone(),
            folder: (*folder).to_owned(),
            resume_from: orders.resume_from.clone(),
            throughput: orders.throughput,
            origin: (*origin).clone(),
        };
        train(&config, run.seed, &resources, stop, sink)?;
        Ok(())
    }
}

impl From<TrainError> for TrainerError {
    fn from(error: TrainError) -> Self {
        Self::new(error.kind(), error)
    }
}
