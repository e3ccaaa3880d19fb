//! Whole networks. A new one is a file, its `mod` line, a variant of each of the three enums, and their arms below.

mod cifar_net;

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cifar_net::{CifarNet, CifarNetConfig, DeployedCifarNet};

use crate::cost::{Account, CountedForm};
use crate::vars::Scope;
use crate::{ConfigFault, Mode};

/// What a network is to look at and to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Channels of an image.
    pub channels: usize,
    /// Height and width of an image.
    pub image: (usize, usize),
    /// Classes.
    pub classes: usize,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ModelConfig {
    /// The CIFAR network of paper section 4.1: pure MLP, Wide ConvNet and every variant of Table 1.
    CifarNet(CifarNetConfig),
}

impl ModelConfig {
    /// What cannot be built; paths start with `model`.
    pub fn faults(&self, task: Task) -> Vec<ConfigFault> {
        match self {
            Self::CifarNet(config) => config.faults(task),
        }
    }

    /// What the network costs, layer by layer, without building it.
    pub fn account(&self, task: Task, form: CountedForm) -> Account {
        match self {
            Self::CifarNet(config) => config.account(task, form),
        }
    }
}

/// A network while training.
pub enum Model {
    /// See [`CifarNet`].
    CifarNet(CifarNet),
}

/// A network for inference.
pub enum DeployedModel {
    /// See [`DeployedCifarNet`].
    CifarNet(DeployedCifarNet),
}

impl Model {
    /// The network with its variables below `scope`.
    ///
    /// # Errors
    /// When the configuration does not fit (see [`ModelConfig::faults`]).
    pub fn new(config: &ModelConfig, task: Task, scope: &Scope<'_>) -> Result<Self> {
        match config {
            ModelConfig::CifarNet(config) => Ok(Self::CifarNet(CifarNet::new(config, task, scope)?)),
        }
    }

    /// Images (N, C, H, W) → logits (N, classes).
    ///
    /// # Errors
    /// When the images have another size.
    pub fn forward(&self, images_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::CifarNet(model) => model.forward(images_nchw, mode),
        }
    }

    /// The inference form of the same function, with the running statistics.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reparameterize(&self) -> Result<DeployedModel> {
        match self {
            Self::CifarNet(model) => Ok(DeployedModel::CifarNet(model.reparameterize()?)),
        }
    }
}

impl DeployedModel {
    /// Images (N, C, H, W) → logits (N, classes).
    ///
    /// # Errors
    /// When the images have another size.
    pub fn forward(&self, images_nchw: &Tensor) -> Result<Tensor> {
        match self {
            Self::CifarNet(model) => model.forward(images_nchw),
        }
    }

    /// All its tensors by name.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        match self {
            Self::CifarNet(model) => model.tensors(),
        }
    }
}
