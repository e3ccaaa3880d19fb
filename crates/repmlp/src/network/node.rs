//! The tree of a network: layers, and branches that are joined in one of four ways.
//!
//! This module does not know what a layer computes. Its functions walk the tree and call the methods of each layer.

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::Epilogue;

use crate::cost::Account;
use crate::layers::Visitor;
use crate::network::{DeployedLayer, Fc3Shape, Layer, LayerSpec, Site};
use crate::vars::{Scope, joined};
use crate::{ConfigFault, Mode};

/// A layer, or several joined branches.
#[derive(Clone, Debug)]
pub enum Node<L> {
    /// One layer.
    Layer(L),
    /// Several branches, and the way they are joined.
    Joined(Join, Vec<Branch<L>>),
}

/// How branches are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Each branch reads the output of the branch before it.
    Chain,
    /// All branches read the same input. Their outputs are added.
    Sum,
    /// All branches read the same input. Their outputs are multiplied; a 1×1 map is multiplied with every pixel.
    Product,
    /// All branches read the same input. Their output channels are concatenated.
    Concat,
}

/// A part of a joined node. The name is appended to the name of the whole; an empty name appends nothing.
#[derive(Clone, Debug)]
pub struct Branch<L> {
    /// Dotted name.
    pub name: String,
    /// The subtree.
    pub node: Node<L>,
}

fn joined_node<L, N: Into<String>>(join: Join, branches: impl IntoIterator<Item = (N, Node<L>)>) -> Node<L> {
    let branch = |(name, node): (N, Node<L>)| Branch { name: name.into(), node };
    Node::Joined(join, branches.into_iter().map(branch).collect())
}

/// Joins parts as a [`Join::Chain`].
pub fn chain<L, N: Into<String>>(parts: impl IntoIterator<Item = (N, Node<L>)>) -> Node<L> {
    joined_node(Join::Chain, parts)
}

/// Joins parts as a [`Join::Sum`].
pub fn sum<L, N: Into<String>>(parts: impl IntoIterator<Item = (N, Node<L>)>) -> Node<L> {
    joined_node(Join::Sum, parts)
}

/// Joins parts as a [`Join::Product`].
pub fn product<L, N: Into<String>>(parts: impl IntoIterator<Item = (N, Node<L>)>) -> Node<L> {
    joined_node(Join::Product, parts)
}

/// Joins parts as a [`Join::Concat`].
pub fn concat<L, N: Into<String>>(parts: impl IntoIterator<Item = (N, Node<L>)>) -> Node<L> {
    joined_node(Join::Concat, parts)
}

/// Returns a node that returns its input unchanged.
pub fn identity<L>() -> Node<L> {
    Node::Joined(Join::Chain, Vec::new())
}

/// Property of a layer that the forward pass of both forms needs.
pub(crate) trait MayBeRelu {
    /// Whether the layer is a `ReLU`. The layer before it can apply a `ReLU` as its epilogue.
    fn is_relu(&self) -> bool;
}

/// Applies a layer and then an epilogue to a tensor.
type Pass<'a, L> = dyn Fn(&L, &Tensor, Epilogue<'_>) -> Result<Tensor> + 'a;

/// Forward pass of both forms; `layer` applies one layer. A `ReLU` or an addition after a part is passed to the part as
/// its epilogue.
fn pass<L: MayBeRelu>(node: &Node<L>, x: &Tensor, epilogue: Epilogue<'_>, layer: &Pass<'_, L>) -> Result<Tensor> {
    match node {
        Node::Layer(l) => layer(l, x, epilogue),
        Node::Joined(Join::Chain, branches) => pass_chain(branches, x, epilogue, layer),
        Node::Joined(Join::Sum, branches) => pass_sum(branches, x, epilogue, layer),
        Node::Joined(join, branches) => {
            let outputs = branches.iter().map(|branch| pass(&branch.node, x, Epilogue::None, layer));
            epilogue.after(&join.combine(&outputs.collect::<Result<Vec<_>>>()?)?)
        }
    }
}

