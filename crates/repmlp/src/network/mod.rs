//! Networks as data: a tree of layers, written once, from which the training form, its costs and its faults follow, and
//! from the training form the deployed one.
//!
//! ```text
//! Node<LayerSpec>  --build-->  Node<Layer>  --reparameterize-->  Node<DeployedLayer>
//!        |-- account, faults        |-- forward(mode)                  |-- forward, tensors
//! ```
//! A tree has five ways of joining its branches, and the layers are an enum: a new network is a function that writes down
//! such a tree, and nothing else.

mod deployed_layer;
mod layer;
mod layer_spec;
mod node;
mod resample;

use candle_core::{Result, Tensor};

pub use deployed_layer::DeployedLayer;
pub use layer::Layer;
pub use layer_spec::{Activation, ConvBnSpec, LayerSpec, Site};
pub use node::{Branch, Join, Node, chain, concat, identity, product, sum};

use crate::cost::{Account, CountedForm};
use crate::layers::Visitor;
use crate::vars::Scope;
use crate::{ConfigFault, Mode};

/// A whole network: a trunk, the head that answers, and perhaps a second head that helps while training.
pub struct Network<L> {
    /// From the image to the features that both heads read.
    pub trunk: Node<L>,
    /// From there to the answer.
    pub head: Node<L>,
    /// From there to a second answer, which only training asks for (PSPNet).
    pub auxiliary: Option<Node<L>>,
}

impl Network<LayerSpec> {
    /// A network with one head.
    pub fn plain(trunk: Node<LayerSpec>, head: Node<LayerSpec>) -> Self {
        Self { trunk, head, auxiliary: None }
    }

    /// The training form with its variables below `scope`.
    ///
    /// # Errors
    /// When the network has faults or a name is taken twice.
    pub fn build(&self, image: Site, scope: &Scope<'_>) -> Result<Network<Layer>> {
        let (trunk, features) = self.trunk.build(image, scope)?;
        let auxiliary = self.auxiliary.as_ref().map(|node| node.build(features, scope)).transpose()?;
        let (head, _) = self.head.build(features, scope)?;
        Ok(Network { trunk, head, auxiliary: auxiliary.map(|(node, _)| node) })
    }

    /// What the network costs for an image; the auxiliary head is no part of the network that is deployed and, as in the
    /// paper's Table 6, never counted.
    pub fn account(&self, image: Site, form: CountedForm) -> Account {
        let mut account = Account::new(form);
        let features = self.trunk.account(image, "", &mut account);
        self.head.account(features, "", &mut account);
        account
    }

    /// Where the answer for an image stands, if it can be told.
    pub fn output(&self, image: Site) -> Option<Site> {
        let mut faults = Vec::new();
        let features = self.trunk.faults(image, &mut faults)?;
        self.head.faults(features, &mut faults)
    }

    /// What cannot be built for an image of that size.
    pub fn faults(&self, image: Site) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let features = self.trunk.faults(image, &mut faults);
        for head in std::iter::once(&self.head).chain(&self.auxiliary) {
            if let Some(features) = features {
                head.faults(features, &mut faults);
            }
        }
        faults
    }
}

impl Network<Layer> {
    /// (C, H, W, N) → the answer.
    ///
    /// # Errors
    /// When the images have another size.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        self.head.forward(&self.trunk.forward(x_chwn, mode)?, mode)
    }

    /// (C, H, W, N) → the answer and, of a network that has one, the auxiliary answer.
    ///
    /// # Errors
    /// When the images have another size.
    pub fn forward_with_auxiliary(&self, x_chwn: &Tensor, mode: Mode) -> Result<(Tensor, Option<Tensor>)> {
        let features = self.trunk.forward(x_chwn, mode)?;
        let auxiliary = self.auxiliary.as_ref().map(|node| node.forward(&features, mode)).transpose()?;
        Ok((self.head.forward(&features, mode)?, auxiliary))
    }

    /// The deployed form of the same function: every batch norm merged, the auxiliary head gone.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reparameterize(&self) -> Result<Network<DeployedLayer>> {
        Ok(Network { trunk: self.trunk.reparameterize()?, head: self.head.reparameterize()?, auxiliary: None })
    }
}

impl Network<DeployedLayer> {
    /// (C, H, W, N) → the answer.
    ///
    /// # Errors
    /// When the images have another size.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        self.head.forward(&self.trunk.forward(x_chwn)?)
    }

    /// Shows all tensors to `visit`.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn visit(&mut self, visit: &mut Visitor<'_>) -> Result<()> {
        self.trunk.visit("", visit)?;
        self.head.visit("", visit)
    }
}
