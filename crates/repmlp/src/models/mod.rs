//! Whole networks. A new one is a file that says its configuration, its faults and its tree of layers, its `mod` line, and
//! its variant of [`ModelConfig`] with the arms below.

mod cifar_net;
mod efficient_net;
mod face_res_net;
mod mobile_face_net;
mod part;
mod psp_net;
mod rep_mlp_net;
mod res_net;
mod residual;

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::rearrange;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cifar_net::CifarNetConfig;
pub use efficient_net::{EfficientNetConfig, EfficientNetVariant};
pub use face_res_net::{FaceRepMlpConfig, FaceResNetConfig};
pub use mobile_face_net::MobileFaceNetConfig;
pub use psp_net::PspNetConfig;
pub use rep_mlp_net::RepMlpNetConfig;
pub use res_net::{ResNetConfig, StageConfig};

use crate::cost::{Account, CountedForm};
use crate::network::{DeployedLayer, Layer, LayerSpec, Network, Site};
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

impl Task {
    /// Where the first layer stands.
    fn site(self) -> Site {
        Site { channels: self.channels, map: self.image }
    }
}

/// What a network answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A logit for each class of an image: (N, classes).
    Logits,
    /// An embedding of an image, to be compared with others: (N, E).
    Embedding,
    /// A logit for each class of each pixel: (N, classes, H, W).
    Map,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ModelConfig {
    /// The CIFAR network of paper section 4.1: pure MLP, Wide ConvNet and every variant of Table 1.
    CifarNet(CifarNetConfig),
    /// ResNet-50 and -101, with the paper's blocks or with attention in any of its stages.
    ResNet(ResNetConfig),
    /// EfficientNet-B1, -B2 and -B3.
    EfficientNet(EfficientNetConfig),
    /// MobileFaceNet: embeddings of faces.
    MobileFaceNet(MobileFaceNetConfig),
    /// The paper's FaceResNet and RepMLP-FaceRes: embeddings of faces.
    FaceResNet(FaceResNetConfig),
    /// PSPNet on a ResNet: segmentation.
    PspNet(PspNetConfig),
    /// RepMLPNet, of the paper's successor.
    RepMlpNet(RepMlpNetConfig),
}

impl ModelConfig {
    /// What cannot be built; paths start with `model`.
    pub fn faults(&self, task: Task) -> Vec<ConfigFault> {
        let own = match self {
            Self::CifarNet(config) => config.faults(task),
            Self::ResNet(config) => config.faults("model"),
            Self::EfficientNet(config) => config.faults(),
            Self::MobileFaceNet(_) => Vec::new(),
            Self::FaceResNet(config) => config.faults(),
            Self::PspNet(config) => config.faults(),
            Self::RepMlpNet(config) => config.faults(),
        };
        // The tree is asked for only where it can be.
        if own.is_empty() { self.network(task).faults(task.site()) } else { own }
    }

    /// The tree of layers. Sizes must have no faults.
    pub(crate) fn network(&self, task: Task) -> Network<LayerSpec> {
        match self {
            Self::CifarNet(config) => config.network(task),
            Self::ResNet(config) => config.network(task),
            Self::EfficientNet(config) => config.network(task),
            Self::MobileFaceNet(config) => config.network(task),
            Self::FaceResNet(config) => config.network(),
            Self::PspNet(config) => config.network(task),
            Self::RepMlpNet(config) => config.network(task),
        }
    }

    /// What the network answers.
    pub fn answer(&self) -> Answer {
        match self {
            Self::CifarNet(_) | Self::ResNet(_) | Self::EfficientNet(_) | Self::RepMlpNet(_) => Answer::Logits,
            Self::MobileFaceNet(_) | Self::FaceResNet(_) => Answer::Embedding,
            Self::PspNet(_) => Answer::Map,
        }
    }

    /// Channels of the answer: classes, or numbers of an embedding. The configuration must have no faults.
    pub fn outputs(&self, task: Task) -> usize {
        self.network(task).output(task.site()).map_or(0, |site| site.channels)
    }

    /// What the network costs, layer by layer, without building it.
    pub fn account(&self, task: Task, form: CountedForm) -> Account {
        self.network(task).account(task.site(), form)
    }
}

