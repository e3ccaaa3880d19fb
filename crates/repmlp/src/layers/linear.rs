//! A fully connected layer on columns: y = W·x + b.

use candle_core::{Result, Tensor};
use repmlp_kernels::{add_bias, grouped_fc};

use crate::layers::Visitor;
use crate::vars::{Init, Scope, joined};

/// Weight (Q, P) and, perhaps, bias (Q).
#[derive(Clone)]
pub struct Linear {
    /// (Q, P).
    pub weight: Tensor,
    /// (Q).
    pub bias: Option<Tensor>,
}

impl Linear {
    /// P → Q with a bias.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(inputs: usize, outputs: usize, scope: &Scope<'_>) -> Result<Self> {
        let bias = Some(scope.parameter("bias", outputs, Init::FanIn(inputs))?);
        Ok(Self { bias, ..Self::without_bias(inputs, outputs, scope)? })
    }

    /// P → Q without a bias.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn without_bias(inputs: usize, outputs: usize, scope: &Scope<'_>) -> Result<Self> {
        Ok(Self { weight: scope.parameter("weight", (outputs, inputs), Init::FanIn(inputs))?, bias: None })
    }

    /// (P, N) → (Q, N).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x_pn: &Tensor) -> Result<Tensor> {
        let y_qn = grouped_fc(x_pn, &self.weight, 1)?;
        match &self.bias {
            Some(bias) => add_bias(&y_qn, bias),
            None => Ok(y_qn),
        }
    }

    /// The same layer cut off from its variables: it records no graph, and later steps do not move it.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { weight: self.weight.detach(), bias: self.bias.as_ref().map(Tensor::detach) }
    }

    /// Shows weight and bias to `visit`, named below `at`.
    ///
    /// # Errors
    /// Those of `visit`.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        visit(&joined(at, "weight"), &mut self.weight)?;
        self.bias.as_mut().map_or(Ok(()), |bias| visit(&joined(at, "bias"), bias))
    }
}
