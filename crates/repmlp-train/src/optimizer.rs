//! The optimiser and its state.

use candle_core::backprop::GradStore;
use candle_core::{Result, Var};
use repmlp::vars::Vars;
use repmlp_kernels::{SgdStep, sgd_step};

use crate::config::OptimizerConfig;

/// Moves the parameters of a network.
pub(crate) struct Optimizer {
    config: OptimizerConfig,
    parameters: Vec<(String, Var)>,
    velocities: Vec<Var>,
}

impl Optimizer {
    /// For all parameters, at rest.
    pub(crate) fn new(config: &OptimizerConfig, vars: &Vars) -> Result<Self> {
        let parameters = vars.parameters();
        let velocities = parameters.iter().map(|(_, p)| Var::from_tensor(&p.zeros_like()?)).collect::<Result<_>>()?;
        Ok(Self { config: config.clone(), parameters, velocities })
    }

    /// One step along the gradients, at `share` of the top learning rate.
    pub(crate) fn step(&self, gradients: &GradStore, share: f64) -> Result<()> {
        let OptimizerConfig::Sgd { learning_rate, momentum, nesterov, weight_decay } = self.config;
        let step = SgdStep { learning_rate: learning_rate * share, momentum, weight_decay, nesterov };
        for ((_, parameter), velocity) in self.parameters.iter().zip(&self.velocities) {
            if let Some(gradient) = gradients.get(parameter) {
                sgd_step(parameter, velocity, gradient, step)?;
            }
        }
        Ok(())
    }

    /// Its state by name, for checkpoints.
    pub(crate) fn state(&self) -> impl Iterator<Item = (String, &Var)> {
        self.parameters.iter().zip(&self.velocities).map(|((name, _), velocity)| (format!("velocity.{name}"), velocity))
    }
}
