//! A fully connected layer on columns: y = W·x + b.

use candle_core::{Result, Tensor};
use repmlp_kernels::{add_bias, grouped_fc};

use crate::layers::Visitor;
use crate::vars::{Init, Scope, joined};

/// A fully connected layer from P inputs to Q outputs, with an optional bias.
#[derive(Clone)]
pub struct Linear {
    /// Weight, (Q, P).
    pub weight: Tensor,
    /// Bias, (Q).
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Creates a layer with a bias.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn new(inputs: usize, outputs: usize, scope: &Scope<'_>) -> Result<Self> {
        let bias = Some(scope.parameter("bias", outputs, Init::FanIn(inputs))?);
        Ok(Self { bias, ..Self::without_bias(inputs, outputs, scope)? })
    }

    /// Creates a layer without a bias.
    ///
    /// # Errors
    /// When a variable name is already used.
    pub fn without_bias(inputs: usize, outputs: usize, scope: &Scope<'_>) -> Result<Self> {
        Ok(Self { weight: scope.parameter("weight", (outputs, inputs), Init::FanIn(inputs))?, bias: None })
    }

    /// Forward pass: (P, N) → (Q, N).
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

    /// Returns a copy that is detached from the variables. Its passes record no graph, and later training steps do not
    /// change it.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { weight: self.weight.detach(), bias: self.bias.as_ref().map(Tensor::detach) }
    }

    /// Calls `visit` for weight and bias. The names start with `at`.
    ///
    /// # Errors
    /// When `visit` fails.
    pub fn visit(&mut self, at: &str, visit: &mut Visitor<'_>) -> Result<()> {
        visit(&joined(at, "weight"), &mut self.weight)?;
        self.bias.as_mut().map_or(Ok(()), |bias| visit(&joined(at, "bias"), bias))
    }
}
