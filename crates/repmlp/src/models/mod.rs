//! Whole networks. To add a network, write a file with its configuration, its faults and its tree of layers, its `mod`
//! line, and its variant of [`ModelConfig`] with its arm. The configuration implements [`NetworkKind`].

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
use std::fmt::Debug;

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
use crate::network::{
    DeployedLayer, Fc3Shape, Layer, LayerSpec, Network, NodeDescription, Site, Undescribed, identity,
};
use crate::own_kinds::{Own, OwnKinds};
use crate::vars::{Scope, Vars};
use crate::{ConfigFault, Mode};

/// The input and the classes of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Channels of an image.
    pub channels: usize,
    /// Height and width of an image.
    pub image: (usize, usize),
    /// Number of classes.
    pub classes: usize,
}

impl Task {
    /// Returns the site of the first layer.
    fn site(self) -> Site {
        Site { channels: self.channels, map: self.image }
    }
}

/// Kind of output of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One logit per image and class: (N, classes).
    Logits,
    /// One embedding per image, for comparison with other embeddings: (N, E).
    Embedding,
    /// One logit per pixel and class: (N, classes, H, W).
    Map,
}

/// Configuration of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[schemars(transform = crate::own_kinds::as_one_of)]
pub enum ModelConfig {
    /// The CIFAR network of paper section 4.1: the pure MLP, the Wide ConvNet and all variants of Table 1.
    CifarNet(CifarNetConfig),
    /// ResNet-50 and ResNet-101, with the paper's blocks or attention in any stage.
    ResNet(ResNetConfig),
    /// EfficientNet-B1, EfficientNet-B2 and EfficientNet-B3.
    EfficientNet(EfficientNetConfig),
    /// MobileFaceNet, for embeddings of faces.
    MobileFaceNet(MobileFaceNetConfig),
    /// The paper's FaceResNet and RepMLP-FaceRes, for embeddings of faces.
    FaceResNet(FaceResNetConfig),
    /// PSPNet on a ResNet backbone, for segmentation.
    PspNet(PspNetConfig),
    /// RepMLPNet, the successor of RepMLP.
    RepMlpNet(RepMlpNetConfig),
    /// A network of another crate.
    #[serde(untagged)]
    #[schemars(skip)]
    Own(Own<dyn NetworkKind>),
}

/// A network of a configuration: what stands under the key `model`.
pub trait NetworkKind: Debug + Send + Sync {
    /// Returns the faults of the configuration itself. Faults of the layers are found in the tree. Keys start with
    /// `model`, or with `data` if the image size is at fault.
    fn faults(&self, task: Task) -> Vec<ConfigFault>;

    /// Returns the tree of layers. The configuration has no faults.
    fn network(&self, task: Task) -> Network<LayerSpec>;

    /// Returns the kind of output.
    fn answer(&self) -> Answer {
        Answer::Logits
    }
}

impl ModelConfig {
    fn kind(&self) -> &dyn NetworkKind {
        match self {
            Self::CifarNet(config) => config,
            Self::ResNet(config) => config,
            Self::EfficientNet(config) => config,
            Self::MobileFaceNet(config) => config,
            Self::FaceResNet(config) => config,
            Self::PspNet(config) => config,
            Self::RepMlpNet(config) => config,
            Self::Own(own) => own,
        }
    }

    /// Binds the network and its blocks of other crates to the types that implement their kinds.
    ///
    /// # Errors
    /// When a kind is unknown or a table is invalid.
    pub fn bind(&mut self, kinds: &OwnKinds) -> std::result::Result<(), ConfigFault> {
        match self {
            Self::CifarNet(config) => config.bind(kinds),
            Self::Own(own) => own.bind(kinds, "model"),
            _ => Ok(()),
        }
    }

    /// Returns the faults that prevent building the network for `task`. Their keys start with `model`, or with `data`
    /// if the image size is at fault.
    pub fn faults(&self, task: Task) -> Vec<ConfigFault> {
        let own = self.kind().faults(task);
        // The tree can be built only if the sizes have no faults.
        if own.is_empty() { self.network(task).faults(task.site()) } else { own }
    }

    /// Returns the tree of layers. The configuration must have no faults.
    pub(crate) fn network(&self, task: Task) -> Network<LayerSpec> {
        self.kind().network(task)
    }

    /// Returns the kind of output.
    pub fn answer(&self) -> Answer {
        self.kind().answer()
    }

    /// Returns the number of output channels: the classes, or the length of an embedding. The configuration must have
    /// no faults.
    pub fn outputs(&self, task: Task) -> usize {
        self.network(task).output(task.site()).map_or(0, |site| site.channels)
    }

    /// Returns name and sizes of the FC3 of each RepMLP block, in the order of the forward pass. The configuration must
    /// have no faults.
    pub fn fc3s(&self, task: Task) -> Vec<(String, Fc3Shape)> {
        self.network(task).fc3s(task.site())
    }

    /// Returns the names of the training form's variables, except those of the auxiliary head, which a description does
    /// not have. The configuration must have no faults.
    ///
    /// # Errors
    /// When two variables have the same name.
    pub fn described_variables(&self, task: Task) -> Result<Vec<String>> {
        let vars = Vars::blank();
        Network { auxiliary: None, ..self.network(task) }.build(task.site(), &vars.root())?;
        Ok(vars.all().into_iter().map(|(name, _)| name).collect())
    }

