//! A trainer that trains nothing: it reports made-up values and ends. `bench orchestration` measures with it what a run
//! costs besides its training.
//!
//! Its runs go the whole road: a process for each attempt, synced journals, the index, the report. The table
//! `trainer = { idle = { epochs = 1 } }` chooses it. It is not documented elsewhere, since it is of no other use.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sweep_protocol::{
    ConfigFault, Event, FailureKind, Measurement, Metric, Outcome, Sink, SinkError, Split, Tally, ThroughputRecord,
    TimingOrders,
};
use sweep_trainer::{Attempt, Cost, DataReader, Origin, Trainer, TrainerError};

const VERSION: u32 = 1;

/// Number of values of each epoch.
pub(crate) const VALUES: usize = 7;

/// Trains nothing.
pub(crate) struct IdleTrainer;

/// The part of a configuration that it reads.
#[derive(Debug, Serialize, Deserialize)]
struct Config {
    trainer: Chosen,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    idle: Idle,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Idle {
    /// Number of epochs that it reports.
    epochs: u32,
}

impl IdleTrainer {
    /// Whether a configuration chooses it.
    pub(crate) fn trains(config: &Value) -> bool {
        config.pointer("/trainer/idle").is_some()
    }
}

impl Trainer for IdleTrainer {
    fn version(&self) -> u32 {
        VERSION
    }

    fn resolve(&self, table: &Value) -> Result<String, ConfigFault> {
        let read: Result<Config, _> = Config::deserialize(table);
        let fault = |fault: serde_json::Error| ConfigFault {
            path: "trainer.idle".to_owned(),
            message: fault.to_string(),
            help: Some("write `trainer = { idle = { epochs = 1 } }`".to_owned()),
        };
        read.map(|_| table.to_string()).map_err(fault)
    }

    fn costs(&self, configs: &[String]) -> Result<Vec<Cost>, TrainerError> {
        Ok(vec![Cost::default(); configs.len()])
    }

    fn flops_per_s(&self, _config: &str) -> Result<Option<f64>, TrainerError> {
        Ok(None)
    }

    fn device(&self, name: &str) -> Result<String, TrainerError> {
        Ok(name.to_owned())
    }

    fn data<'a>(&'a self, _folder: Option<&'a Path>, _digests: &Path) -> Box<dyn DataReader + 'a> {
        Box::new(NoData)
    }

    fn train(&self, attempt: &Attempt<'_>, sink: &mut dyn Sink) -> Result<(), TrainerError> {
        let config: Config =
            serde_json::from_str(&attempt.run.config).map_err(|fault| TrainerError::new(FailureKind::Config, fault))?;
        report(config.trainer.idle.epochs, attempt, sink).map_err(|fault| TrainerError::new(FailureKind::Io, fault))
    }

    fn time(
        &self,
        _orders: &TimingOrders,
        _origin: &Origin,
        _stop: &AtomicBool,
    ) -> Result<Option<ThroughputRecord>, TrainerError> {
        Err(TrainerError::new(FailureKind::Config, "there is no network to time"))
    }
}

/// Reports the values of all epochs.
fn report(epochs: u32, attempt: &Attempt<'_>, sink: &mut dyn Sink) -> Result<(), SinkError> {
    let environment = attempt.environment(VERSION, NO_DATA);
    sink.emit(Event::Started { environment, epochs, steps_per_epoch: 1, resumed_at_step: 0 })?;
    let mut tally = Tally::default();
    let mut outcome = Outcome::Succeeded;
    for epoch in 1..=epochs {
        if attempt.stop.load(Ordering::Relaxed) {
            outcome = Outcome::Stopped;
            break;
        }
        let measurements = values(epoch, attempt.run.seed).to_vec();
        measurements.iter().for_each(|measurement| tally.add(measurement));
        sink.emit(Event::Measured { measurements })?;
    }
    sink.emit(Event::Ended { outcome, measured: Some(tally) })
}

/// Returns made-up values of an epoch. They have as many digits as measured ones.
fn values(epoch: u32, seed: u64) -> [Measurement; VALUES] {
    let noise = (seed as f64 * 0.37).sin() * 0.01;
    let value = |metric, split, value| Measurement { metric, split, form: None, epoch: Some(epoch), value };
    let x = f64::from(epoch);
    [
        value(Metric::Loss, Some(Split::Train), 2.0 / x + noise),
        value(Metric::Accuracy, Some(Split::Train), 0.5 + noise / x),
        value(Metric::TrainTime, None, 0.25 + noise),
        value(Metric::DataWait, None, 0.01 + noise * noise),
        value(Metric::LearningRate, None, 0.01 / x),
        value(Metric::Loss, Some(Split::Test), 2.5 / x + noise),
        value(Metric::Accuracy, Some(Split::Test), 0.45 + noise / x),
    ]
}

const NO_DATA: &str = "no data";

struct NoData;

impl DataReader for NoData {
    fn is_carried(&self, _config: &str) -> Result<bool, TrainerError> {
        Ok(true)
    }

    fn fingerprint(&mut self, _config: &str) -> Result<String, TrainerError> {
        Ok(NO_DATA.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_table_that_names_it_is_its_own() {
        assert!(IdleTrainer::trains(&json!({ "trainer": { "idle": {} } })));
        assert!(!IdleTrainer::trains(&json!({ "trainer": { "command": ["true"] } })));
        assert!(IdleTrainer.resolve(&json!({ "trainer": { "idle": { "epochs": 1 } }, "x": 2 })).is_ok());
        assert!(IdleTrainer.resolve(&json!({ "trainer": { "idle": { "epoch": 1 } } })).is_err());
    }
}
