//! Checks cases of attention blocks, the baselines of the paper.

use candle_core::{Result, Tensor};
use repmlp::Mode;
use repmlp::blocks::{Attention, DeployedNonLocal, GlobalContext, NonLocal};
use repmlp::vars::Scope;

use crate::case::{AttentionCase, AttentionKind, ParityCase};
use crate::check::passes;
use crate::check::rows::{Filling, Rows};
use crate::error::InteropError;
use crate::names::Naming;

/// A block in its training form.
enum Block {
    NonLocal(Box<NonLocal>),
    GlobalContext(GlobalContext),
    SelfAttention(Attention),
}

/// A block in its deployed form. Self-attention without norm has nothing to merge.
enum DeployedBlock {
    NonLocal(DeployedNonLocal),
    GlobalContext(GlobalContext),
}

impl Block {
    fn new(kind: AttentionKind, scope: &Scope<'_>) -> Result<Self> {
        Ok(match kind {
            AttentionKind::NonLocal(shape) => Self::NonLocal(Box::new(NonLocal::new(shape, scope)?)),
            AttentionKind::GlobalContext(shape) => Self::GlobalContext(GlobalContext::new(shape, scope)?),
            AttentionKind::SelfAttention(shape) => Self::SelfAttention(Attention::new(shape, scope)?),
        })
    }

    fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor> {
        match self {
            Self::NonLocal(block) => block.forward(x_chwn, mode),
            Self::GlobalContext(block) => block.forward(x_chwn),
            Self::SelfAttention(block) => block.forward(x_chwn),
        }
    }

    fn reparameterize(&self) -> Result<Option<DeployedBlock>> {
        Ok(match self {
            Self::NonLocal(block) => Some(DeployedBlock::NonLocal(block.reparameterize()?)),
            Self::GlobalContext(block) => Some(DeployedBlock::GlobalContext(block.detached())),
            Self::SelfAttention(_) => None,
        })
    }
}

impl DeployedBlock {
    fn forward(&self, x_chwn: &Tensor) -> Result<Tensor> {
        match self {
            Self::NonLocal(block) => block.forward(x_chwn),
            Self::GlobalContext(block) => block.forward(x_chwn),
        }
    }
}

pub(super) fn check(
    case: &ParityCase,
    attention: &AttentionCase,
    rows: &mut Rows<'_>,
) -> std::result::Result<(), InteropError> {
    let keys = &attention.keys;
    let vars = rows.vars(keys.batch_norm());
    let block = Block::new(attention.kind, &vars.root())?;
    let filling = Filling {
        shapes: keys.params.as_ref(),
        naming: Naming::Official,
        weight_gain: keys.weight_gain,
        parameter_count: None,
    };
    if !rows.fill(&vars, &filling)? {
        return Ok(());
    }
    if let Some(deployed) = block.reparameterize()? {
        passes::check_deployed(rows, keys.input, |x| deployed.forward(x))?;
    }
    passes::check(case, rows, &vars, keys.input, |x, mode| block.forward(x, mode))
}
