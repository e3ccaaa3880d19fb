//! A trainer that is a command of the user's, in any language. It is told what to do by environment variables, and it
//! reports by JSON lines.
//!
//! ```text
//! [trainer] table --config--> CommandConfig --child--> process --speech--> Event --> Sink
//! ```

mod attempt;
mod child;
mod code;
mod config;
mod inherited;
mod schema;
mod speech;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value};
use sweep_protocol::{ConfigFault, FailureKind, Sink, ThroughputRecord, TimingOrders};

use config::PlannedCommand;

pub use config::CommandConfig;
pub use speech::REPORT_WORDS;

use crate::port::{Attempt, Cost, DataReader, Origin, Trainer, TrainerError};

/// The key of a configuration that names a command.
pub(crate) const TRAINER_KEY: &str = "trainer";

/// File of an attempt's folder with the free keys of its configuration.
pub const CONFIG_FILE: &str = "config.json";

/// Version of the contract with commands. It is raised when a change alters what commands measure.
const VERSION: u32 = 1;

/// Trains by commands.
#[derive(Clone, Debug)]
pub struct CommandTrainer {
    project: PathBuf,
}

impl CommandTrainer {
    /// Creates the trainer of a project. Commands run in this folder, and their files are named relative to it.
    pub fn new(project: impl Into<PathBuf>) -> Self {
        Self { project: project.into() }
    }

    /// Whether a configuration is trained by a command.
    pub fn trains(config: &Value) -> bool {
        config.get(TRAINER_KEY).is_some()
    }

    /// Returns the digests of the files that a configuration's command depends on, by their paths in the project; empty
    /// for a configuration that is not of a command.
    pub fn code(config: &str) -> BTreeMap<String, String> {
        canonical_parts(config).map(|(command, _)| command.digests).unwrap_or_default()
    }

    /// Returns the patterns of the files that a table's command depends on.
    pub fn patterns(table: &Value) -> Vec<String> {
        let code = table.get(TRAINER_KEY).and_then(|trainer| trainer.get("code")).and_then(Value::as_array);
        code.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Returns the files that were edited, removed or added since the digests of all files that match these patterns
    /// were taken.
    pub fn edited(&self, digests: &BTreeMap<String, String>, patterns: &BTreeSet<String>) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().cloned().collect();
        // A pattern that matches no file any more has lost those that it matched.
        let known = || code::digests_of(&self.project, digests.keys());
        let now = code::digests(&self.project, &patterns).unwrap_or_else(|_| known());
        code::changed(digests, &now).into_iter().map(str::to_owned).collect()
    }
}

/// Splits a configuration into the command and the free keys.
fn split(table: &Value) -> Result<(CommandConfig, Map<String, Value>), ConfigFault> {
    let mut free = table.as_object().cloned().unwrap_or_default();
    let trainer = free.remove(TRAINER_KEY).unwrap_or_default();
    Ok((CommandConfig::read(&trainer)?, free))
}

/// Splits a canonical configuration into the command and the free keys.
fn canonical_parts(config: &str) -> Result<(PlannedCommand, Map<String, Value>), TrainerError> {
    let unreadable = |fault: serde_json::Error| {
        TrainerError::new(FailureKind::Config, format!("a configuration cannot be read back: {fault}"))
    };
    let mut free: Map<String, Value> = serde_json::from_str(config).map_err(unreadable)?;
    let command = serde_json::from_value(free.remove(TRAINER_KEY).unwrap_or_default()).map_err(unreadable)?;
    Ok((command, free))
}

impl Trainer for CommandTrainer {
    fn version(&self) -> u32 {
        VERSION
    }

    /// The canonical form holds the digests of the files that `code` names. So a changed script is a new run.
    fn resolve(&self, table: &Value) -> Result<String, ConfigFault> {
        let (command, free) = split(table)?;
        if let Some(schema) = command.schema(&self.project)? {
            schema::check(&schema, &free)?;
        }
        let mut all = free;
        let trainer = serde_json::to_value(command.planned(&self.project)?).unwrap_or_default();
        all.insert(TRAINER_KEY.to_owned(), trainer);
        Ok(Value::Object(all).to_string())
    }

    fn costs(&self, configs: &[String]) -> Result<Vec<Cost>, TrainerError> {
        Ok(vec![Cost::default(); configs.len()])
    }

    fn flops_per_s(&self, _config: &str) -> Result<Option<f64>, TrainerError> {
        Ok(None)
    }

    fn device(&self, name: &str) -> Result<String, TrainerError> {
        let is_cuda = name == "cuda" || name.strip_prefix("cuda:").is_some_and(|number| number.parse::<u32>().is_ok());
        match name {
            "auto" if Path::new("/dev/nvidia0").exists() => Ok("cuda:0".to_owned()),
            "auto" | "cpu" => Ok("cpu".to_owned()),
            name if is_cuda => Ok(name.to_owned()),
            name => {
                let message = format!("`{name}` is not a device: use auto, cpu or cuda:N");
                Err(TrainerError::new(FailureKind::Config, message))
            }
        }
    }

    fn data<'a>(&'a self, _folder: Option<&'a Path>, _digests: &Path) -> Box<dyn DataReader + 'a> {
        Box::new(UnreadData)
    }

    fn train(&self, attempt: &Attempt<'_>, sink: &mut dyn Sink) -> Result<(), TrainerError> {
        attempt::carry_out(&self.project, attempt, sink)
    }

    fn time(
        &self,
        _orders: &TimingOrders,
        _origin: &Origin,
        _stop: &AtomicBool,
    ) -> Result<Option<ThroughputRecord>, TrainerError> {
        Err(TrainerError::new(FailureKind::Config, "only a command itself knows its network and can time it"))
    }
}

/// The data of a command. Only the command knows it.
struct UnreadData;

/// The data fingerprint of runs that a command trains.
pub(crate) const UNREAD: &str = "not known: the command reads its data itself";

impl DataReader for UnreadData {
    fn is_carried(&self, _config: &str) -> Result<bool, TrainerError> {
        Ok(true)
    }

    fn fingerprint(&mut self, _config: &str) -> Result<String, TrainerError> {
        Ok(UNREAD.to_owned())
    }
}
