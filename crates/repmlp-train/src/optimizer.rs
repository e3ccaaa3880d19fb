//! The optimiser and its state.

use candle_core::backprop::GradStore;
use candle_core::{Result, Var};
use repmlp::vars::Vars;
use repmlp_kernels::{AdamWStep, SgdStep, adamw_step, sgd_step};

use crate::config::OptimizerConfig;

/// Where in its training a step is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepPlace {
    /// Steps done with this one, from 1.
    pub(crate) number: u64,
    /// Share of the top learning rate, as the schedule has it.
    pub(crate) learning_rate_share: f64,
}

/// A parameter, and what the optimiser remembers of its gradients.
pub(crate) struct Moved<const STATE: usize> {
    name: String,
    parameter: Var,
    state: [Var; STATE],
}

impl<const STATE: usize> Moved<STATE> {
    /// All parameters, at rest.
    fn all(vars: &Vars) -> Result<Vec<Self>> {
        let at_rest = |(name, parameter): (String, Var)| {
            let zeros = parameter.zeros_like()?;
            let state: Vec<Var> = (0..STATE).map(|_| Var::from_tensor(&zeros)).collect::<Result<_>>()?;
            Ok(Self { name, parameter, state: state.try_into().expect("as many as there are places") })
        };
        vars.parameters().into_iter().map(at_rest).collect()
    }

    fn named<'a>(all: &'a [Self], names: [&'a str; STATE]) -> Vec<(String, &'a Var)> {
        let of =
            |moved: &'a Self| names.into_iter().zip(&moved.state).map(|(n, var)| (format!("{n}.{}", moved.name), var));
        all.iter().flat_map(of).collect()
    }
}

/// Moves the parameters of a network.
pub(crate) enum Optimizer {
    /// What a step needs at the top of the schedule; each parameter with its velocity.
    Sgd(SgdStep, Vec<Moved<1>>),
    /// The same, the step's number aside; each with the means of its gradient and of its square.
    AdamW(AdamWStep, Vec<Moved<2>>),
}

impl Optimizer {
    /// For all parameters, at rest.
    pub(crate) fn new(config: &OptimizerConfig, vars: &Vars) -> Result<Self> {
        Ok(match *config {
            OptimizerConfig::Sgd { learning_rate, momentum, nesterov, weight_decay } => {
                Self::Sgd(SgdStep { learning_rate, momentum, weight_decay, nesterov }, Moved::all(vars)?)
            }
            OptimizerConfig::AdamW { learning_rate, beta1, beta2, eps, weight_decay } => {
                Self::AdamW(AdamWStep { learning_rate, beta1, beta2, eps, weight_decay, step: 0 }, Moved::all(vars)?)
            }
        })
    }

    /// One step along the gradients.
    pub(crate) fn step(&self, gradients: &GradStore, place: StepPlace) -> Result<()> {
        let rate = |top: f64| top * place.learning_rate_share;
        match self {
            Self::Sgd(step, all) => {
                let step = SgdStep { learning_rate: rate(step.learning_rate), ..*step };
                for Moved { parameter, state: [velocity], .. } in all {
                    if let Some(gradient) = gradients.get(parameter) {
                        sgd_step(parameter, velocity, gradient, step)?;
                    }
                }
            }
            Self::AdamW(step, all) => {
                let number = u32::try_from(place.number).unwrap_or(u32::MAX);
                let step = AdamWStep { learning_rate: rate(step.learning_rate), step: number, ..*step };
                for Moved { parameter, state: [mean, square], .. } in all {
                    if let Some(gradient) = gradients.get(parameter) {
                        adamw_step(parameter, mean, square, gradient, step)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Its state by name, for checkpoints.
    pub(crate) fn state(&self) -> Vec<(String, &Var)> {
        match self {
            Self::Sgd(_, all) => Moved::named(all, ["velocity"]),
            Self::AdamW(_, all) => Moved::named(all, ["mean", "square"]),
        }
    }
}
