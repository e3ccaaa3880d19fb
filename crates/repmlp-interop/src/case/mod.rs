//! Parity cases: computations with their results from PyTorch. A case is described in JSON and has a safetensors file
//! with its results.
//!
//! A case is defined by its structure alone; its id and notes are for people. Reading a case checks everything that can
//! be checked without computing.

mod attention;
mod by_stage;
mod schedule;
mod structure;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use repmlp::blocks::{GlobalPerceptronConfig, PaddingConfig, PartitionPerceptronConfig, RepMlpConfig, RepMlpShape};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use attention::{AttentionCase, AttentionKind};
pub(crate) use schedule::Schedule;
pub(crate) use structure::{ModelKeys, Structure, batch_norm};

use crate::error::InteropError;

/// Shapes of tensors by name, both as in PyTorch.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// A computation with its results from PyTorch.
pub struct ParityCase {
    id: String,
    file: PathBuf,
    pub(crate) kind: CaseKind,
    pub(crate) expected: BTreeMap<String, Tensor>,
}

/// Kind of computation.
pub(crate) enum CaseKind {
    /// A RepMLP block: passes in eval and training mode, running statistics, gradients, merged layers.
    RepMlpBlock(RepMlpBlockCase),
    /// An attention block: passes in eval and training mode, gradients.
    Attention(AttentionCase),
    /// A whole network: logits in both forms.
    Model(Box<ModelCase>),
    /// Steps of stochastic gradient descent.
    Training(Box<TrainingCase>),
}

/// A RepMLP block with C input and O output channels on an H×W map.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RepMlpBlockCase {
    #[serde(rename = "C")]
    pub(crate) inputs: usize,
    #[serde(rename = "O")]
    pub(crate) outputs: usize,
    #[serde(rename = "H")]
    pub(crate) map_height: usize,
    #[serde(rename = "W")]
    pub(crate) map_width: usize,
    #[serde(rename = "h")]
    pub(crate) partition_height: usize,
    #[serde(rename = "w")]
    pub(crate) partition_width: usize,
    #[serde(default = "one")]
    pub(crate) global_reduction: usize,
    pub(crate) groups: usize,
    /// Both `null` and `[]` mean no local branches.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(crate) kernels: Option<Vec<usize>>,
    pub(crate) input: [usize; 4],
    #[serde(default = "unit")]
    pub(crate) weight_gain: f64,
    pub(crate) bn_eps: Option<f64>,
    pub(crate) bn_momentum: Option<f64>,
    pub(crate) params: Option<Shapes>,
}

/// A whole network in eval mode.
pub(crate) struct ModelCase {
    pub(crate) input: [usize; 4],
    pub(crate) weight_gain: f64,
    pub(crate) keys: ModelKeys,
    pub(crate) structure: Structure,
    pub(crate) parameter_count: Option<usize>,
    /// Content of the file `names_file`, if the case has this key.
    pub(crate) names: Option<Shapes>,
}

#[derive(Deserialize)]
struct ModelCaseKeys {
    input: [usize; 4],
    #[serde(default = "unit")]
    weight_gain: f64,
    model: ModelKeys,
    parameter_count: Option<usize>,
    names_file: Option<PathBuf>,
}

/// Steps of stochastic gradient descent on a network.
pub(crate) struct TrainingCase {
    pub(crate) keys: TrainingKeys,
    pub(crate) structure: Structure,
    pub(crate) schedule: Schedule,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TrainingKeys {
    pub(crate) steps: usize,
    pub(crate) batch: usize,
    pub(crate) lr: f64,
    schedule: String,
    pub(crate) momentum: f64,
    #[serde(default)]
    pub(crate) nesterov: bool,
    pub(crate) weight_decay: f64,
    decay_on: Option<String>,
    #[serde(default = "unit")]
    pub(crate) weight_gain: f64,
    pub(crate) model: ModelKeys,
    pub(crate) params: Option<Shapes>,
    losses: Option<Vec<f64>>,
}

fn one() -> usize {
    1
}

pub(crate) fn unit() -> f64 {
    1.0
}

/// A fault at a key of a case.
#[derive(Debug)]
pub(crate) struct KeyFault {
    key: String,
    message: String,
}

impl KeyFault {
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

impl ParityCase {
    /// Id of the case in its file.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Turns a fault of this case into an error.
    pub(crate) fn fault(&self, fault: KeyFault) -> InteropError {
        let KeyFault { key, message } = fault;
        InteropError::Case { file: self.file.clone(), case: self.id.clone(), key, message }
    }

