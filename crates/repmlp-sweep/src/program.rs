//! The program: the trainers that it knows.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use repmlp::OwnKinds;
use repmlp_train::CandleTrainer;
use serde_json::Value;
use sweep_plan::Resolved;
use sweep_protocol::{ConfigFault, MetricRecord};
use sweep_trainer::{CommandTrainer, Cost, DataReader, REPORT_WORDS, Trainer};

use crate::idle::IdleTrainer;

/// The program as all commands see it.
pub(crate) struct Program {
    /// The built-in trainer.
    pub(crate) candle: CandleTrainer,
}

impl Program {
    /// Makes a program that knows these blocks and networks besides the built-in ones.
    pub(crate) fn new(kinds: OwnKinds) -> Self {
        Self { candle: CandleTrainer::new(kinds) }
    }

    /// Returns the trainers for the project in this folder.
    pub(crate) fn trainers(&self, project: &Path) -> Trainers<'_> {
        Trainers { candle: &self.candle, command: CommandTrainer::new(project), idle: IdleTrainer }
    }
}

/// The trainers of a project. Each configuration says which of them trains it.
pub(crate) struct Trainers<'p> {
    candle: &'p CandleTrainer,
    command: CommandTrainer,
    idle: IdleTrainer,
}

/// Which trainer trains a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The built-in trainer.
    Candle,
    /// A command of the user's.
    Command,
    /// The trainer of `bench orchestration`.
    Idle,
}

impl Kind {
    fn of(config: &Value) -> Self {
        match CommandTrainer::trains(config) {
            true if IdleTrainer::trains(config) => Self::Idle,
            true => Self::Command,
            false => Self::Candle,
        }
    }

    /// Returns the kind of a canonical configuration.
    fn of_canonical(config: &str) -> Self {
        // A quick look first, since there may be thousands of configurations. A canonical one has no spaces.
        match config.contains("\"trainer\":{").then(|| serde_json::from_str(config)) {
            Some(Ok(config)) => Self::of(&config),
            _ => Self::Candle,
        }
    }
}

/// The key of a base file that declares metrics.
const METRIC_KEY: &str = "metric";

impl<'p> Trainers<'p> {
    /// Whether a canonical configuration is trained by a command, or by the trainer of `bench orchestration`. This
    /// program cannot predict what such a run costs.
    pub(crate) fn is_command(config: &str) -> bool {
        Kind::of_canonical(config) != Kind::Candle
    }

    /// Returns the digests of the files that the command of a canonical configuration depends on, by their paths in the
    /// project; empty for other trainers.
    pub(crate) fn code(config: &str) -> BTreeMap<String, String> {
        if Kind::of_canonical(config) == Kind::Command { CommandTrainer::code(config) } else { BTreeMap::new() }
    }

    /// Returns the trainer of a canonical configuration.
    pub(crate) fn of(&self, config: &str) -> &dyn Trainer {
        self.of_kind(Kind::of_canonical(config))
    }

    fn of_kind(&self, kind: Kind) -> &dyn Trainer {
        match kind {
            Kind::Candle => self.candle,
            Kind::Command => &self.command,
            Kind::Idle => &self.idle,
        }
    }

    /// Resolves a table for a plan: checks it and returns its canonical form.
    pub(crate) fn resolve(&self, table: &Value) -> Result<Resolved, ConfigFault> {
        let mut table = table.clone();
        let declared = table.as_object_mut().and_then(|table| table.remove(METRIC_KEY));
        let metrics = declared.map_or_else(|| Ok(Vec::new()), |declared| metrics(&declared))?;
        Ok(Resolved { canonical: self.of_kind(Kind::of(&table)).resolve(&table)?, metrics })
    }

    /// Predicts the cost of each configuration.
    pub(crate) fn costs(&self, configs: &[String]) -> Result<Vec<Cost>> {
        let mut costs = Vec::with_capacity(configs.len());
        for same in configs.chunk_by(|a, b| Kind::of_canonical(a) == Kind::of_canonical(b)) {
            costs.extend(self.of(&same[0]).costs(same)?);
        }
        Ok(costs)
    }

    /// Returns a trainer that knows the devices of all configurations: that of this program if it trains one of them.
    pub(crate) fn of_devices(&self, configs: &[String]) -> &dyn Trainer {
        let trains_all = !configs.is_empty() && configs.iter().all(|config| Self::is_command(config));
        if trains_all { &self.command } else { self.candle }
    }

    /// Returns readers of the data of all configurations. `digests` is the folder of known digests.
    pub(crate) fn data<'a>(&'a self, folder: Option<&'a Path>, digests: &Path) -> Readers<'a> {
        Readers {
            candle: self.candle.data(folder, digests),
            command: self.command.data(folder, digests),
            idle: self.idle.data(folder, digests),
        }
    }
}

/// Reads the declarations of metrics: `[metric.latency]` with `unit` and `better`.
fn metrics(declared: &Value) -> Result<Vec<MetricRecord>, ConfigFault> {
    let fault = |path: String, message: String| ConfigFault { path, message, help: None };
    let Some(declared) = declared.as_object() else {
        let message = "a table of metrics is expected, such as [metric.latency]".to_owned();
        return Err(fault(METRIC_KEY.to_owned(), message));
    };
    let metric = |(name, keys): (&String, &Value)| {
        let path = format!("{METRIC_KEY}.{name}");
        let mut keys = keys.as_object().cloned().unwrap_or_default();
        keys.insert("name".to_owned(), name.as_str().into());
        let record: MetricRecord = serde_json::from_value(Value::Object(keys))
            .map_err(|wrong| fault(path.clone(), format!("{wrong}; write `unit = \"ms\"` and `better = \"lower\"`")))?;
        if REPORT_WORDS.contains(&name.as_str()) {
            let message =
                format!("`{name}` is a word of the lines that commands report, so no metric can have this name");
            return Err(fault(path, message));
        }
        record.metric().map_err(|wrong| fault(path, format!("`{name}` {wrong}")))?;
        Ok(record)
    };
    declared.iter().map(metric).collect()
}

/// A reader of data for each trainer.
pub(crate) struct Readers<'a> {
    candle: Box<dyn DataReader + 'a>,
    command: Box<dyn DataReader + 'a>,
    idle: Box<dyn DataReader + 'a>,
}

impl<'a> Readers<'a> {
    /// Writes the digests that were computed, for attempts and for the next call.
    pub(crate) fn keep_digests(&self) {
        self.candle.keep_digests();
    }

    /// Returns the reader of a configuration.
    pub(crate) fn of(&mut self, config: &str) -> &mut (dyn DataReader + 'a) {
        match Kind::of_canonical(config) {
            Kind::Candle => &mut *self.candle,
            Kind::Command => &mut *self.command,
            Kind::Idle => &mut *self.idle,
        }
    }
}