fn pass_chain<L: MayBeRelu>(
    branches: &[Branch<L>],
    x: &Tensor,
    epilogue: Epilogue<'_>,
    layer: &Pass<'_, L>,
) -> Result<Tensor> {
    let (mut x, mut epilogue) = (x.clone(), epilogue);
    let mut branches = branches.iter().peekable();
    while let Some(branch) = branches.next() {
        let is_relu = |next: &&Branch<L>| matches!(&next.node, Node::Layer(layer) if layer.is_relu());
        let follows = if branches.next_if(is_relu).is_some() {
            Epilogue::Relu
        } else if branches.peek().is_none() {
            // The epilogue of the whole chain is the epilogue of its last part.
            std::mem::replace(&mut epilogue, Epilogue::None)
        } else {
            Epilogue::None
        };
        x = pass(&branch.node, &x, follows, layer)?;
    }
    epilogue.after(&x)
}

/// Computes the other branches first; the first branch then adds their sum in its epilogue.
fn pass_sum<L: MayBeRelu>(
    branches: &[Branch<L>],
    x: &Tensor,
    epilogue: Epilogue<'_>,
    layer: &Pass<'_, L>,
) -> Result<Tensor> {
    let Some((first, others)) = branches.split_first() else { bail!("a sum of no branches") };
    let outputs =
        others.iter().map(|branch| pass(&branch.node, x, Epilogue::None, layer)).collect::<Result<Vec<_>>>()?;
    if outputs.is_empty() {
        return pass(&first.node, x, epilogue, layer);
    }
    let others = Join::Sum.combine(&outputs)?;
    match epilogue {
        Epilogue::None | Epilogue::Relu => pass(&first.node, x, epilogue.plus(&others)?, layer),
        Epilogue::Add(_) | Epilogue::AddRelu(_) => {
            epilogue.after(&pass(&first.node, x, Epilogue::Add(&others), layer)?)
        }
    }
}

impl Node<LayerSpec> {
    /// Calls `layer` with each layer, the site of its input, and its name. The callback returns the site of the output;
    /// if it returns `None`, the walk ends. Returns the site of the output of the whole node.
    fn walk(
        &self,
        site: Site,
        at: &str,
        layer: &mut dyn FnMut(&LayerSpec, Site, &str) -> Option<Site>,
    ) -> Option<Site> {
        let (join, branches) = match self {
            Self::Layer(spec) => return layer(spec, site, at),
            Self::Joined(join, branches) => (*join, branches),
        };
        let mut outputs = Vec::with_capacity(branches.len());
        let mut reads = site;
        for branch in branches {
            let output = branch.node.walk(reads, &joined(at, &branch.name), layer)?;
            outputs.push(output);
            reads = join.next(site, output);
        }
        Some(join.output(site, &outputs))
    }

    /// Returns the site of the output for an input at `site`; `None` if a layer does not fit into its map.
    pub(crate) fn output(&self, site: Site) -> Option<Site> {
        self.walk(site, "", &mut |spec, site, _| spec.output(site))
    }

    /// Adds the costs of this node for an input at `site`, up to the first layer that does not fit.
    pub(crate) fn account(&self, site: Site, account: &mut Account) {
        self.walk(site, "", &mut |spec, site, at| {
            spec.account(site, at, account);
            spec.output(site)
        });
    }

    /// Adds name and sizes of each block with an FC3, for an input at `site`, in the order of the forward pass.
    pub(crate) fn add_fc3s(&self, site: Site, found: &mut Vec<(String, Fc3Shape)>) {
        self.walk(site, "", &mut |spec, site, at| {
            found.extend(spec.fc3(site).map(|shape| (at.to_owned(), shape)));
            spec.output(site)
        });
    }

    /// Adds the faults that prevent building this node for an input at `site`.
    pub(crate) fn faults(&self, site: Site, faults: &mut Vec<ConfigFault>) {
        self.walk(site, "", &mut |spec, site, _| {
            // Repeated blocks share their configuration, so each key is reported only once.
            for fault in spec.faults(site) {
                if !faults.iter().any(|known| known.path == fault.path) {
                    faults.push(fault);
                }
            }
            spec.output(site)
        });
    }