    /// Returns an expected tensor.
    pub(crate) fn expected(&self, name: &str) -> Result<&Tensor, InteropError> {
        let fault = || self.fault(KeyFault::new("file", format!("this file has no tensor `{name}`")));
        self.expected.get(name).ok_or_else(fault)
    }

    fn read(file: &Path, value: &Value) -> Result<Self, InteropError> {
        let id = id_of(value);
        let fault = |fault: KeyFault| {
            let KeyFault { key, message } = fault;
            InteropError::Case { file: file.to_owned(), case: id.clone(), key, message }
        };
        let kind: String = typed(value.get("kind").unwrap_or(&Value::Null)).map_err(|f| fault(f.below("kind")))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let kind = match kind.as_str() {
            "rep_mlp_block" => CaseKind::RepMlpBlock(RepMlpBlockCase::read(value).map_err(fault)?),
            "attention" => CaseKind::Attention(AttentionCase::read(value).map_err(fault)?),
            "model" => CaseKind::Model(Box::new(ModelCase::read(value, folder, &fault)?)),
            "training" => CaseKind::Training(Box::new(TrainingCase::read(value).map_err(fault)?)),
            other => {
                let message = format!("`{other}` is unknown; use rep_mlp_block, attention, model or training");
                return Err(fault(KeyFault::new("kind", message)));
            }
        };
        let tensors: PathBuf = typed(value.get("file").unwrap_or(&Value::Null)).map_err(|f| fault(f.below("file")))?;
        let mut case = Self { id: id.clone(), file: file.to_owned(), kind, expected: load(&folder.join(tensors))? };
        case.complete()?;
        Ok(case)
    }

    /// Checks that the case has all results that its kind needs.
    fn complete(&mut self) -> Result<(), InteropError> {
        if let CaseKind::Training(case) = &self.kind
            && let Some(losses) = case.keys.losses.clone()
        {
            let count = losses.len();
            self.expected.insert("losses".to_owned(), Tensor::from_vec(losses, count, &Device::Cpu)?);
        }
        let needed: &[&str] = match &self.kind {
            CaseKind::RepMlpBlock(_) | CaseKind::Attention(_) => &["out_eval", "out_train"],
            CaseKind::Model(_) => &["logits"],
            CaseKind::Training(_) => &["losses", "logits_after"],
        };
        for name in needed {
            self.expected(name)?;
        }
        if let CaseKind::Training(case) = &self.kind
            && self.expected("losses")?.elem_count() != case.keys.steps
        {
            return Err(self.fault(KeyFault::new("losses", "must have one value per step (`steps`)")));
        }
        Ok(())
    }
}

impl RepMlpBlockCase {
    /// Returns the configuration and sizes of the block. Kernels may be larger than a partition, which our networks do
    /// not allow.
    pub(crate) fn config(&self) -> Result<(RepMlpConfig, RepMlpShape), KeyFault> {
        let Self { inputs, outputs, groups, .. } = *self;
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            return Err(KeyFault::new(
                "groups",
                format!("{groups} groups do not divide {inputs} and {outputs} channels"),
            ));
        }
        let local_kernels = self.kernels.clone().unwrap_or_default();
        if let Some(even) = local_kernels.iter().find(|kernel| kernel.is_multiple_of(2)) {
            return Err(KeyFault::new("kernels", format!("{even} is not odd")));
        }
        let config = RepMlpConfig {
            partition: [self.partition_height, self.partition_width],
            padding: PaddingConfig::None,
            groups,
            local_kernels,
            global_perceptron: GlobalPerceptronConfig::Fc { reduction: self.global_reduction.max(1) },
            partition_perceptron: PartitionPerceptronConfig::Fc {},
        };
        let map = (self.map_height, self.map_width);
        match config.shape(inputs, outputs, map) {
            Some(shape) => Ok((config, shape)),
            None => {
                Err(KeyFault::new("h", format!("partitions of {:?} do not divide the map {map:?}", config.partition)))
            }
        }
    }

