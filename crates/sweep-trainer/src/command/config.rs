//! The table `[trainer]` of a base file.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sweep_protocol::{ConfigFault, read_text_file};

use super::{TRAINER_KEY, code};

/// A command that trains each run. It runs in the project folder: the folder that contains `experiments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The program and its arguments: `["python3", "train.py"]`.
    pub command: Vec<String>,
    /// Files that decide what the command computes, as paths and patterns: `["train.py", "model/*.py"]`. If one of them
    /// changes, the runs are new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub code: Vec<String>,
    /// A JSON Schema file of the other keys of the configuration. Without it, they are free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// The command of a planned run: what its identity contains. How the files of the code were named, and the schema of
/// the keys, do not change what it computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedCommand {
    pub(super) command: Vec<String>,
    /// Digest of each file of the code, by its path relative to the project.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) digests: BTreeMap<String, String>,
}

impl CommandConfig {
    pub(super) fn read(table: &Value) -> Result<Self, ConfigFault> {
        let at = |path: &str| match path {
            "." | "" => TRAINER_KEY.to_owned(),
            path => format!("{TRAINER_KEY}.{path}"),
        };
        let config: Self = serde_path_to_error::deserialize(table)
            .map_err(|fault| fault_at(&at(&fault.path().to_string()), worded(&fault.inner().to_string())))?;
        match config.command.first() {
            None => Err(fault_at("trainer.command", "is empty: name a program".to_owned())),
            Some(program) if program.is_empty() => {
                Err(fault_at("trainer.command", "the program has no name".to_owned()))
            }
            Some(_) => Ok(config),
        }
    }

    /// Reads the schema of the free keys, if the table names one.
    pub(super) fn schema(&self, project: &Path) -> Result<Option<Value>, ConfigFault> {
        let Some(file) = &self.schema else { return Ok(None) };
        let path = project.join(file);
        let told = |what: String| fault_at("trainer.schema", format!("{}: {what}", path.display()));
        let text = read_text_file(&path).map_err(|fault| told(format!("cannot be read: {fault}")))?;
        serde_json::from_str(&text).map(Some).map_err(|fault| told(format!("is not JSON: {fault}")))
    }

    /// Returns the command with the digests of its code as it is now.
    pub(super) fn planned(self, project: &Path) -> Result<PlannedCommand, ConfigFault> {
        let digests = code::digests(project, &self.code).map_err(|fault| fault_at("trainer.code", fault))?;
        Ok(PlannedCommand { command: self.command, digests })
    }
}

/// Says what a list looks like where serde says only that it expected one.
fn worded(message: &str) -> String {
    match message.contains("expected a sequence") {
        true => "a list of texts is expected, such as [\"python3\", \"train.py\"]".to_owned(),
        false => message.to_owned(),
    }
}

fn fault_at(path: &str, message: String) -> ConfigFault {
    ConfigFault { path: path.to_owned(), message, help: None }
}
