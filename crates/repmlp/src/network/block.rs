//! The port for blocks: what a network needs of a layer that is more than one operation. The blocks of this crate and
//! those of other crates use the same three traits, one for each form.
//!
//! ```text
//! BlockSpec  --build-->  TrainingBlock  --reparameterize-->  DeployedBlock
//! ```

use std::fmt::Debug;

use candle_core::{Result, Tensor};
use repmlp_kernels::Epilogue;
use serde_json::Value;

use crate::cost::Account;
use crate::layers::Visitor;
use crate::network::Site;
use crate::vars::Scope;
use crate::{ConfigFault, Mode};

/// A block as data. Its sizes follow from its place in the network: the channels and the map of its input.
pub trait BlockSpec: Debug + Send + Sync {
    /// Returns channels and map of the output. The default is those of the input.
    fn output(&self, input: Site) -> Site {
        input
    }

    /// Returns the faults that prevent building the block for this input. `key` is the key of its configuration; the
    /// paths of the faults start with it.
    fn faults(&self, input: Site, key: &str) -> Vec<ConfigFault>;

    /// Adds the costs of the block to `account`, in the form that is counted. `at` is the name of the block; the names
    /// of its layers start with it. The block has no faults.
    fn account(&self, input: Site, at: &str, account: &mut Account);

    /// Returns the sizes of the block's FC3, if it has one of the same shape in both forms. The name of its weight is
    /// that of the block and `fc3.weight`. The default is none.
    fn fc3(&self, _input: Site) -> Option<Fc3Shape> {
        None
    }

    /// Describes the block for code outside this project: a table with the name of its kind under `layer`, and its
    /// sizes. The default is none: that code knows the blocks of this crate only.
    fn description(&self, _input: Site) -> Option<Value> {
        None
    }

    /// Builds the training form with its variables in `scope`. The block has no faults.
    ///
    /// # Errors
    /// When a variable name is already used.
    fn build(&self, input: Site, scope: &Scope<'_>) -> Result<Box<dyn TrainingBlock>>;
}

/// Sizes of an FC layer that mixes the pixels of a partition. Its weight has the shape (O·h·w, C/g·h·w).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fc3Shape {
    /// Output channels, O.
    pub outputs: usize,
    /// Input channels of a group, C/g.
    pub inputs: usize,
    /// Height of a partition.
    pub h: usize,
    /// Width of a partition.
    pub w: usize,
}

/// The training form of a block.
pub trait TrainingBlock: Send + Sync {
    /// Forward pass: (C, H, W, N) → (C', H', W', N).
    ///
    /// # Errors
    /// When the input has another size.
    fn forward(&self, x_chwn: &Tensor, mode: Mode) -> Result<Tensor>;

    /// Forward pass followed by an epilogue: what the network does next. A block that can do it in its own last pass
    /// over memory overrides this.
    ///
    /// # Errors
    /// When the input has another size.
    fn forward_with_epilogue(&self, x_chwn: &Tensor, mode: Mode, epilogue: Epilogue<'_>) -> Result<Tensor> {
        epilogue.after(&self.forward(x_chwn, mode)?)
    }

    /// Returns the deployed form, which computes the same function with the running statistics. Its tensors are
    /// detached from the variables.
    ///
    /// # Errors
    /// When candle fails.
    fn reparameterize(&self) -> Result<Box<dyn DeployedBlock>>;
}

/// The deployed form of a block, for inference.
pub trait DeployedBlock: Send + Sync {
    /// Forward pass: (C, H, W, N) → (C', H', W', N).
    ///
    /// # Errors
    /// When the input has another size.
    fn forward(&self, x_chwn: &Tensor) -> Result<Tensor>;

    /// Forward pass followed by an epilogue. See [`TrainingBlock::forward_with_epilogue`].
    ///
    /// # Errors
    /// When the input has another size.
    fn forward_with_epilogue(&self, x_chwn: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
        epilogue.after(&self.forward(x_chwn)?)
    }

    /// Calls `visit` for each tensor. The names start with `at`.
    ///
    /// # Errors
    /// When `visit` fails.
    fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()>;

    /// Returns a copy that shares the tensors.
    fn boxed(&self) -> Box<dyn DeployedBlock>;
}

impl Clone for Box<dyn DeployedBlock> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}
