//! The tree that a network is: layers, and four ways of joining branches.
//!
//! Knows nothing of what a layer computes: the walks below hand each layer to the file of its form.

use candle_core::{Result, Tensor, bail};
use repmlp_kernels::Epilogue;

use crate::cost::Account;
use crate::layers::Visitor;
use crate::network::{DeployedLayer, Layer, LayerSpec, Site};
use crate::vars::{Scope, joined};
use crate::{ConfigFault, Mode};

/// A layer, or branches and how they are joined.
#[derive(Clone, Debug)]
pub enum Node<L> {
    /// One layer.
    Layer(L),
    /// Branches, joined.
    Joined(Join, Vec<Branch<L>>),
}

/// What becomes of the outputs of branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Each branch reads the output of the one before it.
    Chain,
    /// All read the same input; their outputs are added.
    Sum,
    /// All read the same input; their outputs are multiplied, a 1×1 map with every pixel.
    Product,
    /// All read the same input; their channels are put behind each other.
    Concat,
}

/// A part with its name below the whole's; an empty name adds nothing.
#[derive(Clone, Debug)]
pub struct Branch<L> {
    /// Dotted name.
    pub name: String,
    /// The part.
    pub node: Node<L>,
}

fn joined_node<L, N: Into<String>>(join: Join, branches: impl IntoIterator<Item = (N, Node<L>)>) -> Node<L> {
    let branch = |(name, node): (N, Node<L>)| Branch { name: name.into(), node };
    Node::Joined(join, branches.into_iter().map(branch).collect())
}

/// Parts one behind the other.
pub fn chain<L, N: Into<String>>(parts: impl IntoIterator<Item = (N, Node<L>)>) -> Node<L> {
    joined_node(Join::Chain, parts)
}

/// The sum of parts.
pub fn sum<L, N: Into<String>>(parts: impl IntoIterator<Item = (N, Node<L>)>) -> Node<L> {
    joined_node(Join::Sum, parts)
}

/// The product of parts.
pub fn product<L, N: Into<String>>(parts: impl IntoIterator<Item = (N, Node<L>)>) -> Node<L> {
    joined_node(Join::Product, parts)
}

/// The channels of parts behind each other.
pub fn concat<L, N: Into<String>>(parts: impl IntoIterator<Item = (N, Node<L>)>) -> Node<L> {
    joined_node(Join::Concat, parts)
}

/// What leaves its input as it is.
pub fn identity<L>() -> Node<L> {
    Node::Joined(Join::Chain, Vec::new())
}

/// All that a pass must know of a layer of either form.
pub(crate) trait MayBeRelu {
    /// Whether it is a `ReLU`, which the layer before it may do in its own pass over memory.
    fn is_relu(&self) -> bool;
}

/// What a layer does to a tensor, and then what follows it.
type Pass<'a, L> = dyn Fn(&L, &Tensor, Epilogue<'_>) -> Result<Tensor> + 'a;

/// The pass that both forms share, given what a layer does: each part is told what follows it, a `ReLU` or an addition.
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
            // What follows the whole follows its last part.
            std::mem::replace(&mut epilogue, Epilogue::None)
        } else {
            Epilogue::None
        };
        x = pass(&branch.node, &x, follows, layer)?;
    }
    epilogue.after(&x)
}

/// The first branch adds what the others come to.
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
    /// Calls `layer` with each layer, where it stands and its name; it says where the layer's output stands, or `None`, which
    /// ends the walk. Gives where the output of the whole stands.
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

    /// Where the output of this part at `site` stands, if it can be told.
    pub(crate) fn output(&self, site: Site) -> Option<Site> {
        self.walk(site, "", &mut |spec, site, _| spec.output(site))
    }

    /// Adds what this part costs at `site`, as far as it can be built there.
    pub(crate) fn account(&self, site: Site, account: &mut Account) {
        self.walk(site, "", &mut |spec, site, at| {
            spec.account(site, at, account);
            spec.output(site)
        });
    }

    /// Adds what cannot be built at `site`.
    pub(crate) fn faults(&self, site: Site, faults: &mut Vec<ConfigFault>) {
        self.walk(site, "", &mut |spec, site, _| {
            // Repeated blocks share their configuration: what breaks in two of them is said once.
            for fault in spec.faults(site) {
                if !faults.iter().any(|known| known.path == fault.path) {
                    faults.push(fault);
                }
            }
            spec.output(site)
        });
    }

    /// The training form of this part at `site`, and where its output stands.
    ///
    /// # Errors
    /// When the part does not fit there or a name is taken.
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
    /// What the branch behind one with this output reads.
    fn next(self, input: Site, output: Site) -> Site {
        if self == Self::Chain { output } else { input }
    }

    /// The outputs of branches that read the same input, as one.
    fn combine(self, outputs: &[Tensor]) -> Result<Tensor> {
        let Some((first, others)) = outputs.split_first() else { bail!("{self:?} of no branches") };
        match self {
            Self::Concat => Tensor::cat(outputs, 0),
            Self::Product => others.iter().try_fold(first.clone(), |product, y| product.broadcast_mul(y)),
            Self::Sum | Self::Chain => others.iter().try_fold(first.clone(), |sum, y| sum + y),
        }
    }

    /// Where the joined output stands.
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
    /// (C, H, W, N) → (C', H', W', N).
    ///
    /// # Errors
    /// When the input stands elsewhere than the part was built for.
    pub fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        pass(self, x_chwn, Epilogue::None, &|layer, x, epilogue| layer.forward(x, mode, epilogue))
    }

    /// The deployed form of the same function.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reparameterize(&self) -> Result<Node<DeployedLayer>> {
        Ok(match self {
            Self::Layer(layer) => layer.reparameterize()?.map_or_else(identity, Node::Layer),
            Self::Joined(join, branches) => {
                let deployed = branches
                    .iter()
                    .map(|Branch { name, node }| Ok(Branch { name: name.clone(), node: node.reparameterize()? }));
                let mut deployed = deployed.collect::<Result<Vec<_>>>()?;
                if *join == Join::Chain {
                    // What follows a part that does nothing is told to the part before it.
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

    /// (C, H, W, N) → (C', H', W', N).
    ///
    /// # Errors
    /// When the input stands elsewhere than the part was built for.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        pass(self, x_chwn, Epilogue::None, &DeployedLayer::forward)
    }

    /// Shows all tensors to `visit`, named below `at`.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        match self {
            Self::Layer(layer) => layer.visit(at, visit),
            Self::Joined(_, branches) => {
                branches.iter_mut().try_for_each(|branch| branch.node.visit(&joined(at, &branch.name), visit))
            }
        }
    }
}