    fn read(value: &Value) -> Result<Self, KeyFault> {
        let case: Self = typed(value)?;
        case.config().map(|_| case)
    }
}

impl ModelCase {
    fn read(value: &Value, folder: &Path, fault: &impl Fn(KeyFault) -> InteropError) -> Result<Self, InteropError> {
        let ModelCaseKeys { input, weight_gain, model, parameter_count, names_file } = typed(value).map_err(fault)?;
        let structure = model.structure(input[1]).map_err(fault)?;
        let names = names_file.map(|file| json(&folder.join(file))).transpose()?;
        Ok(Self { input, weight_gain, keys: model, structure, parameter_count, names })
    }
}

impl TrainingCase {
    fn read(value: &Value) -> Result<Self, KeyFault> {
        let keys: TrainingKeys = typed(value)?;
        if let Some(decay_on) = &keys.decay_on
            && decay_on != "every parameter"
        {
            let message = format!("`{decay_on}` is not supported; use `every parameter`");
            return Err(KeyFault::new("decay_on", message));
        }
        let schedule = Schedule::parse(&keys.schedule).map_err(|message| KeyFault::new("schedule", message))?;
        let structure = keys.model.structure(IMAGE_CHANNELS)?;
        Ok(Self { keys, structure, schedule })
    }
}

/// Channels of images if a case does not set them.
const IMAGE_CHANNELS: usize = 3;

impl KeyFault {
    /// Sets the key of the fault to `key`.
    fn below(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }
}

/// Converts a JSON value to the type that a key needs.
pub(crate) fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, KeyFault> {
    serde_path_to_error::deserialize(value).map_err(|fault| {
        let (at, message) = (fault.path().to_string(), fault.into_inner().to_string());
        match message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            // serde's path ends at the object that lacks the field.
            Some(field) if at == "." => KeyFault::new(field, "is missing"),
            Some(field) => KeyFault::new(format!("{at}.{field}"), "is missing"),
            None => KeyFault::new(at, message),
        }
    })
}

fn id_of(value: &Value) -> String {
    value.get("id").and_then(Value::as_str).unwrap_or("without an id").to_owned()
}

/// Maximum size of a JSON file in bytes.
const MOST_JSON: u64 = 64 << 20;

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, InteropError> {
    let fault = |source| InteropError::Io { path: path.to_owned(), doing: "read", source };
    let bytes = crate::file::read_file(path, MOST_JSON).map_err(fault)?;
    serde_json::from_slice(&bytes).map_err(|source| InteropError::Json { path: path.to_owned(), source })
}

fn load(path: &Path) -> Result<BTreeMap<String, Tensor>, InteropError> {
    crate::checkpoint::read_safetensors(path)
}

/// Reads all cases of a folder, in the order of the files and of the cases in them. With `only`, reads only the case
/// with this id.
///
/// Cases are in `*.json` files that contain a list. Other JSON files, such as lists of names, are ignored.
///
/// # Errors
/// When the folder or a file cannot be read, there is no such case, or cases have faults. All faults are reported
/// together.
pub fn read_cases(folder: &Path, only: Option<&str>) -> Result<Vec<ParityCase>, InteropError> {
    let (cases, fault) = read_whole_cases(folder, only)?;
    fault.map_or(Ok(cases), Err)
}

/// Like [`read_cases`], but also returns the cases without faults if others have faults. The second value contains all
/// faults, if there are any.
///
/// # Errors
/// When the folder cannot be read or there is no such case.
pub fn read_whole_cases(
    folder: &Path,
    only: Option<&str>,
) -> Result<(Vec<ParityCase>, Option<InteropError>), InteropError> {
    let fault = |source| InteropError::Io { path: folder.to_owned(), doing: "read", source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.extension().is_some_and(|kind| kind == "json") {
            files.push(path);
        }
    }
    files.sort();
    let (mut ids, mut cases, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match json(&file) {
            Ok(Value::Array(values)) => {
                ids.extend(values.iter().map(id_of));
                let wanted = values.iter().filter(|value| only.is_none_or(|id| id_of(value) == id));
                for read in wanted.map(|value| ParityCase::read(&file, value)) {
                    read.map_or_else(|fault| faults.push(fault), |case| cases.push(case));
                }
            }
            Ok(_) => {}
            Err(fault) => faults.push(fault),
        }
    }
    let folder = folder.to_owned();
    match (faults.len(), only) {
        (0, _) if ids.is_empty() => Err(InteropError::NoCases { path: folder }),
        (0, Some(id)) if cases.is_empty() => {
            Err(InteropError::UnknownCase { path: folder, id: id.to_owned(), known: ids.join(", ") })
        }
        (0, _) => Ok((cases, None)),
        (1, _) => Ok((cases, Some(faults.remove(0)))),
        _ => Ok((cases, Some(InteropError::Several(faults)))),
    }
}
