//! Networks as data. A network is described once, as a tree of layers. The training form, the costs and the faults are
//! derived from this tree, and the deployed form from the training form.
//!
//! ```text
//! Node<LayerSpec>  --build-->  Node<Layer>  --reparameterize-->  Node<DeployedLayer>
//!        |-- account, faults        |-- forward(mode)                  |-- forward, tensors
//! ```
//! Layers are variants of an enum; one of these variants is any block ([`BlockSpec`]). Branches are joined in one of
//! four ways. A new network is just a function that returns such a tree.

mod block;
mod deployed_layer;
mod description;
mod fixed;
mod layer;
mod layer_spec;
mod node;
mod resample;

use candle_core::{Result, Tensor};

pub use block::{BlockSpec, DeployedBlock, Fc3Shape, TrainingBlock};
pub use deployed_layer::DeployedLayer;
pub use description::{LayerDescription, NodeDescription, PartDescription, Undescribed};
pub use fixed::{Activation, Fixed};
pub use layer::Layer;
pub use layer_spec::{ConvBnSpec, LayerSpec, Site};
pub use node::{Branch, Join, Node, chain, concat, identity, product, sum};

use crate::cost::{Account, CountedForm};
use crate::layers::Visitor;
use crate::vars::Scope;
use crate::{ConfigFault, Mode};

/// A whole network: a trunk, a head, and optionally an auxiliary head for training.
pub struct Network<L> {
    /// Computes the features from the image. Both heads read them.
    pub trunk: Node<L>,
    /// Computes the output from the features.
    pub head: Node<L>,
    /// Computes a second output from the features, which is used only in training (PSPNet).
    pub auxiliary: Option<Node<L>>,
}

impl Network<LayerSpec> {
    /// Creates a network with one head.
    pub fn plain(trunk: Node<LayerSpec>, head: Node<LayerSpec>) -> Self {
        Self { trunk, head, auxiliary: None }
    }

    /// Builds the training form, with its variables in `scope`.
    ///
    /// # Errors
    /// When the network has faults or two variables have the same name.
    pub fn build(&self, image: Site, scope: &Scope<'_>) -> Result<Network<Layer>> {
        let (trunk, features) = self.trunk.build(image, scope)?;
        let auxiliary = self.auxiliary.as_ref().map(|node| node.build(features, scope)).transpose()?;
        let (head, _) = self.head.build(features, scope)?;
        Ok(Network { trunk, head, auxiliary: auxiliary.map(|(node, _)| node) })
    }

    /// Returns the costs of the network for one image. The auxiliary head is never counted, as in Table 6 of the paper:
    /// it is not part of the deployed network.
    pub fn account(&self, image: Site, form: CountedForm) -> Account {
        let mut account = Account::new(form);
        self.trunk.account(image, &mut account);
        if let Some(features) = self.trunk.output(image) {
            self.head.account(features, &mut account);
        }
        account
    }

    /// Returns name and sizes of each block with an FC3, in the order of the forward pass. The auxiliary head is not
    /// part of the deployed network, so it is left out.
    pub fn fc3s(&self, image: Site) -> Vec<(String, Fc3Shape)> {
        let mut found = Vec::new();
        self.trunk.add_fc3s(image, &mut found);
        if let Some(features) = self.trunk.output(image) {
            self.head.add_fc3s(features, &mut found);
        }
        found
    }

    /// Returns channels and map of the output for an image; `None` if a layer does not fit into its map.
    pub fn output(&self, image: Site) -> Option<Site> {
        self.head.output(self.trunk.output(image)?)
    }

    /// Returns the faults that prevent building the network for images of this size.
    pub fn faults(&self, image: Site) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        self.trunk.faults(image, &mut faults);
        if let Some(features) = self.trunk.output(image) {
            for head in std::iter::once(&self.head).chain(&self.auxiliary) {
                head.faults(features, &mut faults);
            }
        }
        faults
    }
}

impl Network<Layer> {
    /// Forward pass: images (C, H, W, N) → the output of the head.
    ///
    /// # Errors
    /// When the images have a different size.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.head.forward(&self.trunk.forward(x_chwn, mode)?, mode)
    }

    /// Forward pass: images (C, H, W, N) → the output of the head, and the output of the auxiliary head if there is
    /// one.
    ///
    /// # Errors
    /// When the images have a different size.
    pub fn forward_with_auxiliary(&self, x_chwn: &Tensor, mode: Mode) -> Result<(Tensor, Option<Tensor>)> {
        let features = self.trunk.forward(x_chwn, mode)?;
        let auxiliary = self.auxiliary.as_ref().map(|node| node.forward(&features, mode)).transpose()?;
        Ok((self.head.forward(&features, mode)?, auxiliary))
    }

    /// Returns the deployed form, which computes the same function. Every batch norm is merged, and the auxiliary head
    /// is dropped.
    ///
    /// # Errors
    /// When candle fails.
    pub fn reparameterize(&self) -> Result<Network<DeployedLayer>> {
        Ok(Network { trunk: self.trunk.reparameterize()?, head: self.head.reparameterize()?, auxiliary: None })
    }
}

impl Network<DeployedLayer> {
    /// Forward pass: images (C, H, W, N) → the output of the head.
    ///
    /// # Errors
    /// When the images have a different size.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        self.head.forward(&self.trunk.forward(x_chwn)?)
    }

    /// Calls `visit` for each tensor with its name.
    ///
    /// # Errors
    /// When `visit` fails.
    pub fn visit(&mut self, visit: &mut Visitor<'_>) -> Result<()> {
        self.trunk.visit("", visit)?;
        self.head.visit("", visit)
    }
}