    /// Describes the layers, for code outside this project. The configuration must have no faults.
    ///
    /// # Errors
    /// When the network has a block of another crate.
    pub fn description(&self, task: Task) -> std::result::Result<NodeDescription, Undescribed> {
        self.network(task).description(task.site())
    }

    /// Returns the costs of the network per layer, without building it.
    pub fn account(&self, task: Task, form: CountedForm) -> Account {
        self.network(task).account(task.site(), form)
    }
}

impl NetworkKind for Own<dyn NetworkKind> {
    fn faults(&self, task: Task) -> Vec<ConfigFault> {
        self.bound("model").map_or_else(|fault| vec![fault], |network| network.faults(task))
    }

    fn network(&self, task: Task) -> Network<LayerSpec> {
        self.bound("model").map_or_else(|_| Network::plain(identity(), identity()), |network| network.network(task))
    }

    fn answer(&self) -> Answer {
        self.bound("model").map_or(Answer::Logits, NetworkKind::answer)
    }
}

/// A network in its training form.
pub struct Model {
    network: Network<Layer>,
    answer: Answer,
}

/// A network in its deployed form, for inference.
pub struct DeployedModel {
    network: Network<DeployedLayer>,
    answer: Answer,
}

/// Rearranges images (N, C, H, W) to (C, H, W, N).
fn to_chwn(images_nchw: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = images_nchw.dims4()?;
    rearrange(images_nchw, [n, c, h, w], [1, 2, 3, 0], (c, h, w, n))
}

impl Answer {
    /// Rearranges the head's output (C, H, W, N) to the shape of this kind of output, with the images first.
    fn of(self, output_chwn: &Tensor) -> Result<Tensor> {
        match self {
            Self::Map => output_chwn.permute((3, 0, 1, 2))?.contiguous(),
            Self::Logits | Self::Embedding => output_chwn.flatten(0, 2)?.t()?.contiguous(),
        }
    }
}

impl Model {
    /// Builds the network with its variables in `scope`.
    ///
    /// # Errors
    /// When the configuration has faults (see [`ModelConfig::faults`]).
    pub fn new(config: &ModelConfig, task: Task, scope: &Scope<'_>) -> Result<Self> {
        if let Some(fault) = config.faults(task).first() {
            bail!("{fault}");
        }
        Ok(Self { network: config.network(task).build(task.site(), scope)?, answer: config.answer() })
    }

    /// Kind of output.
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// Forward pass: images (N, C, H, W) → the output (see [`Answer`] for its shape).
    ///
    /// # Errors
    /// When the images have a different size.
    pub fn forward(&self, images_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        self.answer.of(&self.network.forward(&to_chwn(images_nchw)?, mode)?)
    }

    /// Forward pass: images (N, C, H, W) → the output, and the output of the auxiliary head if there is one.
    ///
    /// # Errors
    /// When the images have a different size.
    pub fn forward_with_auxiliary(&self, images_nchw: &Tensor, mode: Mode) -> Result<(Tensor, Option<Tensor>)> {
        let (output, auxiliary) = self.network.forward_with_auxiliary(&to_chwn(images_nchw)?, mode)?;
        let auxiliary = auxiliary.map(|auxiliary| self.answer.of(&auxiliary)).transpose()?;
        Ok((self.answer.of(&output)?, auxiliary))
    }

    /// Returns the deployed form, which computes the same function with the running statistics.
    ///
    /// # Errors
    /// When candle fails.
    pub fn reparameterize(&self) -> Result<DeployedModel> {
        Ok(DeployedModel { network: self.network.reparameterize()?, answer: self.answer })
    }
}

impl DeployedModel {
    /// Builds a deployed network from named tensors. The numbers of elements must match. Shapes are adapted to the
    /// network; number type and device are adapted to those of `scope`.
    ///
    /// # Errors
    /// When the configuration has faults (see [`ModelConfig::faults`]), a name is missing, or a tensor has a different
    /// number of elements.
    pub fn load(
        config: &ModelConfig,
        task: Task,
        scope: &Scope<'_>,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let mut model = Model::new(config, task, scope)?.reparameterize()?;
        model.network.visit(&mut |name, tensor| {
            let Some(value) = tensors.get(name) else { bail!("no tensor for the variable `{name}`") };
            if value.elem_count() != tensor.elem_count() {
                bail!("the tensor `{name}` has shape {:?}; expected {:?}", value.dims(), tensor.dims());
            }
            *tensor = value.reshape(tensor.shape())?.to_device(tensor.device())?.to_dtype(tensor.dtype())?;
            Ok(())
        })?;
        Ok(model)
    }

    /// Forward pass: images (N, C, H, W) → the output (see [`Answer`] for its shape).
    ///
    /// # Errors
    /// When the images have a different size.
    pub fn forward(&self, images_nchw: &Tensor) -> Result<Tensor> {
        self.answer.of(&self.network.forward(&to_chwn(images_nchw)?)?)
    }

    /// Returns all tensors with their names, in the order of the forward pass.
    ///
    /// # Errors
    /// Never. The result type is that of the visitor.
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
