//! The tree that a network is: layers, and five ways of joining branches.
//!
//! Knows nothing of what a layer computes: the walks below hand each layer to the file of its form.

use candle_core::{Result, Tensor};

use crate::cost::{Account, CountedForm};
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

impl<L> Node<L> {
    /// The walk that both forms share, given what a layer does to a tensor.
    fn walk(&self, x: &Tensor, layer: &mut dyn FnMut(&L, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let (join, branches) = match self {
            Self::Layer(l) => return layer(l, x),
            Self::Joined(join, branches) => (join, branches),
        };
        if *join == Join::Chain {
            return branches.iter().try_fold(x.clone(), |x, branch| branch.node.walk(&x, layer));
        }
        let outputs = branches.iter().map(|branch| branch.node.walk(x, layer)).collect::<Result<Vec<_>>>()?;
        let mut all = outputs.iter();
        match join {
            Join::Concat => Tensor::cat(&outputs, 0),
            Join::Product => all
                .try_fold(None, |product: Option<Tensor>, y| match product {
                    None => Ok(Some(y.clone())),
                    Some(product) => product.broadcast_mul(y).map(Some),
                })
                .map(|product| product.unwrap_or_else(|| x.clone())),
            Join::Sum | Join::Chain => all
                .try_fold(None, |sum: Option<Tensor>, y| match sum {
                    None => Ok(Some(y.clone())),
                    Some(sum) => (sum + y).map(Some),
                })
                .map(|sum| sum.unwrap_or_else(|| x.clone())),
        }
    }
}

impl Node<LayerSpec> {
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
            let scope = if name.is_empty() { scope.clone() } else { scope.enter(name) };
            let (node, output) = node.build(reads, &scope)?;
            built.push(Branch { name: name.clone(), node });
            outputs.push(output);
            reads = if join == Join::Chain { output } else { site };
        }
        Ok((Node::Joined(join, built), join.output(site, &outputs)))
    }

    /// Adds what this part costs at `site`; gives where its output stands.
    pub(crate) fn account(&self, site: Site, at: &str, account: &mut Account) -> Site {
        let (join, branches) = match self {
            Self::Layer(spec) => {
                spec.account(site, at, account);
                return spec.output(site).unwrap_or(site);
            }
            Self::Joined(join, branches) => (*join, branches),
        };
        let mut outputs = Vec::with_capacity(branches.len());
        let mut reads = site;
        for (i, Branch { name, node }) in branches.iter().enumerate() {
            let merges = join == Join::Chain && branches.get(i + 1).is_some_and(|next| node.merges_into(&next.node));
            // A norm that the next layer takes in leaves nothing behind in the deployed form.
            let output = if merges && account.form() == CountedForm::Deployed {
                reads
            } else {
                node.account(reads, &joined(at, name), account)
            };
            outputs.push(output);
            reads = if join == Join::Chain { output } else { site };
        }
        join.output(site, &outputs)
    }

    /// Whether this is a batch norm that a merged network has inside the layer behind it.
    fn merges_into(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Layer(LayerSpec::Norm), Self::Layer(LayerSpec::ConvBn(conv))) => conv.is_pointwise(),
            _ => false,
        }
    }

    /// Adds what cannot be built at `site`; gives where the output would stand, if it can be told.
    pub(crate) fn faults(&self, site: Site, faults: &mut Vec<ConfigFault>) -> Option<Site> {
        let (join, branches) = match self {
            Self::Layer(spec) => {
                // Repeated blocks share their configuration: what breaks in two of them is said once.
                for fault in spec.faults(site) {
                    if !faults.iter().any(|known| known.path == fault.path) {
                        faults.push(fault);
                    }
                }
                return spec.output(site);
            }
            Self::Joined(join, branches) => (*join, branches),
        };
        let mut outputs = Vec::with_capacity(branches.len());
        let mut reads = site;
        for branch in branches {
            let output = branch.node.faults(reads, faults)?;
            outputs.push(output);
            reads = if join == Join::Chain { output } else { site };
        }
        Some(join.output(site, &outputs))
    }
}

impl Join {
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
        self.walk(x_chwn, &mut |layer, x| layer.forward(x, mode))
    }

    /// The deployed form of the same function.
    ///
    /// # Errors
    /// Those of candle.
    pub fn reparameterize(&self) -> Result<Node<DeployedLayer>> {
        let (join, branches) = match self {
            Self::Layer(layer) => return Ok(Node::Layer(layer.reparameterize()?)),
            Self::Joined(join, branches) => (*join, branches),
        };
        let mut deployed = Vec::with_capacity(branches.len());
        let mut norm_before = None;
        for (i, Branch { name, node }) in branches.iter().enumerate() {
            let next = branches.get(i + 1).filter(|_| join == Join::Chain).map(|next| &next.node);
            if let (Node::Layer(Layer::Norm(norm)), Some(Node::Layer(Layer::ConvBn(conv)))) = (node, next)
                && conv.conv.shape().is_pointwise()
            {
                norm_before = Some(norm);
                continue;
            }
            let node = match (norm_before.take(), node) {
                (Some(norm), Node::Layer(Layer::ConvBn(conv))) => {
                    Node::Layer(DeployedLayer::ConvBn(conv.reparameterize_behind(norm)?))
                }
                (_, node) => node.reparameterize()?,
            };
            deployed.push(Branch { name: name.clone(), node });
        }
        Ok(Node::Joined(join, deployed))
    }
}

impl Node<DeployedLayer> {
    /// (C, H, W, N) → (C', H', W', N).
    ///
    /// # Errors
    /// When the input stands elsewhere than the part was built for.
    pub fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        self.walk(x_chwn, &mut DeployedLayer::forward)
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