    /// Builds the training form of this node for an input at `site`. Returns it with the site of its output.
    ///
    /// # Errors
    /// When the node cannot be built at `site` or a variable name is already used.
    pub fn build(&self, site: Site, scope: &Scope<'_>) -> Result<(Node<Layer>, Site)> {
        let (join, branches) = match self {
            Self::Layer(spec) => {
                let layer = Layer::new(spec, site, scope)?;
                return Ok((Node::Layer(layer), spec.fitting_output(site)?));
            }
            Self::Joined(join, branches) => (*join, branches),
        };
        let mut built = Vec::with_capacity(branches.len());
        let mut outputs = Vec::with_capacity(branches.len());
        let mut reads = site;
        for Branch { name, node } in branches {
            let (node, output) = node.build(reads, &scope.enter(name))?;
            built.push(Branch { name: name.clone(), node });
            outputs.push(output);
            reads = join.next(site, output);
        }
        Ok((Node::Joined(join, built), join.output(site, &outputs)))
    }
}

impl Join {
    /// Returns the site that the next branch reads, after a branch with this output.
    fn next(self, input: Site, output: Site) -> Site {
        if self == Self::Chain { output } else { input }
    }

    /// Combines the outputs of branches that read the same input.
    fn combine(self, outputs: &[Tensor]) -> Result<Tensor> {
        let Some((first, others)) = outputs.split_first() else { bail!("{self:?} of no branches") };
        match self {
            Self::Concat => Tensor::cat(outputs, 0),
            Self::Product => others.iter().try_fold(first.clone(), |product, y| product.broadcast_mul(y)),
            Self::Sum | Self::Chain => others.iter().try_fold(first.clone(), |sum, y| sum + y),
        }
    }

    /// Returns the site of the joined output.
    fn output(self, input: Site, outputs: &[Site]) -> Site {
        let Some((first, last)) = outputs.first().zip(outputs.last()) else { return input };
        match self {
            Self::Chain => *last,
            Self::Sum | Self::Product => *first,
            Self::Concat => Site { channels: outputs.iter().map(|site| site.channels).sum(), map: first.map },
        }
    }
}

impl Node<Layer> {
    /// Forward pass: (C, H, W, N) → (C', H', W', N).
    ///
    /// # Errors
    /// When the channels or the map of the input differ from those that the node was built for.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        pass(self, x_chwn, Epilogue::None, &|layer, x, epilogue| layer.forward(x, mode, epilogue))
    }

    /// Returns the deployed form, which computes the same function.
    ///
    /// # Errors
    /// When candle fails.
    pub fn reparameterize(&self) -> Result<Node<DeployedLayer>> {
        Ok(match self {
            Self::Layer(layer) => layer.reparameterize()?.map_or_else(identity, Node::Layer),
            Self::Joined(join, branches) => {
                let deployed = branches
                    .iter()
                    .map(|Branch { name, node }| Ok(Branch { name: name.clone(), node: node.reparameterize()? }));
                let mut deployed = deployed.collect::<Result<Vec<_>>>()?;
                if *join == Join::Chain {
                    // Remove identities, so that the part before an identity can apply the `ReLU` after it as its
                    // epilogue.
                    deployed.retain(|branch| !branch.node.is_identity());
                }
                Node::Joined(*join, deployed)
            }
        })
    }
}

impl Node<DeployedLayer> {
    fn is_identity(&self) -> bool {
        matches!(self, Self::Joined(Join::Chain, branches) if branches.is_empty())
    }

    /// Forward pass: (C, H, W, N) → (C', H', W', N).
    ///
    /// # Errors
    /// When the channels or the map of the input differ from those that the node was built for.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        pass(self, x_chwn, Epilogue::None, &DeployedLayer::forward)
    }

    /// Calls `visit` for each tensor. The names start with `at`.
    ///
    /// # Errors
    /// When `visit` fails.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        match self {
            Self::Layer(layer) => layer.visit(at, visit),
            Self::Joined(_, branches) => {
                branches.iter_mut().try_for_each(|branch| branch.node.visit(&joined(at, &branch.name), visit))
            }
        }
    }
}