/// A network while training.
pub struct Model {
    network: Network<Layer>,
    answer: Answer,
}

/// A network for inference.
pub struct DeployedModel {
    network: Network<DeployedLayer>,
    answer: Answer,
}

/// Images (N, C, H, W) as (C, H, W, N).
fn to_chwn(images_nchw: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = images_nchw.dims4()?;
    rearrange(images_nchw, [n, c, h, w], [1, 2, 3, 0], (c, h, w, n))
}

impl Answer {
    /// The head's output (C, H, W, N) as the answer is given, images first.
    fn of(self, output_chwn: &Tensor) -> Result<Tensor> {
        match self {
            Self::Map => output_chwn.permute((3, 0, 1, 2))?.contiguous(),
            Self::Logits | Self::Embedding => output_chwn.flatten(0, 2)?.t()?.contiguous(),
        }
    }
}

impl Model {
    /// The network with its variables below `scope`.
    ///
    /// # Errors
    /// When the configuration does not fit (see [`ModelConfig::faults`]).
    pub fn new(config: &ModelConfig, task: Task, scope: &Scope<'_>) -> Result<Self> {
        if let Some(fault) = config.faults(task).first() {
            bail!("{fault}");
        }
        Ok(Self { network: config.network(task).build(task.site(), scope)?, answer: config.answer() })
    }

    /// What it answers.
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// Images (N, C, H, W) → the answer (see [`Answer`]).
    ///
    /// # Errors
    /// When the images have another size.
    pub fn forward(&self, images_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        self.answer.of(&self.network.forward(&to_chwn(images_nchw)?, mode)?)
    }

    /// Images (N, C, H, W) → the answer, and the auxiliary answer of a network that has one.
    ///
    /// # Errors
    /// When the images have another size.
    pub fn forward_with_auxiliary(&self, images_nchw: &Tensor, mode: Mode) -> Result<(Tensor, Option<Tensor>)> {
        let (output, auxiliary) = self.network.forward_with_auxiliary(&to_chwn(images_nchw)?, mode)?;
        let auxiliary = auxiliary.map(|auxiliary| self.answer.of(&auxiliary)).transpose()?;
        Ok((self.answer.of(&output)?, auxiliary))
    }

    /// The inference form of the same function, with the running statistics.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reparameterize(&self) -> Result<DeployedModel> {
        Ok(DeployedModel { network: self.network.reparameterize()?, answer: self.answer })
    }
}

impl DeployedModel {
    /// A deployed network from its tensors by name (same numbers of elements; shapes, number type and device are adapted to
    /// those of `scope`).
    ///
    /// # Errors
    /// When the configuration does not fit, a name is missing, or a tensor has another size.
    pub fn load(
        config: &ModelConfig,
        task: Task,
        scope: &Scope<'_>,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let mut model = Model::new(config, task, scope)?.reparameterize()?;
        model.network.visit(&mut |name, tensor| {
            let Some(value) = tensors.get(name) else { bail!("no value for `{name}`") };
            if value.elem_count() != tensor.elem_count() {
                bail!("`{name}` has shape {:?}, not {:?}", value.dims(), tensor.dims());
            }
            *tensor = value.reshape(tensor.shape())?.to_device(tensor.device())?.to_dtype(tensor.dtype())?;
            Ok(())
        })?;
        Ok(model)
    }

    /// Images (N, C, H, W) → the answer (see [`Answer`]).
    ///
    /// # Errors
    /// When the images have another size.
    pub fn forward(&self, images_nchw: &Tensor) -> Result<Tensor> {
        self.answer.of(&self.network.forward(&to_chwn(images_nchw)?)?)
    }

    /// All its tensors by name, in the order in which data passes.
    ///
    /// # Errors
    /// None of its own: the walk hands on those of a visitor, and this one has none.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let mut all = Vec::new();
        let mut network =
            Network { trunk: self.network.trunk.clone(), head: self.network.head.clone(), auxiliary: None };
        network.visit(&mut |name, tensor| {
            all.push((name.to_owned(), tensor.clone()));
            Ok(())
        })?;
        Ok(all)
    }
}
