//! Weights of another training that a network starts from. The paper's segmentation networks start from ImageNet
//! weights (section 4.4).
//!
//! This module knows a file and a network, not the run or program that wrote the file.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use repmlp::ConfigFault;
use repmlp::models::{ModelConfig, Task};
use repmlp::vars::Vars;
use repmlp_interop::{Import, InteropError, StoredForm, listed, open_file, read_checkpoint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Weights that a network starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartConfig {
    /// File below the data folder, with weights of the training form: `.safetensors`, or `.pth` and `.pt` of PyTorch
    /// 1.6 or later. The tensor names can be ours, the official ones or those of torchvision. Tensors that the network
    /// does not have are ignored. The class weights of a loss on people (`head`) always start from the seed, since they
    /// belong to one data set.
    pub weights: String,
    /// Parts that start from the seed instead, given by words of their tensor names: `ppm`, `fc1_fc2`, `stage4.0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fresh: Vec<String>,
    /// Expected digest of the file: the 12 digits that `repmlp-sweep show RUN` prints after its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A network cannot start from the given weights.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No data folder was given.
    #[error("start.weights = `{weights}` needs a data folder: give --data DIR or set REPMLP_SWEEP_DATA")]
    NoFolder {
        /// Name of the file.
        weights: String,
    },
    /// The file cannot be read.
    #[error("{} (start.weights) cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Cause of the failure.
        source: std::io::Error,
    },
    /// The file has no tensors.
    #[error(transparent)]
    Tensors(#[from] InteropError),
    /// The file is not the configured one.
    #[error(
        "{} has the fingerprint {found}, but the configuration expects {expected}: these are other weights",
        .path.display()
    )]
    Fingerprint {
        /// The file.
        path: PathBuf,
        /// The configured fingerprint.
        expected: String,
        /// Fingerprint of the file.
        found: String,
    },
    /// The weights are merged, so they cannot be trained.
    #[error(
        "{} has no running statistics: it is a merged network, which cannot be trained, or not a known network. Export \
         the training form", .path.display()
    )]
    Merged {
        /// The file.
        path: PathBuf,
    },
    /// The file lacks tensors of the network.
    #[error(
        "{} has no weights that fit {}: correct the file, or name the parts that start from the seed in start.fresh",
        .path.display(), listed(.names)
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// Names of the network's tensors.
        names: Vec<String>,
    },
    /// `start.fresh` names every part of the network.
    #[error("no weights of {} are used: start.fresh names every part of the network", .path.display())]
    AllFresh {
        /// The file.
        path: PathBuf,
    },
    /// No tensor name contains these words.
    #[error("no tensor of the network has {} in its name (start.fresh)", listed(.words))]
    Unused {
        /// The words.
        words: Vec<String>,
    },
    /// A tensor operation failed.
    #[error("tensor operation")]
    Tensor(#[from] candle_core::Error),
}

impl StartConfig {
    pub(crate) fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let inside = Path::new(&self.weights).components().all(|part| matches!(part, Component::Normal(_)));
        if self.weights.is_empty() || !inside {
            faults.push(ConfigFault::new("start.weights", "must be a file below the data folder"));
        }
        if self.fresh.iter().any(|word| word.split('.').any(str::is_empty)) {
            faults.push(ConfigFault::new("start.fresh", "must be parts of names, with single dots between them"));
        }
        faults
    }

    /// Loads the weights of the file into the variables of a network, except fresh parts. Returns name and digest of
    /// the file.
    pub(crate) fn load(
        &self,
        (model, task): (&ModelConfig, Task),
        vars: &Vars,
        folder: Option<&Path>,
    ) -> Result<String, StartError> {
        let Some(folder) = folder else { return Err(StartError::NoFolder { weights: self.weights.clone() }) };
        let path = folder.join(&self.weights);
        let found = digest(&path).map_err(|source| StartError::Read { path: path.clone(), source })?;
        if let Some(expected) = self.fingerprint.clone().filter(|expected| *expected != found) {
            return Err(StartError::Fingerprint { path, expected, found });
        }
        let import = Import::of(&read_checkpoint(&path)?, model, task)?;
        if import.form == StoredForm::Deployed {
            return Err(StartError::Merged { path });
        }
        let mut unused: BTreeSet<&String> = self.fresh.iter().collect();
        let (mut started, mut missing) = (0, Vec::new());
        for (name, var) in vars.all() {
            let words: Vec<&String> = self.fresh.iter().filter(|word| has_part(&name, word)).collect();
            words.iter().for_each(|word| _ = unused.remove(word));
            match import.values.get(&name) {
                _ if !words.is_empty() => {}
                Some(value) => {
                    var.set(&value.to_device(vars.device())?.to_dtype(vars.dtype())?)?;
                    started += 1;
                }
                None => missing.push(name),
            }
        }
        if !unused.is_empty() {
            return Err(StartError::Unused { words: unused.into_iter().cloned().collect() });
        }
        if !missing.is_empty() {
            return Err(StartError::Missing { path, names: missing });
        }
        if started == 0 {
            return Err(StartError::AllFresh { path });
        }
        Ok(format!("{} {found}", self.weights))
    }
}

/// Returns whether a dotted name contains `word` as whole parts. `word` may contain dots.
pub(crate) fn has_part(name: &str, word: &str) -> bool {
    format!(".{name}.").contains(&format!(".{word}."))
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(open_file(path)?.0)?;
    Ok(hasher.finalize().to_hex()[..12].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_whole_words_of_a_name() {
        for word in ["stage2", "stage2.0", "repmlp.fc1_fc2", "weight"] {
            assert!(has_part("stage2.0.repmlp.fc1_fc2.fc1.weight", word), "{word}");
        }
        for word in ["stage", "fc1_fc", "stage2.repmlp", "0.rep"] {
            assert!(!has_part("stage2.0.repmlp.fc1_fc2.fc1.weight", word), "{word}");
        }
    }

    #[test]
    fn a_file_outside_the_data_folder_and_an_empty_word_are_faults() {
        let faults = |weights: &str, fresh: &[&str]| {
            let fresh = fresh.iter().map(|word| (*word).to_owned()).collect();
            StartConfig { weights: weights.to_owned(), fresh, fingerprint: None }.faults().len()
        };
        assert_eq!(faults("imagenet/resnet50.pth", &["ppm", "stage4.0"]), 0);
        assert_eq!([faults("", &[]), faults("/a.pth", &[]), faults("../a.pth", &[""])], [1, 1, 2]);
    }
}
